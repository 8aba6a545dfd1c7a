"""A voltage held until the current has tapered off, with a cap on the current."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from drivers.interfaces import option

from .common import positive
from .context import Context
from .description import POTENTIOSTAT_AND_ROUTES, Procedure
from .schedule.build import OfCell, amount, flattened, per_area, run_schedule, schedule_of, when
from .schedule.language import ConstantVoltage

#: Of the cap, where no taper current is given (domain note, section 3: I_cc/20).
_TAPER = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldVoltage(OfCell):
    """Parameters of a constant voltage.

    The cap has no default: without one a cell of low resistance takes (voltage - open-circuit voltage) / resistance.
    """

    voltage_v: float = option(unit="V", help="voltage to hold, such as 4.2 V")
    current_limit_a: float = option(unit="A", above=0.0, help="cap of the current; up to the voltage at this current")
    taper_current_a: float | None = option(
        None, unit="A", above=0.0, help="ends at this current, unsigned; a twentieth of the cap unless given"
    )
    duration_s: float = option(172_800.0, unit="s", above=0.0, help="ends after this time")
    capacity_limit_c: float | None = option(None, unit="C", above=0.0, help="ends at this charge, such as 1.25 pAh")

    def __post_init__(self) -> None:
        positive(taper_current_a=self.taper_current_a)


async def run(context: Context, p: HoldVoltage) -> dict[str, Any]:
    """Charge and time, the last current, and which limit ended it."""
    taper = p.taper_current_a if p.taper_current_a is not None else p.current_limit_a / _TAPER
    step = ConstantVoltage(
        name="hold",
        number=1,
        interval_s=p.interval_s,
        voltage_v=p.voltage_v,
        current_limit=amount(p.current_limit_a, "A"),
        until=(
            *when("current", "<=", taper),
            *when("capacity", ">=", p.capacity_limit_c),
            *when("time", ">=", p.duration_s),
        ),
    )
    schedule = schedule_of("constant-voltage", [step], p, window_v=(None, p.voltage_v))
    result = flattened(await run_schedule(context, schedule, p))
    return {
        **result,
        "voltage_v": p.voltage_v,
        "taper_current_a": taper,
        "capacity_ah_per_m2": per_area(result["capacity_ah"], p.area_m2),
    }


PROCEDURE = Procedure(
    name="constant-voltage",
    summary="hold a voltage until the current has tapered off, capped",
    parameters=HoldVoltage,
    roles=POTENTIOSTAT_AND_ROUTES,
    run=run,
    produces={
        "capacity_ah": "charge that passed",
        "current_end_a": "the last current",
        "handovers": "where the cap held: constant current up to the voltage, then constant voltage",
        "end": "which limit ended it",
    },
    pausable=True,
    resumable=True,
)
