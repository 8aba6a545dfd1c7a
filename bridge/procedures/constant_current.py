"""One charge or discharge at constant current, until a voltage, a charge or a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from drivers.interfaces import option

from .context import Context
from .description import POTENTIOSTAT_AND_ROUTES, Procedure
from .schedule.build import WithCurrent, amount, charge_of, flattened, per_area, run_schedule, schedule_of, when
from .schedule.language import ConstantCurrent


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyCurrent(WithCurrent):
    """Parameters of a constant current. The window ends it in the current's own direction only."""

    voltage_min_v: float = option(2.0, unit="V", help="a discharge ends here")
    voltage_max_v: float = option(4.2, unit="V", help="a charge ends here")
    capacity_limit_c: float | None = option(None, unit="C", above=0.0, help="ends at this charge, such as 1.25 pAh")
    capacity_limit_ah_per_m2: float | None = option(None, unit="A*h/m**2", above=0.0, help="the same by area")
    duration_s: float = option(172_800.0, unit="s", above=0.0, help="ends after this time")

    def __post_init__(self) -> None:
        _ = self.current
        charge_of(self.capacity_limit_c, self.capacity_limit_ah_per_m2, self.area_m2)


async def run(context: Context, p: ApplyCurrent) -> dict[str, Any]:
    """Charge, time and voltages, and which limit ended it."""
    current = p.current
    limit = p.voltage_max_v if current > 0 else p.voltage_min_v
    step = ConstantCurrent(
        name="charge" if current > 0 else "discharge",
        number=1,
        interval_s=p.interval_s,
        current=amount(current, "A"),
        until=(
            *when("voltage", ">=" if current > 0 else "<=", limit),
            *when("capacity", ">=", charge_of(p.capacity_limit_c, p.capacity_limit_ah_per_m2, p.area_m2)),
            *when("time", ">=", p.duration_s),
        ),
    )
    schedule = schedule_of("constant-current", [step], p, window_v=(p.voltage_min_v, p.voltage_max_v))
    result = flattened(await run_schedule(context, schedule, p))
    return {**result, "current_a": current, "capacity_ah_per_m2": per_area(result["capacity_ah"], p.area_m2)}


PROCEDURE = Procedure(
    name="constant-current",
    summary="charge or discharge at constant current until a voltage, a charge or a time",
    parameters=ApplyCurrent,
    roles=POTENTIOSTAT_AND_ROUTES,
    run=run,
    produces={
        "capacity_ah": "charge that passed until the last sample",
        "capacity_interpolated_ah": "until the instant at which the limit was crossed",
        "end": "which limit ended it",
    },
    pausable=True,
    resumable=True,
)
