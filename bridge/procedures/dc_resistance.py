"""Direct-current resistance: short pulses of either sign, the voltage step at stated delays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from bridge.analysis.formatting import si
from drivers.errors import InvalidValue
from drivers.interfaces import option

from .common import potentiostat_of
from .context import Context
from .description import POTENTIOSTAT_AND_ROUTES, Procedure
from .feasibility import range_used
from .schedule.build import WithCurrent, amount, run_schedule, schedule_of, when
from .schedule.language import Loop, Pulse, Then
from .schedule.parse_steps import delays

_METHOD = {
    "resistance_ohm": "change of voltage at the delay after the current's edge, over the current, mean over the "
    "pulses; the voltage before is carried on as a straight line. Pulses of either sign cancel what drifts",
    "uncertainty_ohm": "standard uncertainty: the scatter of the pulses (or one pulse's noise), and the instrument's "
    "gain error where its maker states it",
    "extrapolated_ohm": "the voltage step at time zero, by the line through the pulse after the lead has settled: "
    "without what the cell's own charging adds until a delay",
    "valid": "the lead's capacitance has settled by the delay: five times resistance x capacitance",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureResistance(WithCurrent):
    """Parameters of a resistance measurement."""

    interval_s: float = option(0.1, unit="s", above=0.0, help="sampling interval; delays need samples before them")
    pulse_s: float = option(5.0, unit="s", above=0.0, help="length of a pulse")
    rest_s: float = option(10.0, unit="s", above=0.0, help="open circuit before each pulse, and after the last")
    delays: str = option("10 ms, 1 s", help="delays after the edge at which the resistance is taken")
    pairs: int = option(2, at_least=1, help="so many pairs of pulses, one of either sign")
    stray_f: float = option(
        100e-12, unit="F", at_least=0.0, help="capacitance of the lead, which has to settle before a value is valid"
    )
    voltage_min_v: float = option(2.0, unit="V", help="a pulse below this is a fault")
    voltage_max_v: float = option(4.2, unit="V", help="a pulse above this is a fault")

    def __post_init__(self) -> None:
        _ = self.current
        if self.delays_s[0] > self.pulse_s:
            raise InvalidValue(f"delays is {self.delays!r}, all after the pulse of {self.pulse_s:g} s has ended")

    @property
    def delays_s(self) -> tuple[float, ...]:
        return delays(self.delays)


async def run(context: Context, p: MeasureResistance) -> dict[str, Any]:
    """Resistance at each delay, also by area, with its uncertainty."""
    current = abs(p.current)
    steps = [_pulse(number, sign * current, p) for number, sign in ((1, 1), (2, -1))]
    again = Loop(name="again", number=3, to=steps[0].name, times=p.pairs, counts_cycles=True)
    schedule = schedule_of("dc-resistance", [*steps, again], p, window_v=(p.voltage_min_v, p.voltage_max_v))
    result = await run_schedule(context, schedule, p)
    used = range_used(potentiostat_of(context), result["steps"][0]["range"], current)
    gain = 0.0 if used is None or used.error_a is None else used.error_a / current
    found = [_at(delay, result["steps"], gain, p.area_m2) for delay in p.delays_s]
    best = next((row for row in reversed(found) if row["valid"]), None)
    return {
        **result,
        "current_a": current,
        "pulse_s": p.pulse_s,
        "resistances": found,
        "delay_s": None if best is None else best["delay_s"],
        "resistance_ohm": None if best is None else best["resistance_ohm"],
        "uncertainty_ohm": None if best is None else best["uncertainty_ohm"],
        "resistance_ohm_m2": None if best is None else best["resistance_ohm_m2"],
        **_extrapolated(result["steps"], p.area_m2),
        "reason": "" if best is not None else _why(found),
        "method": {**result["method"], **_METHOD},
    }


def _pulse(number: int, current_a: float, p: MeasureResistance) -> Pulse:
    charging = current_a > 0
    limit = p.voltage_max_v if charging else p.voltage_min_v
    return Pulse(
        name=f"pulse of {si(current_a, 'A')}",
        number=number,
        interval_s=p.interval_s,
        until=tuple(when("voltage", ">=" if charging else "<=", limit, Then("fault"))),
        current=amount(current_a, "A"),
        duration_s=p.pulse_s,
        before_s=p.rest_s,
        after_s=0.0 if charging else p.rest_s,
        delays_s=p.delays_s,
    )


def _at(delay_s: float, steps: list[dict[str, Any]], gain: float, area_m2: float | None) -> dict[str, Any]:
    """The pulses' values at one delay, put together."""
    rows = [row for step in steps for row in step["resistances"] if row["delay_s"] == delay_s]
    values = [row["resistance_ohm"] for row in rows if row["resistance_ohm"] is not None]
    value = mean(values) if values else None
    scatter = None
    if len(values) > 1:
        scatter = stdev(values) / math.sqrt(len(values))
    noise = max((row["uncertainty_ohm"] for row in rows if row["uncertainty_ohm"] is not None), default=None)
    if noise is not None:
        scatter = max(scatter or 0.0, noise / math.sqrt(len(values)))
    uncertainty = None if value is None or scatter is None else math.hypot(scatter, gain * value)
    return {
        "delay_s": delay_s,
        "resistance_ohm": value,
        "uncertainty_ohm": uncertainty,
        "resistance_ohm_m2": None if value is None or area_m2 is None else value * area_m2,
        "uncertainty_ohm_m2": None if uncertainty is None or area_m2 is None else uncertainty * area_m2,
        "pulses": len(values),
        "valid": bool(rows) and all(row["valid"] for row in rows),
        "reason": next((row["reason"] for row in rows if row["reason"]), ""),
    }


def _extrapolated(steps: list[dict[str, Any]], area_m2: float | None) -> dict[str, float | None]:
    """The step at time zero, mean over the pulses; None where no pulse has enough samples."""
    found = [step["extrapolated"]["resistance_ohm"] for step in steps if step["extrapolated"] is not None]
    value = mean(found) if found else None
    return {
        "extrapolated_ohm": value,
        "extrapolated_scatter_ohm": stdev(found) / math.sqrt(len(found)) if len(found) > 1 else None,
        "extrapolated_ohm_m2": None if value is None or area_m2 is None else value * area_m2,
    }


def _why(found: list[dict[str, Any]]) -> str:
    return "; ".join(f"at {row['delay_s']:g} s: {row['reason']}" for row in found if row["reason"])


PROCEDURE = Procedure(
    name="dc-resistance",
    summary="resistance from the voltage steps of short current pulses, at stated delays",
    parameters=MeasureResistance,
    roles=POTENTIOSTAT_AND_ROUTES,
    run=run,
    produces={
        "resistance_ohm": "at the longest delay that is valid, with uncertainty_ohm",
        "resistance_ohm_m2": "times the area",
        "resistances": "at each delay, and whether the lead had settled by then",
    },
    pausable=True,
    resumable=True,
)
