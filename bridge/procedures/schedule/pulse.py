"""Runs a pulse: open circuit, current, open circuit; and gets resistance and diffusion out of the edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from bridge.analysis.pulse import baseline, extrapolated, resistances, sqrt_slope
from drivers.interfaces import Potentiostat
from drivers.samples import SampleBlock

from ..context import Context
from .amounts import Amount
from .language import Condition, ConstantCurrent, Measured, OpenCircuit, Pulse, Test, Then
from .measure import Conditions, run_step
from .registers import Registers
from .step_state import StepResult, StepState


async def run_pulse(
    context: Context,
    potentiostat: Potentiostat,
    step: Pulse,
    registers: Registers,
    *,
    conditions: Conditions,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> StepResult:
    """The result is that of the pulse itself; `measured` has the voltages around it, the resistances and the slope.

    A pulse is short: one that a pause has cut is done again from its beginning.
    """
    while True:
        parts = _Parts(step)
        ended: list[StepResult] = []
        for part in parts.steps:
            result = await run_step(
                context,
                potentiostat,
                part,
                registers,
                conditions=conditions,
                observe=parts.record(len(ended)),
                progress=progress,
            )
            ended.append(result)
            if result.stopped or result.state.pauses or (len(ended) == 2 and result.then.kind != "next"):
                break
        if any(part.state.pauses for part in ended) and not ended[-1].stopped:
            context.note(f"step {step.name!r}: the pause has cut the pulse; it is done again from its beginning")
            continue
        return _result(step, parts, ended, registers, conditions, potentiostat)


class _Parts:
    """The three steps that a pulse is made of, and their samples."""

    def __init__(self, step: Pulse) -> None:
        def common(name: str) -> dict[str, Any]:
            return {"name": f"{step.name}: {name}", "number": step.number, "interval_s": step.interval_s}

        def for_time(seconds: float) -> Condition:
            return Condition((Test("time", ">=", Amount(seconds, text=f"{seconds:g} s")),))

        before = OpenCircuit(**common("before"), until=(for_time(step.before_s),))
        pulse = ConstantCurrent(**common("pulse"), current=step.current, until=(*step.until, for_time(step.duration_s)))
        self.steps: list[Measured] = [before, pulse]
        if step.after_s > 0:
            self.steps.append(OpenCircuit(**common("after"), until=(for_time(step.after_s),)))
        self._blocks: list[list[SampleBlock]] = [[], [], []]

    def record(self, place: int) -> Callable[[str, float, SampleBlock], None]:
        return lambda phase, base_s, block: self._blocks[place].append(block)

    def samples(self, place: int) -> tuple[Any, Any, int]:
        """(time, voltage, start in ns) of a part; empty if it was not done."""
        blocks = [block for block in self._blocks[place] if len(block)]
        if not blocks:
            return np.empty(0), np.empty(0), 0
        time, voltage = (np.concatenate([block[name] for block in blocks]) for name in ("time_s", "voltage_v"))
        return time, voltage, blocks[0].start_time_ns


def _result(
    step: Pulse,
    parts: _Parts,
    ended: list[StepResult],
    registers: Registers,
    conditions: Conditions,
    potentiostat: Potentiostat,
) -> StepResult:
    current = step.current.si(conditions.reference_c)
    state = ended[1].state if len(ended) > 1 else StepState(phase="cc")
    before_t, before_v, before_ns = parts.samples(0)
    pulse_t, pulse_v, pulse_ns = parts.samples(1)
    after_t, after_v, _ = parts.samples(2)
    line = baseline(before_t - (pulse_ns - before_ns) / 1e9, before_v) if len(pulse_t) else None
    found = resistances(line, pulse_t, pulse_v, current, step.delays_s, conditions.stray_f)
    off = resistances(
        baseline(pulse_t - _last(pulse_t), pulse_v), after_t, after_v, -current, step.delays_s, conditions.stray_f
    )
    slope = sqrt_slope(pulse_t, pulse_v)
    at_zero = extrapolated(line, pulse_t, pulse_v, current, conditions.stray_f)
    last = ended[-1]
    return StepResult(
        name=step.name,
        kind=step.kind,
        cycle=registers.cycle,
        end=last.end if len(ended) < len(parts.steps) else ended[1].end,
        then=last.then if last.stopped else (ended[1].then if len(ended) > 1 else Then()),
        state=state,
        crossing_s=ended[1].crossing_s if len(ended) > 1 else None,
        crossing_c=ended[1].crossing_c if len(ended) > 1 else None,
        stopped=last.stopped,
        measured={
            "current_a": current,
            "voltage_before_v": None if line is None else line.at(0.0)[0],
            "voltage_before_uncertainty_v": None if line is None else line.at(0.0)[1],
            "voltage_noise_v": None if line is None else line.noise,
            "voltage_relaxed_v": float(after_v[np.isfinite(after_v)][-1]) if np.isfinite(after_v).any() else None,
            "resistances": [asdict(r) for r in found],
            "extrapolated": None if at_zero is None else asdict(at_zero),
            "resistances_at_switching_off": [asdict(r) for r in off] if len(after_t) else [],
            "diffusion": None if slope is None else asdict(slope),
            "curve": _thin(pulse_t, pulse_v),
        },
    )


def _last(values: Any) -> float:
    return float(values[-1]) if len(values) else 0.0


def _thin(time: Any, voltage: Any, points: int = 60) -> list[list[float]]:
    """The pulse's curve at about equal steps of the square root of time, for its picture."""
    good = np.isfinite(voltage)
    t, v = time[good], voltage[good]
    if not len(t):
        return []
    wanted = np.linspace(np.sqrt(t[0]), np.sqrt(t[-1]), points) ** 2
    places = np.unique(np.clip(np.searchsorted(t, wanted), 0, len(t) - 1))
    return [[float(t[i]), float(v[i])] for i in places]
