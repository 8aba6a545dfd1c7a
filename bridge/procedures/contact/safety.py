"""What must hold before a tip is driven toward a sample."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any, cast

from bridge.analysis.formatting import si
from drivers.errors import InvalidValue, Refused
from drivers.interfaces import Feedthrough, Gauge, Manipulator, Potentiostat, Stage, TouchAlarm
from drivers.interfaces.feedthrough import OPEN

from ..common import select_route
from ..context import Context
from .parameters import MakeContact

#: So many good readings in a row (protocols/motion.md, 6.3).
_PRESSURES = 3
_PRESSURE_S = 0.3
#: Between two looks at a stage that should rest: RemCon's moving flag lags by up to a second, its position does not.
_REST_S = 0.2


async def prove_safe(
    context: Context, potentiostat: Potentiostat, manipulator: Manipulator, p: MakeContact
) -> dict[str, Any]:
    """Cell off, route right, stage at rest with no alarm, vacuum good, manipulator where it says it is: what was found.

    Raises `Refused` with what is wrong; nothing has moved then, and the source is off.
    """
    await potentiostat.cell_off()
    return {
        "cell_off": True,
        "route": await _route(context, potentiostat, p.route),
        "stage": await _stage(context),
        "pressure_pa": await _pressure(context, p.vacuum_pa),
        "manipulator": await _known(manipulator),
    }


async def _route(context: Context, potentiostat: Potentiostat, route: str) -> str | None:
    if not context.has("feedthrough"):
        return None
    feedthrough = cast(Feedthrough, context.device("feedthrough"))
    if route:
        await select_route(context, potentiostat, feedthrough, route)
    found = await feedthrough.route()
    if found != (route or found) or found == OPEN:
        raise Refused(
            f"the feedthrough is at {found!r}: contact would not be seen",
            device=feedthrough.name,
            hint=f"Give route, one of {', '.join(r for r in feedthrough.capabilities.routes if r != OPEN)}.",
        )
    return found


async def _stage(context: Context) -> dict[str, Any] | None:
    """At rest by two readings a moment apart; RemCon's alarm may be unknown, which is told, not refused."""
    if not context.has("stage"):
        return None
    stage = cast(Stage, context.device("stage"))
    alarm = await stage.touch_alarm()
    if alarm is TouchAlarm.TRIPPED:
        raise Refused(
            "the touch alarm has tripped", device=stage.name, hint="Find out what touches before anything is moved."
        )
    first = await stage.position()
    await stage.clock.sleep(_REST_S)
    second = await stage.position()
    able = stage.capabilities
    for axis, value in asdict(second).items():
        allowed = able.tolerance_deg if axis.endswith("deg") else able.tolerance_m
        if abs(value - getattr(first, axis)) > allowed:
            raise Refused(
                f"the stage moves: {axis} {getattr(first, axis):.6g}, then {value:.6g}",
                device=stage.name,
                hint="Wait until it rests.",
            )
    return {"position": asdict(second), "touch_alarm": str(alarm)}


async def _pressure(context: Context, limit_pa: float) -> float | None:
    """The last of a few good readings in a row; underrange is none."""
    if not context.has("gauge"):
        return None
    gauge = cast(Gauge, context.device("gauge"))
    pressure_pa = math.nan
    for number in range(_PRESSURES):
        if number:
            await gauge.clock.sleep(_PRESSURE_S)
        reading = await gauge.pressure()
        if not reading.valid or reading.pressure_pa > limit_pa:
            seen = si(reading.pressure_pa, "Pa") if reading.valid else f"not to be read ({reading.status})"
            raise Refused(
                f"the pressure is {seen}; {si(limit_pa, 'Pa')} or less is needed",
                device=gauge.name,
                hint="Pump, or look at the gauge. vacuum_pa sets another limit.",
            )
        pressure_pa = reading.pressure_pa
    return pressure_pa


async def _known(manipulator: Manipulator) -> dict[str, Any]:
    position = await manipulator.position()
    if not all(math.isfinite(value) for value in (position.x_m, position.y_m, position.z_m)):
        raise Refused(f"the manipulator does not know where it is: {position}", device=manipulator.name)
    return asdict(position)


def check_steps(manipulator: Manipulator, p: MakeContact) -> None:
    """Raises `InvalidValue` for steps that the manipulator cannot take."""
    finest = manipulator.capabilities.resolution_m
    if p.step_m < finest:
        raise InvalidValue(
            f"step_m is {si(p.step_m, 'm')}, finer than {manipulator.name} can go; "
            f"at least {si(finest, 'm')} is accepted"
        )
