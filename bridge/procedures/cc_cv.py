"""Constant current to a voltage, then that voltage until the current has tapered off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from drivers.interfaces import option

from .context import Context
from .description import POTENTIOSTAT_AND_ROUTES, Procedure
from .schedule.build import WithCurrent, amount, charge_of, flattened, per_area, run_schedule, schedule_of, when
from .schedule.language import ConstantCurrentVoltage

#: Of the constant current, where no taper current is given (domain note, section 3).
_TAPER = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantCurrentThenVoltage(WithCurrent):
    """Parameters of CC-CV."""

    voltage_v: float = option(4.2, unit="V", help="voltage at which the current ends and the holding begins")
    taper_current_a: float | None = option(
        None, unit="A", above=0.0, help="ends at this current, unsigned; a twentieth of the current unless given"
    )
    duration_s: float = option(172_800.0, unit="s", above=0.0, help="ends after this time, both parts together")
    capacity_limit_c: float | None = option(None, unit="C", above=0.0, help="ends at this charge, such as 1.25 pAh")
    capacity_limit_ah_per_m2: float | None = option(None, unit="A*h/m**2", above=0.0, help="the same by area")

    def __post_init__(self) -> None:
        _ = self.current
        charge_of(self.capacity_limit_c, self.capacity_limit_ah_per_m2, self.area_m2)


async def run(context: Context, p: ConstantCurrentThenVoltage) -> dict[str, Any]:
    """Charge of each part, and the handover between them with its gap."""
    current = p.current
    taper = p.taper_current_a if p.taper_current_a is not None else abs(current) / _TAPER
    step = ConstantCurrentVoltage(
        name="cc-cv",
        number=1,
        interval_s=p.interval_s,
        current=amount(current, "A"),
        voltage_v=p.voltage_v,
        until=(
            *when("current", "<=", taper),
            *when("capacity", ">=", charge_of(p.capacity_limit_c, p.capacity_limit_ah_per_m2, p.area_m2)),
            *when("time", ">=", p.duration_s),
        ),
    )
    window = (None, p.voltage_v) if current > 0 else (p.voltage_v, None)
    result = flattened(await run_schedule(context, schedule_of("cc-cv", [step], p, window_v=window), p))
    return {
        **result,
        "current_a": current,
        "voltage_v": p.voltage_v,
        "taper_current_a": taper,
        "capacity_ah_per_m2": per_area(result["capacity_ah"], p.area_m2),
        "constant_current_ah": result["handovers"][0]["capacity_ah"] if result["handovers"] else result["capacity_ah"],
    }


PROCEDURE = Procedure(
    name="cc-cv",
    summary="constant current to a voltage, then constant voltage until the current has tapered off",
    parameters=ConstantCurrentThenVoltage,
    roles=POTENTIOSTAT_AND_ROUTES,
    run=run,
    produces={
        "capacity_ah": "charge that passed, both parts",
        "constant_current_ah": "the part of it at constant current",
        "handovers": "the change from current to voltage: when, and the gap with the cell disconnected",
        "end": "which limit ended it",
    },
    pausable=True,
    resumable=True,
)
