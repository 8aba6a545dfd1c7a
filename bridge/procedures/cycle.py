"""Galvanostatic cycling: charge, rest, discharge, repeat; the cell disconnected in every rest and after any ending."""

from __future__ import annotations

from typing import Any

from bridge.analysis.capacity import ah
from bridge.analysis.formatting import si
from drivers.errors import RunFailed
from drivers.interfaces import Potentiostat
from drivers.plain import to_plain
from drivers.samples import EndReason
from drivers.techniques import Galvanostatic

from . import feasibility
from .common import Reporter, check_route, instrument, potentiostat_of, select_route, source_off_afterwards
from .context import Context
from .cycle_parameters import Cycle, check_plan, over_anode
from .cycle_step import Step, run_step
from .description import POTENTIOSTAT_AND_ROUTES, Procedure

__all__ = ["PROCEDURE", "Cycle", "run"]

#: Parts of a rest between which progress is told.
_REST_PARTS = 20


async def run(context: Context, parameters: Cycle) -> dict[str, Any]:
    """Results by cycle and in total. Raises `Refused` before anything is energised where the plan cannot work, and
    `RunFailed` with what was done so far if the instrument goes over range."""
    potentiostat = potentiostat_of(context)
    feedthrough = check_route(context, parameters.route)
    notes = check_plan(parameters) + _check_instrument(potentiostat, parameters)
    for text in notes:
        context.note(text)
    cycling = _Cycling(context, potentiostat, parameters, notes)
    async with source_off_afterwards(context, potentiostat):
        await select_route(context, potentiostat, feedthrough, parameters.route)
        await cycling.run()
    return cycling.result()


def _check_instrument(potentiostat: Potentiostat, p: Cycle) -> list[str]:
    feasibility.require_technique(potentiostat, Galvanostatic.name)
    feasibility.require_interval(potentiostat, p.interval_s)
    feasibility.require_window(potentiostat, p.voltage_min_v, p.voltage_max_v)
    feasibility.plan_current(potentiostat, p.current, p.tolerance * p.current, "cycling at")
    allowed = p.tolerance * p.current
    leak = feasibility.require_input(potentiostat, p.current, p.voltage_max_v, allowed)
    if leak is None:
        return ["the input resistance of the instrument is not known: a leak through it would look like charge"]
    if leak > allowed / 10:
        return [
            f"the instrument's input takes up to {si(leak, 'A')} of the {si(p.current, 'A')}: coulombic efficiency "
            "comes out too low by about twice that share"
        ]
    return []


class _Cycling:
    """One run under way: what is done so far, and where it is."""

    def __init__(self, context: Context, potentiostat: Potentiostat, p: Cycle, notes: list[str]) -> None:
        self._context = context
        self._potentiostat = potentiostat
        self._p = p
        self._notes = notes
        self._reporter = Reporter(context)
        self._steps: list[Step] = []
        self._stopped = False

    async def run(self) -> None:
        kinds = ("charge", "discharge") if self._p.start_with == "charge" else ("discharge", "charge")
        plan = [(cycle, kind) for cycle in range(1, self._p.cycles + 1) for kind in kinds]
        for number, (cycle, kind) in enumerate(plan):
            if number:
                await self._rest(cycle, number / len(plan))
            step = await run_step(
                self._potentiostat, self._p, self._reporter, cycle, kind, number / len(plan), 1 / len(plan)
            )
            self._steps.append(step)
            self._watch(step)
            if self._stopped:
                break
        self._reporter.now("done" if not self._stopped else "stopped", 1.0 if not self._stopped else None)

    def _watch(self, step: Step) -> None:
        name = f"{step.kind} {step.cycle}"
        if step.end is EndReason.OVERLOAD:
            raise RunFailed(
                f"{name}: the instrument went over range at {step.voltage_end_v:.4g} V; the cell is disconnected",
                device=self._potentiostat.name,
                hint="Look at contact and range; what was measured until then is recorded.",
                partial=self.result(),
            )
        if step.end is EndReason.STOPPED:
            self._stopped = True
        if step.charge.gaps:
            bridged = si(ah(abs(step.charge.gap_c)), "Ah")
            self._note(
                f"{name}: {len(step.charge.gaps)} gaps in the device's time; {bridged} that a straight line through "
                "them would add are not counted"
            )
        areal = self._p.per_area(ah(step.passed_c))
        if areal is not None and step.kind == "charge" and areal > self._p.anode_capacity_ah_per_m2:
            self._note(over_anode(areal, self._p.anode_capacity_ah_per_m2, f"{name}: the charge"))
        if step.compliance:
            self._note(
                f"{name}: {step.compliance} samples at the source's limit (compliance): the set current did not flow"
            )

    def _note(self, text: str) -> None:
        self._notes.append(text)
        self._context.note(text)

    async def _rest(self, cycle: int, fraction: float) -> None:
        """The step before has disconnected the cell; the instrument's time passes."""
        clock = self._potentiostat.clock
        begin = clock.monotonic()
        self._reporter.now("rest", fraction, cycle=cycle, elapsed_s=0.0)
        while (elapsed := clock.monotonic() - begin) < self._p.rest_s:
            await clock.sleep(min(self._p.rest_s - elapsed, max(1.0, self._p.rest_s / _REST_PARTS)))
            self._reporter.maybe("rest", fraction, cycle=cycle, elapsed_s=clock.monotonic() - begin)

    def result(self) -> dict[str, Any]:
        p = self._p
        charged = [s for s in self._steps if s.kind == "charge"]
        discharged = [s for s in self._steps if s.kind == "discharge"]
        charge_ah = ah(sum(s.passed_c for s in charged))
        discharge_ah = ah(sum(s.passed_c for s in discharged))
        whole = {"charge", "discharge"} == {s.kind for s in self._steps}
        fields: dict[str, Any] = {
            "procedure": "cycle",
            "completed": len(self._steps) == 2 * p.cycles and not self._stopped,
            "charge_ah": charge_ah,
            "discharge_ah": discharge_ah,
            "charge_ah_per_m2": p.per_area(charge_ah),
            "discharge_ah_per_m2": p.per_area(discharge_ah),
            # of a step that was stopped half way it would be a number without a meaning
            "coulombic_efficiency": discharge_ah / charge_ah if whole and charge_ah and not self._stopped else None,
            # a fresh cell starts its first charge far below the window: that is no voltage that it was discharged to
            "voltage_min_v": min((s.voltage_lowest_v for s in discharged or self._steps), default=None),
            "voltage_max_v": max((s.voltage_highest_v for s in charged or self._steps), default=None),
            "duration_s": sum(s.duration_s for s in self._steps),
            "cycles": [self._cycle(number) for number in range(1, 1 + max((s.cycle for s in self._steps), default=0))],
            "settings": p.describe(),
            "instrument": instrument(self._potentiostat),
            "range": next((s.range for s in self._steps if s.range), None),
            "samples": sum(s.samples for s in self._steps),
            "sign": "positive current charges",
            "notes": list(self._notes),
        }
        plain: dict[str, Any] = to_plain(fields)
        return plain

    def _cycle(self, number: int) -> dict[str, Any]:
        steps = {s.kind: s for s in self._steps if s.cycle == number}
        charge, discharge = steps.get("charge"), steps.get("discharge")
        charge_ah = ah(charge.passed_c) if charge else None
        discharge_ah = ah(discharge.passed_c) if discharge else None
        stopped = any(s.end is EndReason.STOPPED for s in steps.values())
        efficiency = discharge_ah / charge_ah if charge_ah and discharge_ah is not None and not stopped else None
        return {
            "cycle": number,
            "charge_ah": charge_ah,
            "discharge_ah": discharge_ah,
            "charge_ah_per_m2": self._p.per_area(charge_ah),
            "discharge_ah_per_m2": self._p.per_area(discharge_ah),
            "coulombic_efficiency": efficiency,
            "steps": [step.to_dict() for step in self._steps if step.cycle == number],
        }


PROCEDURE = Procedure(
    name="cycle",
    summary="galvanostatic charge, rest and discharge between two voltages",
    parameters=Cycle,
    roles=POTENTIOSTAT_AND_ROUTES,
    run=run,
    produces={
        "charge_ah": "charge of the last full cycle",
        "discharge_ah": "discharge of the last full cycle",
        "coulombic_efficiency": "discharge over charge",
    },
)
