"""Toward the pad: a step, a look, a step, with the lead watched all the time, until something is touched."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np

from drivers.errors import MoveFailed, RunFailed
from drivers.interfaces import Manipulator, ManipulatorPosition, Potentiostat
from drivers.uninterrupted import to_the_end

from ..context import Context
from ..halting import halt
from .parameters import MakeContact
from .senses import Look, Sense
from .watch import LeadWatch

#: A reading that has not come to rest within this many looks is judged as it is.
LOOKS = 10
#: Steps kept for the report.
_TRACE = 2000


@dataclass(frozen=True, slots=True)
class Touch:
    """How it was sensed. `open_m` is the travel at which the lead was last seen open, `at_m` where the tip came to
    rest; the delays are real, from the arrival of the sample that told it (None: it was found at rest, afterwards).
    `in_motion`: it broke a step off.
    """

    position: ManipulatorPosition
    open_m: float
    at_m: float
    value: float
    in_motion: bool
    stop_command_s: float | None
    stop_proven_s: float | None


@dataclass(slots=True)
class Trace:
    """What each step saw, for the report: arrays of equal length."""

    step: list[int] = field(default_factory=list)
    travelled_m: list[float] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    attempt: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Stepper:
    """Counts over all attempts. `tell(position, value)` is called after each step."""

    context: Context
    potentiostat: Potentiostat
    manipulator: Manipulator
    p: MakeContact
    tell: Callable[[ManipulatorPosition, float], None]
    steps: int = 0
    travelled_m: float = 0.0
    elapsed_s: float = 0.0
    attempt: int = 1
    #: travel at which the lead was last seen open
    open_m: float = 0.0
    trace: Trace = field(default_factory=Trace)
    #: of the step that was broken off last: when that was told, commanded and proven, real seconds
    _broken_off_s: tuple[float, float, float] = (math.nan, math.nan, math.nan)

    async def approach(self, sense: Sense, lead_v: float) -> Touch | Look:
        """A touch; or `Look.DRIFTED`, if the lead has to be charged again, or `Look.ENDED`: travel, steps or time are
        used up.

        Raises `RunFailed` if the lead cannot be read, or meets something else: the tip then stays where it is.
        """
        left_s = self.p.time_limit_s - self.elapsed_s
        if left_s < 2 * self.p.interval_s:
            return Look.ENDED
        began_s = self.elapsed_s
        async with LeadWatch(self.potentiostat, sense.technique(left_s), sense.column, self.p.stale_s) as watch:
            try:
                return await self._until_touch(watch, sense, lead_v)
            finally:
                self.elapsed_s = began_s + watch.elapsed_s

    async def _until_touch(self, watch: LeadWatch, sense: Sense, lead_v: float) -> Touch | Look:
        p = self.p
        look, _ = await self._look(watch, sense)
        if look is Look.CONTACT and self.steps == 0:
            raise RunFailed(
                "contact is seen before the first step", device=self.manipulator.name, hint="Draw the tip back."
            )
        while look is Look.OPEN:
            if self.travelled_m >= p.max_travel_m - p.step_m / 2 or self.steps >= p.max_steps:
                return Look.ENDED
            self.open_m = self.travelled_m
            position, interrupted = await self.step(p.step_after(self.travelled_m), watch, sense)
            look, value = await self._look(watch, sense)
            self._keep(position, value)
            if look is Look.CONTACT:
                return await self._stopped(watch, position, value, interrupted)
            if look is Look.OTHER:
                await to_the_end(self.manipulator.stop())
                raise RunFailed(
                    f"the lead went from {lead_v:.4g} V to {value:.4g} V: it touches something, but no cell of "
                    f"{p.contact_voltage_v:g} V ± {p.tolerance_v:g} V",
                    device=self.manipulator.name,
                    hint="The manipulator stays where it is. Grid, ground, or a cell of another voltage: look, then "
                    "draw back.",
                    position=asdict(position),
                    steps=self.steps,
                )
        return look

    async def step(
        self, length_m: float, watch: LeadWatch | None = None, sense: Sense | None = None
    ) -> tuple[ManipulatorPosition, bool]:
        """One move toward the pad (negative: away), broken off if a sample tells contact, or cannot be read, meanwhile.

        Whatever else ends it half-way, the tip is stopped before that goes on. True if it was broken off.
        """
        before = await self.manipulator.position()
        if watch is not None and sense is not None:
            watch.arm(sense.alarm)
        move = asyncio.create_task(self.manipulator.move_by(z_m=self.p.direction * length_m), name="approach step")
        alarmed = asyncio.create_task(_alarmed(watch), name="approach alarm")
        try:
            await asyncio.wait((move, alarmed), return_when=asyncio.FIRST_COMPLETED)
            interrupted = not move.done()
            if interrupted:
                commanded_s = time.perf_counter()
                position = await to_the_end(self.manipulator.stop())
                told_s = commanded_s if watch is None else watch.alarmed_s
                self._broken_off_s = told_s, commanded_s, time.perf_counter()
                await asyncio.wait((move,))
                error = move.exception()
                if error is not None and not isinstance(error, MoveFailed):  # stopped, as was wanted
                    raise error
            else:
                position = move.result()
        except BaseException:
            await to_the_end(self._halt(move))
            raise
        finally:
            alarmed.cancel()
        self.steps += 1
        self.travelled_m += self.p.direction * (position.z_m - before.z_m) if interrupted else length_m
        return position, interrupted

    async def _halt(self, move: asyncio.Task[ManipulatorPosition]) -> None:
        await halt(self.context, self.manipulator)
        move.cancel()
        await asyncio.wait((move,))
        if not move.cancelled():
            move.exception()  # seen: what ended the step is raised

    async def _look(self, watch: LeadWatch, sense: Sense) -> tuple[Look, float]:
        """What the lead sees, once it has come to rest, and its last value.

        A lead that has just touched takes several times cell resistance times cable capacitance to follow: while it
        still moves it is looked at again, not pushed on.
        """
        readings = np.empty(0)
        try:
            for _ in range(LOOKS):
                readings = await watch.fresh(sense.readings)
                if len(readings) < sense.readings:
                    return sense.ended(watch.end), float(readings[-1]) if len(readings) else math.nan
                if sense.at_rest(readings):
                    break
        except RunFailed as error:
            raise await self.unread(error.message) from error
        return sense.judge(readings), float(readings[-1])

    async def unread(self, why: str) -> RunFailed:
        """A lost or stale reading ends an approach."""
        return RunFailed(
            f"the voltage could not be read after {self.steps} steps: {why}",
            device=self.potentiostat.name,
            hint="The manipulator stays where it is. Look at range, route and cable before going on.",
            position=asdict(await self.manipulator.position()),
            steps=self.steps,
        )

    async def _stopped(self, watch: LeadWatch, position: ManipulatorPosition, value: float, in_motion: bool) -> Touch:
        """Whatever the manipulator does, it is told to stop, and that is proven and timed."""
        told_s, commanded_s = watch.came_s, time.perf_counter()
        await to_the_end(self.manipulator.stop())
        proven_s = time.perf_counter()
        if in_motion:
            told_s, commanded_s, proven_s = self._broken_off_s
        return Touch(position, self.open_m, self.travelled_m, value, in_motion, commanded_s - told_s, proven_s - told_s)

    def _keep(self, position: ManipulatorPosition, value: float) -> None:
        if len(self.trace.step) < _TRACE:
            self.trace.step.append(self.steps)
            self.trace.travelled_m.append(self.travelled_m)
            self.trace.value.append(value)
            self.trace.attempt.append(self.attempt)
        self.tell(position, value)


async def _alarmed(watch: LeadWatch | None) -> None:
    await (asyncio.Event() if watch is None else watch.alarmed).wait()
