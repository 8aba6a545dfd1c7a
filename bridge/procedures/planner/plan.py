"""The procedure `plan`: the checks of a run that is not started, as a table with a verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bridge.analysis.capacity import COULOMB_PER_AH
from bridge.analysis.formatting import area, si
from bridge.analysis.geometry import effective_area_m2
from drivers.errors import InvalidValue
from drivers.interfaces import Options, option

from ..common import DEFAULT_LATENCY_S, instrument, potentiostat_of
from ..context import Context
from ..description import Procedure, Role
from .checks import PlannedRun, check_all
from .leads import worst


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Options):
    """Parameters. One of `current_a`, `current_density_a_per_m2` and `c_rate` says the current."""

    current_a: float | None = option(None, unit="A", above=0, help="current, unsigned")
    current_density_a_per_m2: float | None = option(
        None, unit="A/m**2", above=0, help="current by area, such as 50 uA/cm2"
    )
    c_rate: float | None = option(None, unit="1", above=0, help="current by capacity: 1 is the capacity in an hour")
    area_m2: float | None = option(None, unit="m**2", above=0, help="active area, such as 10 um2")
    length_m: float | None = option(None, unit="m", above=0, help="length of the cross-section, instead of the area")
    width_m: float | None = option(None, unit="m", above=0, help="width of the cross-section, instead of the area")
    damage_depth_m: float = option(
        0.0, unit="m", at_least=0, help="dead layer that the ion beam left on each side (up to 25 nm at 30 kV)"
    )
    capacity_ah: float | None = option(None, unit="A*h", above=0, help="capacity: of the C-rate, and to be charged")
    capacity_ah_per_m2: float | None = option(None, unit="A*h/m**2", above=0, help="the same by area")
    anode_capacity_ah_per_m2: float = option(
        0.653, unit="A*h/m**2", above=0, help="what the anode can hold (80 nm Si: 65 uAh/cm2)"
    )
    voltage_min_v: float = option(2.0, unit="V", help="lower end of the voltage window")
    voltage_max_v: float = option(4.2, unit="V", help="upper end of the voltage window")
    leads: str = option(
        "feedthrough, manipulator", help="the leads of the cell: feedthrough, stage-ground, manipulator, shielded-tip"
    )
    route_floor_a: float | None = option(
        None, unit="A", above=0, help="least current that passed a noise test on this route; else the paper's"
    )
    tolerance: float = option(
        0.1, unit="1", above=0, at_most=1, help="error, noise and leak may each be this share of the current"
    )
    interval_s: float = option(0.1, unit="s", above=0, help="sampling interval")
    stray_f: float = option(100e-12, unit="F", above=0, help="capacitance of the lead (coax has 100 pF a metre)")
    resistance_ohm: float | None = option(None, unit="ohm", above=0, help="of the cell, for the settling time")
    latency_s: float = option(DEFAULT_LATENCY_S, unit="s", at_least=0, help="from a sample to the source off")

    def __post_init__(self) -> None:
        if self.voltage_min_v >= self.voltage_max_v:
            raise InvalidValue(
                f"voltage_min_v is {self.voltage_min_v:g} V, not below voltage_max_v, {self.voltage_max_v:g} V"
            )
        if (self.length_m is None) != (self.width_m is None):
            raise InvalidValue("length_m and width_m go together; one of them is not given")
        if self.area_m2 is not None and self.length_m is not None:
            raise InvalidValue("area_m2 and length_m are both given; one way to say the area is accepted")
        if self.length_m is not None and self.width_m is not None:
            effective_area_m2(self.length_m, self.width_m, self.damage_depth_m)
        if self.capacity_ah is not None and self.capacity_ah_per_m2 is not None:
            raise InvalidValue("capacity_ah and capacity_ah_per_m2 are both given; one of them is accepted")
        if self.capacity_ah_per_m2 is not None and self.effective_area_m2 is None:
            raise InvalidValue("capacity_ah_per_m2 needs area_m2, such as '10 um2'")
        self._check_current()

    def _check_current(self) -> None:
        ways = ("current_a", "current_density_a_per_m2", "c_rate")
        given = [name for name in ways if getattr(self, name) is not None]
        by_density = self.current_density_a_per_m2
        if len(given) == 2 and self.c_rate is None and self.effective_area_m2 is not None and by_density is not None:
            wanted = by_density * self.effective_area_m2
            raise InvalidValue(
                f"current_a is {si(self.current_a, 'A')}, but {si(by_density, 'A/m2')} on "
                f"{area(self.effective_area_m2)} is {si(wanted, 'A')}; give one of the two"
            )
        if len(given) != 1:
            said = " and ".join(given) or "no current"
            raise InvalidValue(f"{said} given; exactly one of {', '.join(ways)} is accepted")
        if by_density is not None and self.effective_area_m2 is None:
            raise InvalidValue("current_density_a_per_m2 needs area_m2, such as '10 um2'")
        if self.c_rate is not None and self.charge_c is None:
            raise InvalidValue("c_rate needs capacity_ah or capacity_ah_per_m2: without a capacity it is no current")

    @property
    def effective_area_m2(self) -> float | None:
        """What takes part: the cross-section without what the ion beam has killed on its sides."""
        if self.length_m is None or self.width_m is None:
            return self.area_m2
        return effective_area_m2(self.length_m, self.width_m, self.damage_depth_m)

    @property
    def charge_c(self) -> float | None:
        if self.capacity_ah is not None:
            return self.capacity_ah * COULOMB_PER_AH
        if self.capacity_ah_per_m2 is not None and self.effective_area_m2 is not None:
            return self.capacity_ah_per_m2 * self.effective_area_m2 * COULOMB_PER_AH
        return None

    @property
    def current(self) -> float:
        """In amperes, unsigned."""
        if self.current_a is not None:
            return self.current_a
        if self.current_density_a_per_m2 is not None and self.effective_area_m2 is not None:
            return self.current_density_a_per_m2 * self.effective_area_m2
        assert self.c_rate is not None  # one of the three is given
        assert self.charge_c is not None
        return self.c_rate * self.charge_c / COULOMB_PER_AH


async def run(context: Context, parameters: Plan) -> dict[str, Any]:
    """Nothing is sent to any device; `potentiostat` is asked what it can do."""
    potentiostat = potentiostat_of(context)
    names = [name.strip() for name in parameters.leads.split(",") if name.strip()]
    planned = PlannedRun(
        current_a=parameters.current,
        area_m2=parameters.effective_area_m2,
        charge_c=parameters.charge_c,
        anode_ah_per_m2=parameters.anode_capacity_ah_per_m2,
        voltage_min_v=parameters.voltage_min_v,
        voltage_max_v=parameters.voltage_max_v,
        tolerance=parameters.tolerance,
        interval_s=parameters.interval_s,
        latency_s=parameters.latency_s,
        stray_f=parameters.stray_f,
        resistance_ohm=parameters.resistance_ohm,
        lead=worst(names),
        floor_a=parameters.route_floor_a,
    )
    checks = check_all(potentiostat, planned)
    against = [check for check in checks if check.ok is False]
    context.progress("done", 1.0)
    return {
        "procedure": "plan",
        "verdict": "no-go" if against else "go",
        "reason": "; ".join(check.text for check in against) or checks[0].text,
        "remedies": [check.remedy for check in against if check.remedy],
        "current_a": planned.current_a,
        "current_density_a_per_m2": planned.density_a_per_m2,
        "area_m2": planned.area_m2,
        "charge_c": planned.charge_c,
        "duration_s": None if planned.charge_c is None else planned.charge_c / planned.current_a,
        "leads": names,
        "worst_lead": planned.lead.name if planned.lead is not None else None,
        "checks": [asdict(check) for check in checks],
        "instrument": instrument(potentiostat),
    }


PROCEDURE = Procedure(
    name="plan",
    summary="go or no-go for a planned run, from geometry, leads and instrument; nothing is energised",
    parameters=Plan,
    roles={"potentiostat": Role("potentiostat")},
    run=run,
    produces={
        "verdict": "go or no-go",
        "checks": "each check with what it found, its limit and what would make it fit",
        "remedies": "what would make a no-go a go",
    },
)
