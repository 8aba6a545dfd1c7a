"""Leak or trap: where did the charge of the first cycle go that did not come back?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.analysis.formatting import si
from drivers.errors import InvalidValue
from drivers.interfaces import Potentiostat, option
from drivers.techniques import Galvanostatic, OpenCircuit

from .. import feasibility
from ..common import check_route, potentiostat_of, select_route, source_off_afterwards
from ..context import Context
from ..description import POTENTIOSTAT_AND_ROUTES, Procedure
from ..schedule.build import WithCurrent, charge_of
from .leak_or_trap_run import Experiment, Plan

SECOND_RATE, REST = "second-rate", "rest"

#: Of a rest that is to show a leak, where its length is not given.
_REST_S = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakOrTrap(WithCurrent):
    """Parameters. The current, unsigned, is the first cycle's. With `first_charge` and `first_discharge` that cycle is
    one of an earlier run on another cell of the same make, as fresh as this one, and only the second is done."""

    method: str = option(
        SECOND_RATE,
        choices=(SECOND_RATE, REST),
        help="second-rate: a second cycle at another current; rest: the voltage of a rest after the charge",
    )
    second_factor: float = option(2.0, unit="1", above=0.0, help="current of the second cycle in shares of the first's")
    capacity_limit_c: float | None = option(None, unit="C", above=0.0, help="a charge ends at this charge")
    capacity_limit_ah_per_m2: float | None = option(
        None, unit="A*h/m**2", above=0.0, help="the same by area, such as 30 uAh/cm2"
    )
    time_limit_s: float = option(172_800.0, unit="s", above=0.0, help="a step ends after this time")
    voltage_min_v: float = option(2.0, unit="V", help="discharge ends here")
    voltage_max_v: float = option(4.2, unit="V", help="charge ends here")
    rest_s: float | None = option(
        None,
        unit="s",
        at_least=0.0,
        help="rest after a charge; none for second-rate, 15 min with the voltage measured for rest, unless given",
    )
    first_charge_ah: float | None = option(None, unit="A*h", above=0.0, help="first cycle of an earlier run: charge")
    first_discharge_ah: float | None = option(
        None, unit="A*h", above=0.0, help="first cycle of an earlier run: what came back"
    )

    def __post_init__(self) -> None:
        if self.current <= 0:
            raise InvalidValue(f"the current is {si(self.current, 'A')}; one above zero is accepted, it charges first")
        if self.voltage_min_v >= self.voltage_max_v:
            raise InvalidValue(
                f"voltage_min_v is {self.voltage_min_v:g} V, not below voltage_max_v, {self.voltage_max_v:g} V"
            )
        if self.method == SECOND_RATE and 0.8 < self.second_factor < 1.25:
            raise InvalidValue(
                f"second_factor is {self.second_factor:g}: too near the first rate to tell anything; 1.25 and more, or "
                "0.8 and less, is accepted"
            )
        if self.method == REST and self.rest_s is not None and self.rest_s < 60.0:
            raise InvalidValue(f"rest_s is {self.rest_s:g} s; at least 60 s are needed to see a leak in them")
        if (self.first_charge_ah is None) != (self.first_discharge_ah is None):
            raise InvalidValue("first_charge_ah and first_discharge_ah go together; one of them is not given")
        if self.first_charge_ah is not None:
            if self.method == REST:
                raise InvalidValue("first_charge_ah is given; a rest needs no earlier cycle, it has its own")
            if self.first_discharge_ah is not None and self.first_discharge_ah > self.first_charge_ah:
                raise InvalidValue("first_discharge_ah is more than first_charge_ah: nothing is missing")
        charge_of(self.capacity_limit_c, self.capacity_limit_ah_per_m2, self.area_m2)

    def plan(self) -> Plan:
        """What is done, in SI."""
        rest_s = self.rest_s if self.rest_s is not None else _REST_S if self.method == REST else 0.0
        return Plan(
            by_rest=self.method == REST,
            first_a=self.current,
            second_a=self.current * self.second_factor,
            charge_limit_c=charge_of(self.capacity_limit_c, self.capacity_limit_ah_per_m2, self.area_m2),
            first_charge_ah=self.first_charge_ah,
            first_discharge_ah=self.first_discharge_ah,
            rest_s=rest_s,
            time_limit_s=self.time_limit_s,
            voltage_min_v=self.voltage_min_v,
            voltage_max_v=self.voltage_max_v,
            interval_s=self.interval_s,
            area_m2=self.area_m2,
            stray_f=self.stray_f,
            latency_s=self.latency_s,
        )


async def run(context: Context, p: LeakOrTrap) -> dict[str, Any]:
    """The verdict with its numbers. Raises `Refused` before anything is energised where the instrument cannot do it,
    and `RunFailed` where the contact was lost."""
    potentiostat = potentiostat_of(context)
    feedthrough = check_route(context, p.route)
    plan = p.plan()
    notes = _check_instrument(potentiostat, plan, p.tolerance)
    for text in notes:
        context.note(text)
    experiment = Experiment(context, potentiostat, plan, notes)
    async with experiment.kept_afterwards(), source_off_afterwards(context, potentiostat):
        await select_route(context, potentiostat, feedthrough, p.route)
        await experiment.run()
    return {**experiment.result(), "route": p.route}


def _check_instrument(potentiostat: Potentiostat, plan: Plan, tolerance: float) -> list[str]:
    feasibility.require_technique(potentiostat, Galvanostatic.name)
    if plan.by_rest:
        feasibility.require_technique(potentiostat, OpenCircuit.name)
    feasibility.require_interval(potentiostat, plan.interval_s)
    feasibility.require_window(potentiostat, plan.voltage_min_v, plan.voltage_max_v)
    for current in plan.currents:
        feasibility.plan_current(potentiostat, current, tolerance * current, "leak-or-trap at")
    smallest = min(plan.currents)
    leak = feasibility.require_input(potentiostat, smallest, plan.voltage_max_v, tolerance * smallest)
    if leak is None:
        return ["the input resistance of the instrument is not known: its own leak counts as the cell's"]
    if leak > 0.01 * smallest:
        return [f"the instrument's input may take {si(leak, 'A')} of it: that much leaks outside the cell"]
    return []


PROCEDURE = Procedure(
    name="leak-or-trap",
    summary="tell a leak from trapped charge, by a second rate or by a rest",
    parameters=LeakOrTrap,
    roles=POTENTIOSTAT_AND_ROUTES,
    run=run,
    produces={
        "verdict": "leak, trap or undecided",
        "leak_a": "the leak, with its uncertainty, at the voltage that is given beside it",
        "returned_share": "what comes back of charge that is put in for the first time, the leak aside",
        "cycles": "charges and ratio of each cycle",
    },
    pausable=True,
    resumable=True,
)
