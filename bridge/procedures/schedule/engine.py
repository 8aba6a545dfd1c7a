"""Runs a schedule step by step: where it is, what it has counted, what it has done; saved so that it can go on."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

from drivers.errors import PicobridgeError, Refused, RunFailed
from drivers.interfaces import Potentiostat

from ..common import DEFAULT_LATENCY_S, Reporter
from ..context import Context, Question
from .estimate import Estimate, estimate
from .flow import after_loop, apply_set, next_of
from .language import Ask, Branch, Loop, Measured, NextCycle, Perform, Pulse, Schedule, Set, Step, Sweep, Then
from .measure import Conditions, run_step
from .pulse import run_pulse
from .registers import Registers
from .step_state import StepResult, StepState
from .sweep import run_sweep
from .voltages import bounds

#: Real seconds between two savings within a step: what a crash of the host may cost in bookkeeping, not in samples.
_SAVE_S = 5.0
#: So many steps in a row that take no time are a schedule that goes round without measuring.
_IDLE_STEPS_MAX = 10_000


class Engine:
    """One run of a schedule. `records` are the ended steps as JSON values, `end` says why the schedule ended."""

    def __init__(
        self,
        context: Context,
        potentiostat: Potentiostat,
        schedule: Schedule,
        *,
        latency_s: float = DEFAULT_LATENCY_S,
        save_every_s: float = _SAVE_S,
    ) -> None:
        self._context = context
        self._potentiostat = potentiostat
        self.schedule = schedule
        self._latency_s = latency_s
        self._save_every_s = save_every_s
        self._saved_at = time.monotonic()
        self._reporter = Reporter(context)
        self.estimate: Estimate = estimate(schedule)
        self.registers = Registers(counters=dict(schedule.counters))
        self.records: list[dict[str, Any]] = []
        self.end = ""
        self.completed = False
        self._place = 0
        self._partial: StepState | None = None
        self._fraction = 0.0
        self._idle = 0
        self._digest = hashlib.sha256(repr(schedule).encode()).hexdigest()

    def restore(self) -> bool:
        """Go on where the interrupted run was, if this run resumes one. Raises `Refused` for another schedule."""
        saved = self._context.saved
        if not saved:
            return False
        if saved["digest"] != self._digest:
            raise Refused(
                "the schedule is not the one that was interrupted",
                hint="Resume with the same schedule, or start a new run.",
            )
        self._place = int(saved["place"])
        self.registers = Registers.from_dict(saved["registers"])
        self.records = list(saved["records"])
        self._partial = StepState.from_dict(saved["partial"]) if saved["partial"] else None
        return True

    async def run(self) -> None:
        """To the schedule's end. Raises `RunFailed` where the schedule says fault, and what the steps raise."""
        steps = self.schedule.steps
        while 0 <= self._place < len(steps):
            step = steps[self._place]
            await self._context.pause_point()
            records = len(self.records)
            then = await self._do(step)
            self.registers.steps += 1
            self._partial = None
            self._guard(step, measured=len(self.records) > records)
            if not self._advance(step, then):
                return
            await self._save()
        self._complete("the end of the schedule")

    def _complete(self, end: str) -> None:
        self.end, self.completed = end, True
        self._reporter.now("done", 1.0, **self._counts())

    def _advance(self, step: Step, then: Then) -> bool:
        """To the next step; false if the schedule is over. Raises `RunFailed` for a fault."""
        last = self.records[-1] if self.records else {}
        why = str(last.get("end", "")) if last.get("name") == step.name else step.kind
        if then.kind == "fault":
            raise RunFailed(
                f"step {step.name!r}, cycle {self.registers.cycle}: {why}: the schedule calls this a fault",
                device=self._potentiostat.name,
                hint="The cell is disconnected. Find out why before the run is resumed.",
                step=step.name,
            )
        if then.kind == "stop":
            if last.get("stopped"):
                self.end = f"stopped by hand in step {step.name!r}"
                self._reporter.now("stopped", None, **self._counts())
            else:
                self._complete(f"step {step.name!r}: {why}")
            return False
        self._place = self.schedule.index(then.target) if then.kind == "goto" else self._place + 1
        return True

    def _guard(self, step: Step, *, measured: bool) -> None:
        """Raises `RunFailed` for a schedule that goes round without ever measuring."""
        self._idle = 0 if measured else self._idle + 1
        if self._idle > _IDLE_STEPS_MAX:
            raise RunFailed(
                f"step {step.name!r}: the schedule has gone round {_IDLE_STEPS_MAX} steps without measuring anything",
                hint="Look at its branches and loops.",
            )

    async def _do(self, step: Step) -> Then:
        if isinstance(step, Measured):
            try:
                return await self._measure(step)
            except PicobridgeError as error:
                cut = error.detail.pop("cut_step", None)
                if cut is not None:
                    self.records.append({**cut, "name": step.name, "number": step.number, "stopped": False})
                raise
        if isinstance(step, Set):
            apply_set(step, self.registers)
        elif isinstance(step, NextCycle):
            self.registers.complete_capacities()
            self.registers.next_cycle()
        elif isinstance(step, Branch):
            return next_of(step, self.registers, self.reference_c) or step.otherwise
        elif isinstance(step, Loop):
            return after_loop(step, self.registers, self.reference_c)
        elif isinstance(step, Ask):
            return await self._ask(step)
        elif isinstance(step, Perform):
            await self._perform(step)
        return Then()

    @property
    def reference_c(self) -> float | None:
        """What C-rates refer to now."""
        measured = self.registers.last_discharge_c
        if self.schedule.reference == "measured" and measured:
            return measured
        return self.schedule.capacity_c

    async def _measure(self, step: Measured) -> Then:
        reference = self.reference_c
        conditions = Conditions(
            reference_c=reference,
            bounds=bounds(self.schedule, reference),
            stray_f=self.schedule.stray_f,
            latency_s=self._latency_s,
        )
        show = self._shower(step)
        show({})
        if isinstance(step, Pulse):
            result = await run_pulse(
                self._context, self._potentiostat, step, self.registers, conditions=conditions, progress=show
            )
        elif isinstance(step, Sweep):
            result = await run_sweep(
                self._context, self._potentiostat, step, self.registers, conditions=conditions, progress=show
            )
        else:
            result = await run_step(
                self._context,
                self._potentiostat,
                step,
                self.registers,
                conditions=conditions,
                state=self._partial,
                progress=show,
                keep=self._keep,
            )
        self._count(step, result, reference)
        return result.then

    def _count(self, step: Measured, result: StepResult, reference_c: float | None) -> None:
        state = result.state
        self.registers.add(state.time_s, state.charge_c, state.discharge_c)
        record = {**result.to_dict(), "number": step.number, "stopped": result.stopped}
        if self.schedule.reference == "measured":
            record["reference_c"] = reference_c
        self.records.append(record)
        if state.gaps:
            self._context.note(f"step {step.name!r}: {len(state.gaps)} gaps in the device's time, not bridged")
        if state.compliance and step.kind in ("cc", "pulse"):  # at constant voltage the cap is meant to hold
            self._context.note(
                f"step {step.name!r}: {state.compliance} samples at the source's limit (compliance): the set value was "
                "not reached"
            )

    async def _ask(self, step: Ask) -> Then:
        self._reporter.now(step.name, self._fraction, **self._counts())
        answer = await self._context.ask(Question(step.text, tuple(step.choices)))
        self.records.append(
            {
                "name": step.name,
                "kind": step.kind,
                "number": step.number,
                "cycle": self.registers.cycle,
                "end": f"answered {answer.choice!r}",
                "by": answer.by,
                "at_ns": answer.at_ns,
            }
        )
        return step.choices[answer.choice]

    async def _perform(self, step: Perform) -> None:
        title = f"{step.name}, cycle {self.registers.cycle}"
        result = await self._context.perform(step.procedure, step.parameters, title=title)
        self.records.append(
            {
                "name": step.name,
                "kind": step.kind,
                "number": step.number,
                "cycle": self.registers.cycle,
                "end": "done",
                "procedure": step.procedure,
                "title": title,
                "result": result,
            }
        )

    # --- telling and saving ----------------------------------------------------------------------------------------

    def _counts(self) -> dict[str, Any]:
        return {"cycle": self.registers.cycle}

    def _shower(self, step: Measured) -> Callable[[dict[str, Any]], None]:
        """Tells how far the run is, by the estimate; never backwards."""

        def show(values: dict[str, Any]) -> None:
            if self.estimate.duration_s > 0:
                done = (self.registers.total_time_s + float(values.get("elapsed_s", 0.0))) / self.estimate.duration_s
                self._fraction = max(self._fraction, min(done, 0.99))
            tell = self._reporter.maybe if values else self._reporter.now
            tell(step.name, self._fraction, **self._counts(), **values)

        return show

    async def _keep(self, state: Callable[[], StepState], now: bool) -> None:
        if now or time.monotonic() - self._saved_at >= self._save_every_s:
            self._partial = state()
            await self._save()

    async def _save(self) -> None:
        self._saved_at = time.monotonic()
        await self._context.save(
            digest=self._digest,
            place=self._place,
            registers=self.registers.to_dict(),
            records=self.records,
            partial=None if self._partial is None else self._partial.to_dict(),
        )
