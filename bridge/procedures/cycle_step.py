"""One step of a cycle, charge or discharge: the techniques that it is made of, over pauses and to its end."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from bridge.analysis.capacity import ah
from drivers.interfaces import Potentiostat
from drivers.samples import EndReason
from drivers.techniques import Galvanostatic, Potentiostatic
from drivers.uninterrupted import to_the_end

from .common import Reporter
from .context import Context
from .cycle_parameters import Cycle
from .cycle_watch import CONTACT_LOST, Segment, Watch

#: Wall seconds between two saves of a run under way.
SAVE_S = 1.0

#: The share of a charge that its constant current is taken to be, where a constant voltage follows.
_BEFORE_CV = 0.8

#: Less than these shares of a step are nothing that is left of it.
_NOTHING = 1e-9

CHARGE, DISCHARGE = "charge", "discharge"
STOPPED = EndReason.STOPPED.value


@dataclass(slots=True)
class Step:
    """A step under way. `phase` is "cc" or "cv"; `segments` what its techniques did, the last one cut where a pause, an
    error or an abort came."""

    cycle: int
    kind: str
    phase: str
    segments: list[Segment] = field(default_factory=list)
    pauses: int = 0
    end: str = ""

    @property
    def charging(self) -> bool:
        return self.kind == CHARGE

    @property
    def passed_c(self) -> float:
        return sum(s.charge_c if self.charging else s.discharge_c for s in self.segments)

    @property
    def cell_c(self) -> float:
        """Without what flowed while the contact was open: what counts when the step goes on."""
        lost = sum(abs(gap.lost_c) for s in self.segments for gap in s.found_gaps)
        return max(0.0, self.passed_c - lost)

    @property
    def duration_s(self) -> float:
        return sum(s.duration_s for s in self.segments)

    def to_dict(self) -> dict[str, Any]:
        return {
            "cycle": self.cycle,
            "kind": self.kind,
            "phase": self.phase,
            "pauses": self.pauses,
            "segments": [s.to_dict() for s in self.segments],
        }

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Step:
        segments = [Segment(**s) for s in saved["segments"]]
        return cls(saved["cycle"], saved["kind"], saved["phase"], segments, saved["pauses"])


def begin(p: Cycle, cycle: int, kind: str) -> Step:
    return Step(cycle, kind, "cv" if kind == CHARGE and p.charge_mode == "cv" else "cc")


class StepRunner:
    """Runs a step until a limit ends it; goes on after a pause with the charge and the time that are left."""

    def __init__(
        self,
        context: Context,
        potentiostat: Potentiostat,
        p: Cycle,
        step: Step,
        reporter: Reporter,
        *,
        span: tuple[float, float],
        save: Callable[[], Awaitable[None]],
    ) -> None:
        self._context = context
        self._potentiostat = potentiostat
        self._p = p
        self._step = step
        self._reporter = reporter
        self._from, self._share = span
        self._save = save
        self._best = 0.0

    async def run(self) -> None:
        """To the step's end, which is then in `step.end`."""
        step = self._step
        self._reporter.now(step.kind, self._from, cycle=step.cycle)
        while not step.end:
            technique = self._technique()
            if isinstance(technique, str):
                step.end = technique
                break
            segment = await self._measure(technique)
            if segment.end == STOPPED and self._context.pausing:
                step.pauses += 1
                await self._save()
                await self._context.pause_point()
            elif segment.end == EndReason.VOLTAGE_MAX.value and step.charging and self._p.charge_mode == "cc-cv":
                step.phase = "cv"
            else:
                step.end = segment.end
        self._tell(self._reporter.now, 1.0, step.duration_s, step.segments[-1].voltage_end_v, step.passed_c)

    def _technique(self) -> Galvanostatic | Potentiostatic | str:
        """What is left to do, or what has ended the step already."""
        p, step = self._p, self._step
        left_s = p.time_limit_s - step.duration_s
        limit_c = p.charge_limit_c
        left_c = None if limit_c is None else limit_c - step.cell_c
        if left_s <= _NOTHING * p.time_limit_s:
            return EndReason.DURATION.value
        if left_c is not None and limit_c is not None and left_c <= _NOTHING * limit_c:
            return EndReason.CAPACITY.value
        if step.phase == "cv":
            return Potentiostatic(
                voltage_v=p.voltage_max_v,
                duration_s=left_s,
                interval_s=p.interval_s,
                current_limit_a=p.cv_current_limit_a,
                taper_current_a=p.taper_a,
                charge_limit_c=left_c,
            )
        return Galvanostatic(
            current_a=p.current if step.charging else -p.current,
            duration_s=left_s,
            interval_s=p.interval_s,
            voltage_min_v=p.voltage_min_v,
            voltage_max_v=p.voltage_max_v,
            charge_limit_c=left_c,
        )

    async def _measure(self, technique: Galvanostatic | Potentiostatic) -> Segment:
        """One technique. What it did is kept in the step however it is left, and saved if that was not its end."""
        step, p = self._step, self._p
        watch = Watch(technique, charging=step.charging, stray_f=p.stray_f, area_m2=p.area_m2, latency_s=p.latency_s)
        saved = time.monotonic()
        try:
            async with aclosing(self._potentiostat.run(technique)) as run:
                async for block in run:
                    watch.add(block)
                    self._show(watch)
                    if time.monotonic() - saved > SAVE_S:
                        await self._save_cut(watch)
                        saved = time.monotonic()
        except BaseException:
            if watch.passed_c > 0:
                step.segments.append(watch.finish())
            await to_the_end(self._save())
            raise
        await to_the_end(self._potentiostat.cell_off())
        segment = watch.finish()
        step.segments.append(segment)
        return segment

    async def _save_cut(self, watch: Watch) -> None:
        """As if the technique had ended here: a process that is killed resumes from it."""
        self._step.segments.append(watch.so_far())
        try:
            await self._save()
        finally:
            self._step.segments.pop()

    def _show(self, watch: Watch) -> None:
        step = self._step
        self._best = max(self._best, self._fraction(watch))
        elapsed_s, passed_c = step.duration_s + watch.last_s, step.passed_c + watch.passed_c
        self._tell(self._reporter.maybe, self._best, elapsed_s, watch.last_v, passed_c)

    def _tell(
        self, tell: Callable[..., None], share: float, elapsed_s: float, voltage_v: float | None, passed_c: float
    ) -> None:
        """What is worth showing while it runs. No NaN: this goes out as JSON."""
        shown = {
            "elapsed_s": elapsed_s,
            "voltage_v": voltage_v,
            "charge_ah": ah(passed_c),
            "charge_ah_per_m2": self._p.per_area(ah(passed_c)),
        }
        values = {name: value for name, value in shown.items() if value is not None and math.isfinite(value)}
        tell(self._step.kind, self._from + self._share * share, cycle=self._step.cycle, **values)

    def _fraction(self, watch: Watch) -> float:
        """How far the step is by whichever of its limits is nearest: an estimate."""
        step, p = self._step, self._p
        first = step.segments[0].voltage_start_v if step.segments else watch.first_v
        shares = [(step.duration_s + watch.last_s) / p.time_limit_s]
        if step.phase == "cc" and first is not None:
            way = (p.voltage_max_v if step.charging else p.voltage_min_v) - first
            whole = _BEFORE_CV if step.charging and p.charge_mode == "cc-cv" else 1.0
            if way and math.isfinite(way):
                shares.append(whole * (watch.last_v - first) / way)
        if p.charge_limit_c:
            shares.append((step.passed_c + watch.passed_c) / p.charge_limit_c)
        return min(max(0.0, *shares), 1.0)


__all__ = ["CHARGE", "CONTACT_LOST", "DISCHARGE", "SAVE_S", "STOPPED", "Step", "StepRunner", "begin"]
