"""Runs one measured step: rest, open circuit, constant current, constant voltage, or one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bridge.analysis.capacity import ah, find_crossing, overshoot
from drivers.errors import PicobridgeError, RunFailed
from drivers.interfaces import Potentiostat
from drivers.samples import EndReason, SampleBlock
from drivers.uninterrupted import to_the_end

from ..common import DEFAULT_LATENCY_S
from ..context import Context
from .judge import Hit, Judge, Samples
from .language import Condition, Measured, Then
from .limits import Bounds, Fault, Handover, Phase, first_phase, phase_of
from .live import Live
from .registers import Registers
from .step_state import StepResult, StepState

#: A step goes from constant current to constant voltage and back at most so often.
_HANDOVERS_MAX = 10
#: Beyond the safety limits for so many samples in a row: one alone may be a disturbance.
_UNSAFE_SAMPLES = 2
#: Without a sample for three periods and so many real seconds the data are stale; a driver's own deadlines come first.
_STALE_S = 30.0
_STALE_PERIODS = 3
#: A rest that is not measured is looked at so often.
_REST_PART_S = 60.0

#: Awaited with what gives the step's state as it is, for saving it now and then; `True` means now.
Keep = Callable[[Callable[[], StepState], bool], Awaitable[None]]
#: Told of each block: the phase (open, cc, cv), the step's time at the block's time zero, the block.
Observer = Callable[[str, float, SampleBlock], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a step needs to know of the run beside itself. `latency_s` is from a sample to the source off."""

    reference_c: float | None = None
    bounds: Bounds = field(default_factory=Bounds)
    stray_f: float = 0.0
    latency_s: float = DEFAULT_LATENCY_S


async def run_step(
    context: Context,
    potentiostat: Potentiostat,
    step: Measured,
    registers: Registers,
    *,
    conditions: Conditions | None = None,
    state: StepState | None = None,
    observe: Observer | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    keep: Keep | None = None,
) -> StepResult:
    """Run `step` until one of its ends; the cell is disconnected afterwards. `registers` are read, not written.

    `state` is what an interrupted run of the step had done: it goes on from there. `keep` is awaited after each block.
    A pause (`Context.pausing`) ends the technique and begins another one with what is left of the step. Raises
    `RunFailed` beyond a safety limit or over range, and what the driver raises.
    """
    return await _Measuring(
        context, potentiostat, step, registers, conditions or Conditions(), state, observe, progress, keep
    ).run()


class _Measuring:
    def __init__(
        self,
        context: Context,
        potentiostat: Potentiostat,
        step: Measured,
        registers: Registers,
        conditions: Conditions,
        state: StepState | None,
        observe: Observer | None,
        progress: Callable[[dict[str, Any]], None] | None,
        keep: Keep | None,
    ) -> None:
        self._context = context
        self._potentiostat = potentiostat
        self._step = step
        self._registers = registers
        self._conditions = conditions
        self._state = state or StepState(phase=first_phase(step))
        self._observe, self._progress, self._keep = observe, progress, keep
        self._judge = Judge(
            step.until,
            interval_s=step.interval_s,
            dv_dt_window_s=step.dv_dt_window_s,
            reference_c=conditions.reference_c,
            slopes=self._state.phase == "open",
        )
        self._shortest_s = potentiostat.capabilities.interval_min_s or 1e-3
        self._settling_s = max((r.settling_s for r in potentiostat.capabilities.current_ranges), default=0.0)
        self._live = Live(self._state, step.interval_s)
        self._last_end: tuple[int, float] | None = None
        self._unsafe = 0

    async def run(self) -> StepResult:
        """An error tells in `detail["cut_step"]` what the step had done until then."""
        try:
            return await self._run()
        except PicobridgeError as error:
            cut = self._result("cut by an error", Then("fault"))
            error.detail.setdefault("cut_step", cut.to_dict())
            raise

    async def _run(self) -> StepResult:
        while True:
            if self._state.phase == "rest":
                return await self._rest()
            phase = phase_of(
                self._step, self._state, self._conditions.bounds, self._conditions.reference_c, self._shortest_s
            )
            if isinstance(phase, Condition):
                return self._result(phase.text, phase.then)
            end, hit = await self._measure(phase)
            if hit is not None:
                return self._result(hit.condition.text, hit.condition.then, hit.condition, seen_s=hit.time_s)
            if end is EndReason.STOPPED:
                if not self._context.pausing:
                    return self._result("stopped", Then("stop"), stopped=True)
                await self._pause()
                continue
            if end is EndReason.OVERLOAD:
                raise self._failed(
                    f"the instrument went over range at {_number(self._state.voltage_end_v)} V",
                    "Look at contact and range; what was measured until then is recorded.",
                )
            meaning = phase.meanings.get(end)
            if isinstance(meaning, Condition):
                return self._result(meaning.text, meaning.then, meaning)
            if isinstance(meaning, Fault):
                raise self._unsafe_failure(meaning.text)
            if isinstance(meaning, Handover):
                self._hand_over()
                continue
            raise self._failed(f"the instrument ended it by itself ({end.value})", "Look at its display.")

    async def _measure(self, phase: Phase) -> tuple[EndReason, Hit | None]:
        """One technique; its end, or the condition that was seen fulfilled before."""
        self._live = live = Live(self._state, self._step.interval_s)
        self._judge.restart()
        self._unsafe = 0
        end, hit = EndReason.FINISHED, None
        stale_s = _STALE_S + _STALE_PERIODS * self._step.interval_s + self._settling_s
        try:
            async with aclosing(self._potentiostat.run(phase.technique)) as run:
                while True:
                    try:
                        async with asyncio.timeout(stale_s):
                            block = await anext(run, None)
                    except TimeoutError:
                        raise self._failed(
                            f"no sample for {stale_s:g} s", "Look at the instrument and its cable."
                        ) from None
                    if block is None:
                        break
                    hit = self._take(block, phase, live)
                    if block.end is not None:
                        end = block.end
                    if self._progress is not None:
                        self._progress(live.values())
                    if self._keep is not None:
                        await self._keep(live.folded, False)
                    if hit is not None:
                        break
        except BaseException:
            # the generator has been left: the cell is off, and a resume can go on from here
            self._state = live.folded()
            if self._keep is not None:
                await to_the_end(self._keep(lambda: self._state, True))
            raise
        self._state = live.folded()
        await to_the_end(self._potentiostat.cell_off())
        return end, hit

    def _take(self, block: SampleBlock, phase: Phase, live: Live) -> Hit | None:
        if self._observe is not None:
            self._observe(self._state.phase, self._state.time_s, block)
        if not len(block):
            live.see_range(block)
            return None
        if self._last_end is not None:
            self._note_gap(block)
        samples = live.add(block, self._state.phase)
        self._last_end = block.start_time_ns, float(block["time_s"][-1])
        self._check_safety(block, phase)
        registers = self._registers.with_live(live.time_s, *live.charges)
        return self._judge.judge(samples, registers.value)

    def _check_safety(self, block: SampleBlock, phase: Phase) -> None:
        """Raises `RunFailed` for values beyond the safety limits in the direction in which the step drives them."""
        bounds, voltage = self._conditions.bounds, block["voltage_v"]
        beyond = np.zeros(len(block), bool)
        if phase.current_a != 0:
            if bounds.voltage_max_v is not None and (phase.current_a is None or phase.current_a > 0):
                beyond |= voltage > bounds.voltage_max_v
            if bounds.voltage_min_v is not None and phase.current_a is not None and phase.current_a < 0:
                beyond |= voltage < bounds.voltage_min_v
        if bounds.current_max_a is not None:
            beyond |= np.abs(block["current_a"]) > bounds.current_max_a
        if not beyond.any():
            self._unsafe = 0
            return
        for bad in beyond.tolist():
            self._unsafe = self._unsafe + 1 if bad else 0
            if self._unsafe >= _UNSAFE_SAMPLES:
                where = int(np.argmax(beyond))
                raise self._unsafe_failure(
                    f"{float(voltage[where]):.4g} V and {float(block['current_a'][where]):.4g} A are beyond the safety "
                    f"limits of {_range(bounds.voltage_min_v, bounds.voltage_max_v)} V and "
                    f"{_number(bounds.current_max_a)} A"
                )

    async def _pause(self) -> None:
        """The source is off; the step goes on with what is left of it."""
        self._state.pauses += 1
        self._last_end = None
        if self._keep is not None:
            await self._keep(lambda: self._state, True)
        await self._context.pause_point()

    def _hand_over(self) -> None:
        """From constant current to constant voltage, or back where the cell takes more than the cap."""
        state = self._state
        if len(state.handovers) >= _HANDOVERS_MAX:
            raise self._failed(
                f"constant current and constant voltage took turns {_HANDOVERS_MAX} times",
                "The contact may be bad, or the current limit below the noise of the current.",
            )
        to = "cv" if state.phase == "cc" else "cc"
        state.handovers.append(
            {
                "to": to,
                "at_s": state.time_s,
                "capacity_ah": ah(abs(state.net_c)),
                "voltage_before_v": state.voltage_end_v,
                "current_before_a": state.current_end_a,
                "gap_s": None,
                "voltage_after_v": None,
            }
        )
        state.phase = to

    def _note_gap(self, block: SampleBlock) -> None:
        """How long the cell was disconnected between two techniques of the step: from the last sample to time zero."""
        assert self._last_end is not None
        start_ns, last_s = self._last_end
        if self._state.handovers and block.start_time_ns != start_ns:
            self._state.handovers[-1]["gap_s"] = (block.start_time_ns - start_ns) / 1e9 - last_s
            self._state.handovers[-1]["voltage_after_v"] = float(block["voltage_v"][0])

    async def _rest(self) -> StepResult:
        """The instrument's time passes, the cell disconnected."""
        clock, state = self._potentiostat.clock, self._state
        await to_the_end(self._potentiostat.cell_off())
        if not state.start_time_ns:
            state.start_time_ns = clock.time_ns()
        while True:
            one = np.array([state.time_s])
            nothing = np.array([np.nan])
            registers = self._registers.with_live(state.time_s, 0.0, 0.0)
            hit = self._judge.judge(Samples(one, nothing, nothing, nothing, nothing), registers.value)
            if hit is not None:
                return self._result(hit.condition.text, hit.condition.then)
            left = [self._conditions.bounds.step_time_s - state.time_s, _REST_PART_S]
            if left[0] <= 0:
                raise self._unsafe_failure(f"longer than {self._conditions.bounds.step_time_s:g} s")
            for condition in self._step.until:
                test = condition.single("time")
                if test is not None:
                    left.append(test.limit.value - state.time_s)
            if self._context.pausing:
                await self._pause()
            begin = clock.monotonic()
            await clock.sleep(max(min(left), 1e-3))
            state.time_s += clock.monotonic() - begin
            if self._progress is not None:
                self._progress({"elapsed_s": state.time_s})
            if self._keep is not None:
                await self._keep(lambda: state, False)

    def _result(
        self,
        end: str,
        then: Then,
        condition: Condition | None = None,
        *,
        seen_s: float | None = None,
        stopped: bool = False,
    ) -> StepResult:
        """`condition` is what ended it, `seen_s` the time of the sample that fulfilled it."""
        state, live = self._state, self._live
        crossing_s, crossing_c, beyond = seen_s, None, None
        test = condition.tests[0] if condition is not None and len(condition.tests) == 1 else None
        if test is not None and live.tail_s.size:
            limit = test.limit.si(self._conditions.reference_c)
            rising = test.operator in (">=", ">")
            if test.quantity in live.tails:
                found = find_crossing(live.tail_s, live.tails[test.quantity], limit, rising=rising)
                crossing_s = seen_s if found is None else found.time_s
            elif test.quantity == "time":
                crossing_s = min(limit, float(live.tail_s[-1]))
            if crossing_s is not None and crossing_s >= live.tail_s[0]:
                crossing_c = float(np.interp(crossing_s, live.tail_s, live.tails["capacity"]))
            if test.quantity == "voltage":
                beyond = overshoot(
                    live.tail_s,
                    live.tails["voltage"],
                    limit,
                    rising=rising,
                    period_s=self._step.interval_s,
                    latency_s=self._conditions.latency_s,
                )
        start_v, end_v = state.voltage_start_v, state.voltage_end_v
        moved_v = 0.0 if start_v is None or end_v is None else end_v - start_v
        conducting = state.phase in ("cc", "cv")
        return StepResult(
            name=self._step.name,
            kind=self._step.kind,
            cycle=self._registers.cycle,
            end=end,
            then=then,
            state=state,
            crossing_s=crossing_s,
            crossing_c=crossing_c,
            overshoot=beyond,
            late_c=abs(state.current_end_a or 0.0) * (self._step.interval_s + self._conditions.latency_s)
            if conducting
            else 0.0,
            stray_c=self._conditions.stray_f * moved_v if conducting else 0.0,
            slope=self._judge.slope,
            stopped=stopped,
        )

    def _failed(self, what: str, hint: str) -> RunFailed:
        return RunFailed(
            f"step {self._step.name!r}, cycle {self._registers.cycle}: {what}; the cell is disconnected",
            device=self._potentiostat.name,
            hint=hint,
            step=self._step.name,
            cycle=self._registers.cycle,
        )

    def _unsafe_failure(self, what: str) -> RunFailed:
        return self._failed(what, "A safety limit never ends a step normally: find out why before the run is resumed.")


def _number(value: float | None) -> str:
    return "unlimited" if value is None else f"{value:.4g}"


def _range(low: float | None, high: float | None) -> str:
    return f"{_number(low)} to {_number(high)}"
