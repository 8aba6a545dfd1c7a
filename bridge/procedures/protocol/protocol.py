"""The procedure `nanobattery-protocol`: each step done or asked for, written down, kept for a resume."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bridge.analysis.formatting import area as area_text
from bridge.analysis.formatting import si
from drivers.errors import InvalidValue, PicobridgeError
from drivers.interfaces import Options, option
from drivers.plain import to_plain
from drivers.uninterrupted import to_the_end

from ..common import check_route, instrument, potentiostat_of
from ..context import Answer, Context, Question
from ..description import Procedure, Role
from .actions import Actions, Outcome, Unable
from .beam import BeamDone, BeamSettings, deposition_warning, deviations
from .ledger import CrossSection, Ledger
from .recipe import STEPS, Air, Cut, Sample, Step

_SKIP = "skip"
_FREE = "the tip is free"
_ALL_THE_SAME = "measure all the same"


@dataclass(frozen=True, slots=True, kw_only=True)
class NanobatteryProtocol(Options):
    """Parameters: what is planned for this cell. Values of the single steps are typed in as they come."""

    cell: str = option(help="name of the cell, for the report")
    current_density_a_per_m2: float = option(0.5, unit="A/m**2", above=0, help="planned density; 50 uA/cm2")
    length_m: float = option(5e-6, unit="m", above=0, help="planned length of the cross-section")
    width_m: float = option(2e-6, unit="m", above=0, help="planned width of the cross-section")
    capacity_limit_ah_per_m2: float | None = option(
        0.125, unit="A*h/m**2", above=0, help="charge ends here: contact does not last for ever; 12.5 uAh/cm2"
    )
    voltage_min_v: float = option(2.0, unit="V", help="discharge ends here")
    voltage_max_v: float = option(4.2, unit="V", help="charge ends here")
    cycles: int = option(1, help="how many cycles", at_least=1)
    rest_s: float = option(30.0, unit="s", at_least=0, help="rest after each step of a cycle")
    interval_s: float = option(0.1, unit="s", above=0, help="sampling interval")
    cathode_route: str = option("feedthrough", help="route of the noise test of the cathode's side")
    loop_route: str = option("manipulator-ground", help="route of the noise test of the whole loop")
    cell_route: str = option("cell", help="route of the full circuit")
    leads: str = option("feedthrough, manipulator", help="the leads of the cell, for the plan")
    noise_s: float = option(300.0, unit="s", above=0, help="length of a noise test")
    noise_settle_s: float = option(60.0, unit="s", at_least=0, help="settling of a noise test")
    contact_threshold_v: float = option(1.0, unit="V", above=0, help="a floating lead that jumps by this has touched")
    contact_travel_m: float = option(5e-6, unit="m", above=0, help="an approach gives up after this much travel")
    first_step: int = option(1, help="step to begin with, for a cell that was begun elsewhere", at_least=1)

    def __post_init__(self) -> None:
        if not self.cell.strip():
            raise InvalidValue("cell is empty; a name for the report is needed, such as 'A7'")
        if not self.voltage_min_v < self.voltage_max_v:
            raise InvalidValue(
                f"voltage_min_v is {self.voltage_min_v:g} V, not below voltage_max_v, {self.voltage_max_v:g} V"
            )
        if self.first_step not in STEPS:
            raise InvalidValue(f"first_step is {self.first_step}; accepted: 1 to {max(STEPS)}")


async def run(context: Context, parameters: NanobatteryProtocol) -> dict[str, Any]:
    """Through all steps. A route that does not exist is refused here, not after a day's work with the beam."""
    if context.has("feedthrough"):
        for route in (parameters.cathode_route, parameters.loop_route, parameters.cell_route):
            check_route(context, route)
    checklist = _Checklist(context, parameters)
    checklist.restore(context.saved)
    await checklist.carry_out()
    return checklist.result()


class _Checklist:
    """What was done so far."""

    def __init__(self, context: Context, p: NanobatteryProtocol) -> None:
        self._context = context
        self._p = p
        self._actions = Actions(context, p)
        self._ledger = Ledger()
        self._areas: list[CrossSection] = []
        self._done: list[dict[str, Any]] = []
        self._parts: list[dict[str, Any]] = []
        self._sample: dict[str, Any] = {}
        self._next = p.first_step
        self._stopped_at: int | None = None

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on after the last step that was completed."""
        if not saved:
            return
        self._done, self._parts = list(saved["done"]), list(saved["parts"])
        self._sample, self._next = dict(saved["sample"]), int(saved["next"])
        self._ledger = Ledger.from_dict(saved["ledger"])
        for entry in saved["areas"]:
            self._cut(CrossSection.from_dict(entry))
        self._actions.contact_made = bool(saved["contact_made"])

    async def carry_out(self) -> None:
        while self._next in STEPS:
            step = STEPS[self._next]
            await self._context.pause_point()
            self._context.progress(f"{step.number} {step.title}", (step.number - 1) / len(STEPS))
            entry = {"number": step.number, "title": step.title, "started_ns": time.time_ns()}
            following = await self._one(step, entry)
            entry["ended_ns"] = time.time_ns()
            self._done.append(to_plain(entry))
            self._next = following
            if self._stopped_at is not None:
                break
            await self._save()
        self._context.progress("done" if self._stopped_at is None else "stopped", 1.0)

    def result(self) -> dict[str, Any]:
        completed = self._stopped_at is None
        fields = {
            "procedure": "nanobattery-protocol",
            "verdict": "completed" if completed else f"stopped at step {self._stopped_at}",
            "completed": completed,
            "cell": self._p.cell,
            "sample": self._sample,
            "steps": self._done,
            "ledger": self._ledger.to_dict(),
            "area_history": [cut.to_dict() for cut in self._areas],
            "area_m2": self._actions.area.area_m2,
            "current_a": self._actions.current_a,
            "current_density_a_per_m2": self._p.current_density_a_per_m2,
            "instrument": instrument(potentiostat_of(self._context)),
            "parts": self._parts,
        }
        plain: dict[str, Any] = to_plain(fields)
        return plain

    async def _save(self) -> None:
        await self._context.save(
            done=self._done,
            parts=self._parts,
            sample=self._sample,
            next=self._next,
            ledger=self._ledger.to_dict(),
            areas=[cut.to_dict() for cut in self._areas],
            contact_made=self._actions.contact_made,
        )

    async def _one(self, step: Step, entry: dict[str, Any]) -> int:
        """Carry out one step; returns the number of the next."""
        if step.action:
            try:
                return await self._automatic(step, entry)
            except Unable:
                entry["note"] = "no device for it in this run: asked of the operator"
        await self._prove_off(step, entry)
        if self._stopped_at is not None:
            return step.number
        await self._asked(step, entry)
        return step.number + 1

    async def _prove_off(self, step: Step, entry: dict[str, Any]) -> None:
        """Before hands, tip or beam come to the sample: proven off, or disconnected by a person who says so."""
        while True:
            try:
                await to_the_end(potentiostat_of(self._context).cell_off())
                return
            except PicobridgeError as error:
                answer = await self._context.ask(
                    Question(
                        f"Step {step.number}, {step.title}: the source could not be proven off: {error.message}. "
                        "Disconnect the cell by hand before you touch anything.",
                        choices=("try again", "disconnected by hand", "stop"),
                        details={"step": step.number, "error": error.to_dict()},
                    )
                )
            if answer.choice == "try again":
                continue
            entry |= {"source": f"not proven off: {answer.choice}", "by": answer.by, "decided_ns": answer.at_ns}
            if answer.choice == "stop":
                entry |= {"who": "operator", "status": "not done"}
                self._stopped_at = step.number
            return

    # --- what picobridge does ----------------------------------------------------------------------------------

    async def _automatic(self, step: Step, entry: dict[str, Any]) -> int:
        entry["who"] = "picobridge"
        waived = False
        while True:
            vented = False
            try:
                outcome = None if waived else await self._bad_vacuum(step)
                vented = outcome is not None
                outcome = outcome or await self._actions.named(step.action)()
            except PicobridgeError as error:
                text = f"{type(error).__name__}: {error.message}. {error.hint}".strip()
                outcome = Outcome(False, text, {"error": error.to_dict()})
            if outcome.part is not None:
                title = f"Step {step.number}: {step.title}"
                self._parts.append({"procedure": outcome.part["procedure"], "title": title, "result": outcome.part})
            entry |= {
                "status": "done" if outcome.good else "not passed",
                "found": outcome.text,
                "values": outcome.values,
            }
            if outcome.good:
                return step.number + 1
            again = ("clean again",) if step.repeats_from and not vented else ()
            held = (_FREE,) if step.is_stage and self._actions.contact_made else ()
            anyway = (_ALL_THE_SAME,) if vented else ()
            answer = await self._context.ask(
                Question(
                    f"Step {step.number}, {step.title}: {outcome.text}",
                    choices=(*again, "try again", *held, *anyway, "go on regardless", "stop"),
                    details={"step": step.number, "found": outcome.text},
                )
            )
            if answer.choice == "try again":
                continue
            entry |= {"decision": answer.choice, "by": answer.by, "decided_ns": answer.at_ns}
            if answer.choice == _FREE:
                self._actions.contact_made = False
                continue
            if answer.choice == _ALL_THE_SAME:
                waived = True
                continue
            if answer.choice == "stop":
                self._stopped_at = step.number
                return step.number
            if answer.choice == "clean again":
                return step.repeats_from
            entry["status"] = "accepted"
            return step.number + 1

    async def _bad_vacuum(self, step: Step) -> Outcome | None:
        """What the gauge says against driving the cell now: hours may have gone by since step 5, or a resume."""
        if not (step.in_vacuum and self._context.has("gauge")):
            return None
        seen = await self._actions.vacuum()
        return None if seen.good else seen

    # --- what the operator does --------------------------------------------------------------------------------

    async def _asked(self, step: Step, entry: dict[str, Any]) -> None:
        entry["who"] = "operator"
        settings, answer = await self._settings(step, entry)
        entry |= {"status": "done", "by": answer.by, "answered_ns": answer.at_ns}
        if answer.choice == _SKIP:
            entry["status"] = "skipped"
            return
        if isinstance(settings, BeamSettings):
            done = await self._ask(step, f"{step.title}: do it now, then say how long the beam was on.", BeamDone)
            entry["values"] = asdict(settings) | asdict(done.values)
            self._ledger.add(f"{step.number} {step.title}", done.at_ns, settings, done.values)
        elif settings is not None:
            entry["values"] = asdict(settings)
        if isinstance(settings, Sample):
            self._sample = asdict(settings)
        if isinstance(settings, Sample | Air):
            self._ledger.air_s += settings.air_s
        if step.touches or step.frees:
            self._actions.contact_made = step.touches
        if step.cuts:
            await self._measure_cut(step, entry)

    async def _settings(self, step: Step, entry: dict[str, Any]) -> tuple[Options | None, Answer]:
        """What is typed in before the step is done. What differs from the paper is accepted, or typed in again."""
        while True:
            answer = await self._context.ask(
                Question(
                    f"{step.number} {step.title}. {step.text}",
                    choices=("done", _SKIP) if not step.is_beam else ("set", _SKIP),
                    fields=step.fields,
                    details={"step": step.number, "source": step.source},
                )
            )
            settings = answer.values
            if answer.choice == _SKIP or not isinstance(settings, BeamSettings):
                return settings, answer
            differing = [deviation.text for deviation in deviations(settings)]
            if step.deposits and (warning := deposition_warning(settings)):
                differing.append(warning)
            if not differing:
                return settings, answer
            decision = await self._context.ask(
                Question(f"{step.number} {step.title}: {'; '.join(differing)}.", choices=("accept", "change"))
            )
            if decision.choice == "accept":
                accepted = [asdict(deviation) for deviation in deviations(settings)]
                entry |= {"deviations": accepted, "warnings": differing, "accepted_by": decision.by}
                return settings, answer

    async def _measure_cut(self, step: Step, entry: dict[str, Any]) -> None:
        answer = await self._ask(step, "Measure the cross-section as it is now.", Cut)
        cut = answer.values
        assert isinstance(cut, Cut)
        section = CrossSection(answer.at_ns, cut.length_m, cut.width_m, cut.damage_depth_m, step.title)
        before = self._actions.current_a
        self._cut(section)
        text = f"{area_text(section.area_m2)}; the current becomes {si(self._actions.current_a, 'A')}"
        entry["area"] = section.to_dict() | {"text": text, "current_before_a": before}
        self._context.note(f"cell {self._p.cell}: {text} (was {si(before, 'A')})", area_m2=section.area_m2)

    def _cut(self, section: CrossSection) -> None:
        self._areas.append(section)
        self._actions.area = section

    async def _ask(self, step: Step, text: str, fields: type[Options]) -> Answer:
        question = Question(text, choices=("done",), fields=fields, details={"step": step.number})
        return await self._context.ask(question)


PROCEDURE = Procedure(
    name="nanobattery-protocol",
    summary="fabrication and test of a nanobattery as a checklist: done where it can be, asked for where it cannot",
    parameters=NanobatteryProtocol,
    roles={
        "potentiostat": Role("potentiostat"),
        "feedthrough": Role("feedthrough", required=False),
        "stage": Role("stage", required=False),
        "manipulator": Role("manipulator", required=False),
        "gauge": Role("gauge", required=False),
    },
    run=run,
    produces={
        "steps": "each step: who, when, with what values, what differs from the paper and who accepted it",
        "ledger": "ion and electron charge on the cell, and its time in air",
        "area_history": "the cross-section as it was cut, with dates",
        "parts": "results of the tests and the cycling",
    },
    pausable=True,
    resumable=True,
)
