"""One step under a set current or at rest, with what a judgement of leaks needs beside its charge."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge.analysis.capacity import integrate
from bridge.analysis.health.contact import contact_gaps
from bridge.analysis.statistics import Floats
from drivers.errors import RunFailed
from drivers.interfaces import Potentiostat
from drivers.samples import SampleBlock

from ..context import Context
from ..schedule.language import ConstantCurrent, Measured
from ..schedule.measure import Conditions, run_step
from ..schedule.registers import Registers
from ..schedule.step_state import StepResult, StepState

#: The lead, where nobody has said its capacitance: 1 m of coax (domain note, section 2.3).
_STRAY_F = 100e-12
#: A step's curve is kept at so many points.
_POINTS = 400

Keep = Callable[[Callable[[], StepState], bool], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """`voltage_seconds` is the integral of the voltage over the step. Arrays of shape (n,), time within the step."""

    result: StepResult
    voltage_seconds: float
    time_s: Floats
    voltage_v: Floats

    @property
    def charge_c(self) -> float:
        """Unsigned, until the limit where it was crossed between two samples."""
        crossed = self.result.crossing_c
        return abs(self.result.state.net_c) if crossed is None else abs(crossed)

    @property
    def voltage_change_v(self) -> float:
        state = self.result.state
        return 0.0 if state.voltage_start_v is None else (state.voltage_end_v or 0.0) - state.voltage_start_v

    def curve(self) -> list[list[float]]:
        """Pairs of time and voltage, at most `_POINTS`, each a mean over as many samples as that takes."""
        known = np.isfinite(self.voltage_v)
        pairs = np.stack((self.time_s[known], self.voltage_v[known]), axis=1)
        parts = np.array_split(pairs, min(len(pairs), _POINTS)) if len(pairs) else []
        return [part.mean(axis=0).tolist() for part in parts]


async def record_step(
    context: Context,
    potentiostat: Potentiostat,
    step: Measured,
    *,
    cycle: int,
    stray_f: float,
    latency_s: float,
    area_m2: float | None = None,
    before: StepState | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    keep: Keep | None = None,
) -> RecordedStep:
    """Run it. `before` is what an interrupted run had done of it: its voltage is not known here any more, and is taken
    to have been that of the rest. Raises `RunFailed` where the contact was open when the step ended."""
    pieces: list[tuple[float, SampleBlock]] = []

    def observe(phase: str, before_s: float, block: SampleBlock) -> None:
        if len(block):
            pieces.append((before_s, block))

    result = await run_step(
        context,
        potentiostat,
        step,
        Registers(cycle=cycle),
        conditions=Conditions(stray_f=stray_f, latency_s=latency_s),
        state=before,
        observe=observe,
        progress=progress,
        keep=keep,
    )
    _check_contact(potentiostat, step, pieces, stray_f or _STRAY_F, area_m2)
    time, voltage = _joined(pieces)
    seconds = _voltage_seconds(time, voltage, step.interval_s)
    measured_s = result.state.time_s - (before.time_s if before is not None else 0.0)
    if before is not None and measured_s > 0:
        seconds *= result.state.time_s / measured_s
    return RecordedStep(result, seconds, time, voltage)


def _joined(pieces: list[tuple[float, SampleBlock]]) -> tuple[Floats, Floats]:
    """(time, voltage)"""
    if not pieces:
        return np.empty(0), np.empty(0)
    return (
        np.concatenate([before_s + block["time_s"] for before_s, block in pieces]),
        np.concatenate([block["voltage_v"] for _, block in pieces]),
    )


def _voltage_seconds(time_s: Floats, voltage_v: Floats, interval_s: float) -> float:
    """Gaps are bridged here, unlike the charge's: in them the leak went on."""
    if not len(time_s):
        return 0.0
    counted = integrate(
        time_s, voltage_v, period_s=interval_s, start_s=max(0.0, float(time_s[0]) - interval_s), gap_factor=math.inf
    )
    return counted.net_c


def _check_contact(
    potentiostat: Potentiostat,
    step: Measured,
    pieces: list[tuple[float, SampleBlock]],
    stray_f: float,
    area_m2: float | None,
) -> None:
    """Of the last technique of the step: a limit that a ramp of the open lead has reached is none of the cell's."""
    if not isinstance(step, ConstantCurrent) or not pieces:
        return
    last = [(0.0, block) for before_s, block in pieces if before_s == pieces[-1][0]]
    time, voltage = _joined(last)
    flags = np.concatenate([block["flags"] for _, block in last])
    gaps = contact_gaps(
        time, voltage, step.current.si(None), stray_f=stray_f, area_m2=area_m2, flags=flags, interval_s=step.interval_s
    )
    if gaps and not gaps[-1].closed:
        raise RunFailed(
            f"{step.name}: contact lost at {gaps[-1].from_s:.4g} s: the voltage went on as that of an open lead; "
            "the cell is disconnected",
            device=potentiostat.name,
            hint="Make contact again and test it, then resume the run: it goes on with what is left of the step.",
            step=step.name,
        )
