"""Is there a short over the cell? Two levels of current and none: a short's voltage follows the current, nothing else.

Signature of a short by re-deposited material (domain note 4): V = I R through the origin, flat in time. A living cell
has a voltage of its own with no current.
"""

from __future__ import annotations

import math
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge.analysis.formatting import si
from bridge.analysis.statistics import drift
from drivers.errors import InvalidValue
from drivers.interfaces import Options, Potentiostat, option
from drivers.plain import to_plain
from drivers.samples import EndReason, SampleBlock
from drivers.techniques import Galvanostatic, OpenCircuit, Technique

from . import feasibility
from .common import (
    Reporter,
    check_route,
    instrument,
    potentiostat_of,
    require_closed_route,
    select_route,
    source_off_afterwards,
)
from .context import Context
from .description import POTENTIOSTAT_AND_ROUTES, Procedure

#: The instrument's error may be this share of the current.
_TOLERANCE = 0.1

#: V at 2 I over V at I, within this share of two.
_PROPORTIONAL = 0.05

#: What is left at no current, at most.
_INTERCEPT_V = 0.010

#: A level counts when it stands this far above the noise of its own mean.
_SIGMAS = 5.0

#: Change of the voltage within the last half of a pulse, as a share of it, that is still flat.
_FLAT = 0.05

#: What takes less charge a volt than this, and has no voltage of its own, may be the lead alone: about 100 pF a metre.
_LEAD_F = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortTest(Options):
    """Parameters. The current is the one of cycling; twice that flows for the second level."""

    current_a: float | None = option(None, unit="A", above=0, help="first level; the second is twice that")
    current_density_a_per_m2: float | None = option(None, unit="A/m**2", above=0, help="the same by area")
    area_m2: float | None = option(None, unit="m**2", above=0, help="area of the cell as it was last cut")
    pulse_s: float = option(10.0, unit="s", above=0, help="length of each level")
    interval_s: float = option(0.1, unit="s", above=0, help="sampling interval")
    voltage_max_v: float = option(4.2, unit="V", help="a level ends here: it is no short then")
    route: str = option("", help="route of the feedthrough to select first; none unless given")

    def __post_init__(self) -> None:
        by_density = self.current_density_a_per_m2 is not None
        if (self.current_a is not None) == by_density:
            raise InvalidValue("exactly one of current_a and current_density_a_per_m2 is accepted")
        if by_density and self.area_m2 is None:
            raise InvalidValue("current_density_a_per_m2 needs area_m2, such as '10 um2'")
        if self.pulse_s < 10 * self.interval_s:
            raise InvalidValue(
                f"pulse_s is {self.pulse_s:g} s; at least ten intervals of {self.interval_s:g} s are needed"
            )

    @property
    def current(self) -> float:
        if self.current_a is not None:
            return self.current_a
        assert self.current_density_a_per_m2 is not None  # one of the two is given, and the area with it
        assert self.area_m2 is not None
        return self.current_density_a_per_m2 * self.area_m2


@dataclass(frozen=True, slots=True)
class Level:
    """The end of one level: mean of the last half, its standard error, its change within that half, its slope there."""

    current_a: float
    voltage_v: float
    error_v: float
    change_v: float
    ended: EndReason | None
    slope_v_per_s: float = 0.0


async def run(context: Context, parameters: ShortTest) -> dict[str, Any]:
    """No current, I, 2 I; then short, no short or undecided, with the numbers that say so."""
    potentiostat = potentiostat_of(context)
    feedthrough = check_route(context, parameters.route)
    feasibility.require_technique(potentiostat, Galvanostatic.name)
    feasibility.require_interval(potentiostat, parameters.interval_s)
    feasibility.plan_current(potentiostat, parameters.current, _TOLERANCE * parameters.current, "a short test at")
    reporter = Reporter(context)
    levels = []
    async with source_off_afterwards(context, potentiostat):
        await require_closed_route(context, parameters.route)
        await select_route(context, potentiostat, feedthrough, parameters.route)
        for times in (0, 1, 2):
            level = await _level(potentiostat, parameters, reporter, times * parameters.current)
            levels.append(level)
            if level.ended in (EndReason.VOLTAGE_MAX, EndReason.OVERLOAD):
                break
    verdict, reason, resistance = judge(levels)
    reporter.now("done", 1.0, verdict=verdict)
    fields = {
        "procedure": "short-test",
        "verdict": verdict,
        "reason": reason,
        "resistance_ohm": resistance,
        "levels": [
            {"current_a": v.current_a, "voltage_v": v.voltage_v, "error_v": v.error_v, "change_v": v.change_v}
            for v in levels
        ],
        "current_a": parameters.current,
        "area_m2": parameters.area_m2,
        "pulse_s": parameters.pulse_s,
        "instrument": instrument(potentiostat),
    }
    plain: dict[str, Any] = to_plain(fields)
    return plain


async def _level(potentiostat: Potentiostat, p: ShortTest, reporter: Reporter, current_a: float) -> Level:
    technique: Technique
    if current_a:
        technique = Galvanostatic(
            current_a=current_a, duration_s=p.pulse_s, interval_s=p.interval_s, voltage_max_v=p.voltage_max_v
        )
    else:
        technique = OpenCircuit(duration_s=p.pulse_s, interval_s=p.interval_s)
    reporter.now(f"level {si(current_a, 'A')}", None)
    async with aclosing(potentiostat.run(technique)) as run:
        record = SampleBlock.concatenate([block async for block in run])
    time, voltage = record["time_s"][len(record) // 2 :], record["voltage_v"][len(record) // 2 :]
    time, voltage = time[np.isfinite(voltage)], voltage[np.isfinite(voltage)]
    if len(voltage) < 2:
        return Level(current_a, math.nan, math.inf, math.nan, record.end)
    half = len(voltage) // 2
    return Level(
        current_a,
        float(voltage.mean()),
        float(voltage.std(ddof=1)) / math.sqrt(len(voltage)),
        float(voltage[half:].mean() - voltage[:half].mean()),
        record.end,
        drift(time, voltage).slope_per_s if len(voltage) > 2 else float(np.diff(voltage)[0] / np.diff(time)[0]),
    )


def judge(levels: list[Level]) -> tuple[str, str, float | None]:
    """(verdict, reason, resistance of the short if there is one)."""
    last = levels[-1]
    own = abs(levels[0].voltage_v) > _INTERCEPT_V  # a cell with a voltage of its own may rise as steeply when empty
    if not own and last.slope_v_per_s > 0 and last.current_a < _LEAD_F * last.slope_v_per_s:
        seen = si(last.current_a / last.slope_v_per_s, "F", 2)
        return (
            "undecided",
            f"the voltage rises by {si(last.slope_v_per_s, 'V/s', 2)} at {si(last.current_a, 'A')}, as that of an open "
            f"lead of {seen}: no cell was seen. Bring the tip into contact, check the route, and test again",
            None,
        )
    if len(levels) < 3 or levels[-1].ended in (EndReason.VOLTAGE_MAX, EndReason.OVERLOAD):
        return "no short", f"the voltage went up to {si(last.voltage_v, 'V')} at {si(last.current_a, 'A')}", None
    zero, one, two = levels
    if not all(math.isfinite(level.voltage_v) for level in levels):
        return "undecided", "a level has no readings", None
    if abs(zero.voltage_v) > _INTERCEPT_V:
        return "no short", f"{si(zero.voltage_v, 'V')} with no current: the cell has a voltage of its own", None
    if abs(two.voltage_v) < _SIGMAS * two.error_v:
        highest = si(_SIGMAS * two.error_v / two.current_a, "Ohm")
        return "short", f"no voltage at {si(two.current_a, 'A')}: less than {highest} in parallel", None
    if two.voltage_v < 0:
        return (
            "undecided",
            "the voltage goes against the current: are the leads swapped, or another source in the loop?",
            None,
        )
    ratio = two.voltage_v / one.voltage_v if one.voltage_v else math.inf
    proportional = abs(ratio / 2 - 1) <= _PROPORTIONAL + _SIGMAS * (
        one.error_v / abs(one.voltage_v) if one.voltage_v else 1
    )
    flat = abs(two.change_v) <= _FLAT * abs(two.voltage_v) + _SIGMAS * two.error_v
    resistance = two.voltage_v / two.current_a
    if proportional and flat:
        return (
            "short",
            f"V follows I ({si(one.voltage_v, 'V')} at {si(one.current_a, 'A')}, {si(two.voltage_v, 'V')} at "
            f"{si(two.current_a, 'A')}) and stays flat: {si(resistance, 'Ohm')} in parallel",
            resistance,
        )
    why = "rises with the charge" if not flat else f"is {ratio:.3g} times as high at twice the current"
    return "no short", f"the voltage {why}: a cell, not a resistor", None


PROCEDURE = Procedure(
    name="short-test",
    summary="does the voltage follow the current and nothing else? a short by re-deposited material",
    parameters=ShortTest,
    roles=POTENTIOSTAT_AND_ROUTES,
    run=run,
    produces={
        "verdict": "no short, short or undecided",
        "resistance_ohm": "of the short",
        "levels": "voltage at no current, I and 2 I, with its error and its change in time",
    },
)
