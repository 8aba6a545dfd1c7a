"""Cycling: charge (constant current, constant voltage, or one after the other), rest, discharge, repeat; the cell
disconnected in every rest and after any ending."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import Any

from bridge.analysis.capacity import ah
from bridge.analysis.formatting import si
from drivers.errors import HealthStop, Refused, RunFailed
from drivers.interfaces import Potentiostat
from drivers.plain import to_plain
from drivers.samples import EndReason
from drivers.techniques import Galvanostatic, Potentiostatic

from . import feasibility
from .common import (
    Reporter,
    check_route,
    instrument,
    potentiostat_of,
    require_closed_route,
    select_route,
    source_off_afterwards,
)
from .context import Context
from .cycle_geometry import changed_density
from .cycle_parameters import Cycle, check_plan, over_anode
from .cycle_results import METHOD, cycle_results, efficiencies, energy_density_of, retention, step_result
from .cycle_step import CHARGE, CONTACT_LOST, DISCHARGE, SAVE_S, STOPPED, Step, StepRunner, begin
from .description import POTENTIOSTAT_AND_ROUTES, Procedure
from .planner import PlannedRun, check_all, require
from .planner.leads import worst
from .recovery import CLEANED, after_short

__all__ = ["PROCEDURE", "Cycle", "run"]

#: Parts of a rest between which progress is told.
_REST_PARTS = 20


async def run(context: Context, parameters: Cycle) -> dict[str, Any]:
    """Results by cycle and in total. Raises `Refused` before anything is energised where the plan cannot work, and
    `RunFailed` with what was done so far if the instrument goes over range or the contact is lost; both can be resumed.
    """
    potentiostat = potentiostat_of(context)
    feedthrough = check_route(context, parameters.route)
    areas = parameters.areas()
    p = parameters.at(potentiostat.clock.time_ns())
    cycling = _Cycling(context, potentiostat, p, [entry.to_dict() for entry in areas])
    notes = check_plan(p) + _check_instrument(potentiostat, p)
    if p.current_a is not None and len(areas) > 1 and p.area_m2 is not None and areas[0].area_m2 != p.area_m2:
        notes.append(changed_density(p.current_a, areas[0].area_m2, p.area_m2))
    for text in notes:
        cycling.note(text)
    async with source_off_afterwards(context, potentiostat):
        await require_closed_route(context, p.route)
        await select_route(context, potentiostat, feedthrough, p.route)
        await cycling.run()
    return cycling.result()


def _check_instrument(potentiostat: Potentiostat, p: Cycle) -> list[str]:
    feasibility.require_technique(potentiostat, Galvanostatic.name)
    if p.charge_mode != "cc":
        feasibility.require_technique(potentiostat, Potentiostatic.name)
    feasibility.require_interval(potentiostat, p.interval_s)
    feasibility.require_window(potentiostat, p.voltage_min_v, p.voltage_max_v)
    feasibility.plan_current(potentiostat, p.current, p.tolerance * p.current, "cycling at")
    allowed = p.tolerance * p.current
    leak = feasibility.require_input(potentiostat, p.current, p.voltage_max_v, allowed)
    require(check_all(potentiostat, _planned(p)), device=potentiostat.name)
    if leak is None:
        return ["the input resistance of the instrument is not known: a leak through it would look like charge"]
    if leak > allowed / 10:
        return [
            f"the instrument's input takes up to {si(leak, 'A')} of the {si(p.current, 'A')}: coulombic efficiency "
            "comes out too low by about twice that share"
        ]
    return []


def _planned(p: Cycle) -> PlannedRun:
    return PlannedRun(
        current_a=p.current,
        area_m2=p.area_m2,
        charge_c=p.charge_limit_c,
        anode_ah_per_m2=p.anode_capacity_ah_per_m2,
        voltage_min_v=p.voltage_min_v,
        voltage_max_v=p.voltage_max_v,
        tolerance=p.tolerance,
        interval_s=p.interval_s,
        latency_s=p.latency_s,
        lead=worst(p.lead_names) if p.leads else None,
        floor_a=p.route_floor_a,
    )


class _Cycling:
    """One run under way: what is done so far, and where it is."""

    def __init__(self, context: Context, potentiostat: Potentiostat, p: Cycle, areas: list[dict[str, Any]]) -> None:
        self._context = context
        self._potentiostat = potentiostat
        self._p = p
        self._areas = areas
        self._notes: list[str] = []
        self._reporter = Reporter(context)
        self._done: list[dict[str, Any]] = []
        self._under_way: Step | None = None
        self._recoveries: list[dict[str, Any]] = []
        self._end = ""
        self._saved = -math.inf
        self._restore()

    def _restore(self) -> None:
        """Go on where the interrupted run was, if this one resumes it."""
        saved = self._context.saved
        if not saved:
            return
        if saved["start_with"] != self._p.start_with:
            raise Refused("the run that was interrupted began with the other step", hint="Start a new run.")
        self._done = list(saved["steps"])
        self._notes = list(saved["notes"])
        self._recoveries = list(saved["recoveries"])
        self._areas = list(saved["areas"])
        if saved["step"]:
            self._under_way = Step.from_dict(saved["step"])
        for recovery in self._recoveries:
            if recovery["choice"] == CLEANED:
                self._p = self._p.cut_again(recovery["area_m2"], recovery["current_a"])

    async def _save(self) -> None:
        self._saved = time.monotonic()
        step = self._under_way
        await self._context.save(
            start_with=self._p.start_with,
            steps=self._done,
            step=None if step is None else step.to_dict(),
            recoveries=self._recoveries,
            areas=self._areas,
            notes=self._notes,
        )

    async def run(self) -> None:
        kinds = (CHARGE, DISCHARGE) if self._p.start_with == CHARGE else (DISCHARGE, CHARGE)
        plan = [(cycle, kind) for cycle in range(1, self._p.cycles + 1) for kind in kinds]
        for number in range(len(self._done), len(plan)):
            cycle, kind = plan[number]
            await self._context.pause_point()
            if number and self._under_way is None:
                await self._rest(cycle, number / len(plan))
            step = await self._step(cycle, kind, (number / len(plan), 1 / len(plan)))
            before = self._done[-1] if self._done else None
            if step.end in (STOPPED, CONTACT_LOST, EndReason.OVERLOAD.value):
                self._done.append(step_result(self._p, step, before, self._p.rest_s))
                self._told(step)
                self._fail(step)
                self._end = step.end
                break
            self._done.append(step_result(self._p, step, before, self._p.rest_s))
            self._under_way = None
            self._told(step)
            if time.monotonic() - self._saved > SAVE_S:  # a simulation's steps may take no time at all
                await self._save()
        self._reporter.now("done" if not self._end else "stopped", None if self._end else 1.0)

    async def _step(self, cycle: int, kind: str, span: tuple[float, float]) -> Step:
        """A step to its end; after a short as the operator says."""
        while True:
            step = self._under_way or begin(self._p, cycle, kind)
            self._under_way = step
            runner = StepRunner(
                self._context, self._potentiostat, self._p, step, self._reporter, span=span, save=self._save
            )
            try:
                await runner.run()
                return step
            except HealthStop as stop:
                await self._recover(stop, step)

    async def _recover(self, stop: HealthStop, step: Step) -> None:
        """What the operator says after a short. Raises `stop` where it was none, or is given up."""
        p = self._p
        if not p.ask_after_short:
            raise stop
        recovery = await after_short(self._context, stop, area_m2=p.area_m2, current_a=p.current)
        said = {**recovery.to_dict(), "cycle": step.cycle, "step": step.kind, "charge_ah": ah(step.passed_c)}
        self._recoveries.append(said)
        if recovery.choice == CLEANED:
            self._p = p.cut_again(recovery.area_m2, recovery.current_a)
            if recovery.area_m2 is not None:
                self._areas.append(
                    {"from_ns": recovery.at_ns, "area_m2": recovery.area_m2, "why": "cleaned again after a short"}
                )
            self._under_way = None  # what went through the short is no cell's: the step begins again
            self.note(f"{step.kind} {step.cycle} begins again; {si(ah(step.passed_c), 'Ah')} went through the short")
        await self._save()

    def _fail(self, step: Step) -> None:
        """Raises `RunFailed` for an end that is a fault, with what was done until then."""
        name = f"{step.kind} {step.cycle}"
        at_v = step.segments[-1].voltage_end_v
        where = "" if at_v is None else f" at {at_v:.4g} V"
        if step.end == EndReason.OVERLOAD.value:
            raise RunFailed(
                f"{name}: the instrument went over range{where}; the cell is disconnected",
                device=self._potentiostat.name,
                hint="Look at contact and range; what was measured until then is recorded.",
                partial=self.result(),
            )
        if step.end == CONTACT_LOST:
            self._end = CONTACT_LOST
            raise RunFailed(
                f"{name}: contact lost: the limit{where} was reached by the lead's capacitance (I/C) or by a current "
                "that vanished, not by the cell; the cell is disconnected",
                device=self._potentiostat.name,
                hint="Make contact again and test it, then resume the run: it goes on with the charge that is left.",
                partial=self.result(),
            )

    def _told(self, step: Step) -> None:
        """What a person should know of a step that has ended."""
        name, result = f"{step.kind} {step.cycle}", self._done[-1]
        if result["gaps"]:
            self.note(
                f"{name}: {len(result['gaps'])} gaps in the device's time; {si(abs(result['gap_charge_ah']), 'Ah')} "
                "that a straight line through them would add are not counted"
            )
        if result["contact_gaps"]:
            opened, times = result["correction"], len(result["contact_gaps"])
            self.note(
                f"{name}: the contact was open {times} times, {si(opened['open_s'], 's')} in all; "
                f"{si(opened['open_ah'], 'Ah')} did not flow through the cell then, {si(opened['returned_ah'], 'Ah')} "
                "came back when it closed"
            )
        areal = self._p.per_area(result["charge_ah"])
        if areal is not None and step.charging and areal > self._p.anode_capacity_ah_per_m2:
            self.note(over_anode(areal, self._p.anode_capacity_ah_per_m2, f"{name}: the charge"))
        if result["compliance_samples"]:
            self.note(
                f"{name}: {result['compliance_samples']} samples at the source's limit (compliance): the set current "
                "did not flow"
            )

    def note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)
        self._context.note(text)

    async def _rest(self, cycle: int, fraction: float) -> None:
        """The step before has disconnected the cell; the instrument's time passes."""
        clock = self._potentiostat.clock
        begin_s = clock.monotonic()
        self._reporter.now("rest", fraction, cycle=cycle, elapsed_s=0.0)
        while (elapsed := clock.monotonic() - begin_s) < self._p.rest_s:
            await clock.sleep(min(self._p.rest_s - elapsed, max(1.0, self._p.rest_s / _REST_PARTS)))
            self._reporter.maybe("rest", fraction, cycle=cycle, elapsed_s=clock.monotonic() - begin_s)

    def result(self) -> dict[str, Any]:
        p, steps = self._p, self._done
        charged = [s for s in steps if s["kind"] == CHARGE]
        discharged = [s for s in steps if s["kind"] == DISCHARGE]
        charge_ah, discharge_ah = (sum(s["charge_ah"] for s in part) for part in (charged, discharged))
        # of a step that was stopped half way an efficiency would be a number without a meaning
        whole = steps if charged and discharged and not self._end else []
        cycles = cycle_results(p, steps)
        fields: dict[str, Any] = {
            "procedure": "cycle",
            "completed": len(steps) == 2 * p.cycles and not self._end,
            "end": self._end or "done",
            "charge_ah": charge_ah,
            "discharge_ah": discharge_ah,
            "charge_ah_per_m2": p.per_area(charge_ah),
            "discharge_ah_per_m2": p.per_area(discharge_ah),
            "charge_corrected_ah": sum(s["charge_corrected_ah"] for s in charged),
            "discharge_corrected_ah": sum(s["charge_corrected_ah"] for s in discharged),
            "charge_wh": sum(s["energy_wh"] for s in charged),
            "discharge_wh": sum(s["energy_wh"] for s in discharged),
            **efficiencies(p, whole),
            "retention": retention(cycles),
            "energy_density": energy_density_of(p, cycles),
            # a fresh cell starts its first charge far below the window: that is no voltage that it was discharged to
            "voltage_min_v": min(
                (v for s in discharged or steps if (v := s["voltage_min_v"]) is not None), default=None
            ),
            "voltage_max_v": max((v for s in charged or steps if (v := s["voltage_max_v"]) is not None), default=None),
            "duration_s": sum(s["duration_s"] for s in steps),
            "cycles": cycles,
            "settings": p.describe(),
            "area_history": self._areas,
            "recoveries": self._recoveries,
            "checks": [asdict(check) for check in check_all(self._potentiostat, _planned(p))],
            "instrument": instrument(self._potentiostat),
            "range": next((s["range"] for s in steps if s["range"]), None),
            "samples": sum(s["samples"] for s in steps),
            "sign": "positive current charges",
            "method": METHOD,
            "notes": list(self._notes),
        }
        plain: dict[str, Any] = to_plain(fields)
        return plain


PROCEDURE = Procedure(
    name="cycle",
    summary="charge, rest and discharge between two voltages, again and again",
    parameters=Cycle,
    roles=POTENTIOSTAT_AND_ROUTES,
    run=run,
    produces={
        "charge_ah": "charge of all cycles, as measured; corrected beside it",
        "discharge_ah": "discharge of all cycles, as measured; corrected beside it",
        "coulombic_efficiency": "discharge over charge, with the digits that the leak check supports",
        "cycles": "each cycle: capacity, energy, efficiencies, retention, resistance, dQ/dV",
        "retention": "what is left of the first cycle's capacity, and the fade per cycle with its interval",
        "energy_density": "Wh/L of the bare stack, where its layers are given",
    },
    pausable=True,
    resumable=True,
)
