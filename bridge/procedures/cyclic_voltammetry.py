"""Cyclic voltammetry: triangular sweeps of the voltage; charge and peak of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from drivers.interfaces import option

from .context import Context
from .description import POTENTIOSTAT_AND_ROUTES, Procedure
from .schedule.build import OfCell, amount, flattened, run_schedule, schedule_of
from .schedule.language import Sweep

_METHOD = {
    "sweeps": "cut at the instants of the vertices, by the device's time; charge by the trapezoid, by sign of current",
    "peak": "the greatest current inside a sweep, after a running mean over a hundredth of it; height above the "
    "straight line between the sweep's ends. No capacitive background is taken off",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepVoltage(OfCell):
    """Parameters of a cyclic voltammetry. The current limit has no default: above it the sweep ends as a fault."""

    begin_v: float | None = option(
        None, unit="V", help="where it begins and ends; the open-circuit voltage unless given"
    )
    vertex1_v: float = option(unit="V", help="first turning point")
    vertex2_v: float = option(unit="V", help="second turning point")
    rate_v_per_s: float = option(1e-3, unit="V/s", above=0.0, help="sweep rate, such as 0.1 mV/s")
    step_v: float = option(0.005, unit="V", above=0.0, help="height of a step of the staircase; a sample at each")
    cycles: int = option(1, at_least=1, help="so many cycles")
    current_limit_a: float = option(unit="A", above=0.0, help="the greatest current, unsigned")


async def run(context: Context, p: SweepVoltage) -> dict[str, Any]:
    """Charge and peak of each sweep."""
    step = Sweep(
        name="sweep",
        number=1,
        interval_s=p.interval_s,
        begin_v=p.begin_v,
        vertex1_v=p.vertex1_v,
        vertex2_v=p.vertex2_v,
        rate_v_per_s=p.rate_v_per_s,
        step_v=p.step_v,
        cycles=p.cycles,
        current_limit=amount(p.current_limit_a, "A"),
    )
    window = (min(p.vertex1_v, p.vertex2_v), max(p.vertex1_v, p.vertex2_v))
    result = flattened(await run_schedule(context, schedule_of("cyclic-voltammetry", [step], p, window_v=window), p))
    result["settings"]["interval_s"] = p.step_v / p.rate_v_per_s
    return {**result, "method": {**result["method"], **_METHOD}}


PROCEDURE = Procedure(
    name="cyclic-voltammetry",
    summary="sweep the voltage between two vertices; charge and peak of each sweep",
    parameters=SweepVoltage,
    roles=POTENTIOSTAT_AND_ROUTES,
    run=run,
    produces={"sweeps": "each sweep: its charge and its peak", "end": "what ended it"},
    pausable=True,
    resumable=True,
)
