"""Rest with the cell disconnected; measured only where it ends by the voltage's slope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from drivers.interfaces import option

from .context import Context
from .description import POTENTIOSTAT_AND_ROUTES, Procedure
from .schedule.build import Common, flattened, run_schedule, schedule_of, when
from .schedule.language import Rest


@dataclass(frozen=True, slots=True, kw_only=True)
class RestCell(Common):
    """Parameters of a rest."""

    duration_s: float = option(600.0, unit="s", above=0.0, help="how long (at most, if dv_dt is given)")
    dv_dt_v_per_s: float | None = option(
        None,
        unit="V/s",
        above=0.0,
        help="ends once |dV/dt| is below this, such as 1 mV/h; the voltage is measured then, as an open circuit",
    )
    dv_dt_window_s: float = option(600.0, unit="s", above=0.0, help="stretch over which the slope is fitted")


async def run(context: Context, p: RestCell) -> dict[str, Any]:
    """How long it took, and the slope at the end if it was measured."""
    step = Rest(
        name="rest",
        number=1,
        interval_s=p.interval_s,
        dv_dt_window_s=p.dv_dt_window_s,
        until=(*when("dv_dt", "<", p.dv_dt_v_per_s), *when("time", ">=", p.duration_s)),
    )
    result = flattened(await run_schedule(context, schedule_of("rest", [step]), p))
    return {**result, "disconnected": not step.looks}


PROCEDURE = Procedure(
    name="rest",
    summary="rest, the cell disconnected, for a time or until its voltage has come to rest",
    parameters=RestCell,
    roles=POTENTIOSTAT_AND_ROUTES,
    run=run,
    produces={
        "duration_s": "how long it rested",
        "dv_dt_v_per_s": "slope of the voltage at the end, where it was measured",
        "disconnected": "whether the cell was disconnected throughout (and so nothing measured)",
    },
    pausable=True,
    resumable=True,
)
