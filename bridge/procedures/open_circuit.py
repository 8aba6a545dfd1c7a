"""Open-circuit voltage over time, until a time or until it has come to rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from drivers.interfaces import option

from .context import Context
from .description import POTENTIOSTAT_AND_ROUTES, Procedure
from .schedule.build import Common, flattened, run_schedule, schedule_of, when
from .schedule.language import OpenCircuit


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOpenCircuit(Common):
    """Parameters of an open-circuit measurement."""

    duration_s: float = option(60.0, unit="s", above=0.0, help="how long at most")
    dv_dt_v_per_s: float | None = option(
        None, unit="V/s", above=0.0, help="ends earlier once |dV/dt| is below this, such as 1 mV/h"
    )
    dv_dt_window_s: float = option(60.0, unit="s", above=0.0, help="stretch over which the slope is fitted")


async def run(context: Context, p: WatchOpenCircuit) -> dict[str, Any]:
    """The voltage at the end, its slope, and why it ended."""
    step = OpenCircuit(
        name="open circuit",
        number=1,
        interval_s=p.interval_s,
        dv_dt_window_s=p.dv_dt_window_s,
        until=(*when("dv_dt", "<", p.dv_dt_v_per_s), *when("time", ">=", p.duration_s)),
    )
    result = flattened(await run_schedule(context, schedule_of("open-circuit", [step]), p))
    return {**result, "ocv_v": result["voltage_end_v"]}


PROCEDURE = Procedure(
    name="open-circuit",
    summary="watch the open-circuit voltage, for a time or until it has come to rest",
    parameters=WatchOpenCircuit,
    roles=POTENTIOSTAT_AND_ROUTES,
    run=run,
    produces={
        "ocv_v": "open-circuit voltage at the end",
        "dv_dt_v_per_s": "its slope over the last window, with dv_dt_uncertainty_v_per_s",
        "end": "which limit ended it",
    },
    pausable=True,
    resumable=True,
)
