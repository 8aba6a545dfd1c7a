"""The current source away from what was set, slowly: offset, temperature, leakage of its own.

The measured current is averaged over fixed spans of time and compared with the set point and with the run's own first
spans. A galvanostat's reading proves the current of its own converter only (domain note, 0.10): what leaks outside of
its loop is not seen here.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator

import numpy as np

from bridge.analysis.formatting import si
from drivers.samples import EndReason, Flag
from drivers.techniques import Galvanostatic

from .detector import Finding, Samples, Situation

#: Length of a span; the quiet period after a step at low current is domain note 2.3's.
SPAN_S = 60.0
#: A span of fewer samples says nothing.
_LEAST_SAMPLES = 8
#: Spans in a row beyond the tolerance.
_NEEDED = 2
#: Spans of which the scatter is estimated.
_SCATTER = 8
_SIGMAS = 6.0
#: So many samples are judged one by one.
_FEW = 4
_BAD = int(Flag.OVERLOAD | Flag.COMPLIANCE | Flag.RANGE_COMPLIANCE | Flag.SETTLING)
_LOOK = "Compare with a known resistor and with the lead open; let the instrument warm up; keep its leads still."


class DriftDetector:
    """Kind `drift` (warning): two spans in a row off by more than `tolerance` of the set current.

    `floor_a` is the least deviation that counts; what the samples scatter by within the spans is allowed for.
    """

    def __init__(self, tolerance: float = 0.2, floor_a: float = 0.2e-12, span_s: float = SPAN_S) -> None:
        self._tolerance = tolerance
        self._floor_a = floor_a
        self._span_s = span_s
        self._clear()

    def _clear(self) -> None:
        self._number = 0
        self._sum = 0.0
        self._squares = 0.0
        self._count = 0
        self._first_index = 0
        self._off: list[tuple[float, float]] = []
        self._means: deque[tuple[float, float]] = deque(maxlen=_SCATTER)
        self._told = False

    def begin(self, situation: Situation) -> None:
        self._clear()

    def add(self, samples: Samples, situation: Situation) -> list[Finding]:
        set_a = situation.set_a
        if not set_a or not isinstance(situation.technique, Galvanostatic) or not len(samples):
            return []
        found: list[Finding] = []
        for number, at, away in (self._few if len(samples) <= _FEW else self._many)(samples, situation, set_a):
            if number != self._number:
                found += self._judge(
                    float(self._number + 1) * self._span_s, samples.index + at * samples.stride, situation
                )
                self._number, self._sum, self._squares, self._count = number, 0.0, 0.0, 0
            for value in away:  # one by one, so that the sum does not depend on the cuts
                self._sum += value
                self._squares += value * value
            self._count += len(away)
        return found

    def _few(self, samples: Samples, situation: Situation, set_a: float) -> Iterator[tuple[int, int, list[float]]]:
        """Number of the span, place of the first sample, deviations of those that count. A sample that comes alone
        costs less so than by numpy, and at 100 samples a second they do."""
        columns = (samples.time_s.tolist(), samples.current_a.tolist(), samples.flags.tolist())
        for at, (time_s, current_a, flags) in enumerate(zip(*columns, strict=True)):
            counts = not flags & _BAD and math.isfinite(current_a) and time_s >= situation.quiet_s
            yield math.floor(time_s / self._span_s), at, [current_a - set_a] if counts else []

    def _many(self, samples: Samples, situation: Situation, set_a: float) -> Iterator[tuple[int, int, list[float]]]:
        """As `_few`, a span at a time."""
        number = np.floor(samples.time_s / self._span_s).astype(np.int64)
        bad = (samples.flags & _BAD) != 0
        bad |= ~np.isfinite(samples.current_a) | (samples.time_s < situation.quiet_s)
        at = 0
        while at < len(samples):
            stop = int(np.searchsorted(number, number[at], side="right"))
            yield int(number[at]), at, (samples.current_a[at:stop] - set_a)[~bad[at:stop]].tolist()
            at = stop

    def finish(self, end: EndReason | None, situation: Situation) -> list[Finding]:
        return []

    def _judge(self, now_s: float, next_index: int, situation: Situation) -> list[Finding]:
        set_a = situation.set_a
        if self._count < _LEAST_SAMPLES or not set_a:
            return []
        mean = self._sum / self._count
        spread = math.sqrt(max(self._squares / self._count - mean * mean, 0.0) / self._count)
        allowed = max(self._tolerance * abs(set_a), self._floor_a, _SIGMAS * spread)
        self._means.append((now_s, mean))
        if abs(mean) <= allowed:
            self._off = []
            self._told = False
            return []
        self._off = [*self._off, (now_s, mean)]
        if len(self._off) < _NEEDED or self._told:
            return []
        self._told = True
        since_s = self._off[0][0] - self._span_s
        first_s, first = self._means[0]
        lasted_s = now_s - since_s
        slope = (mean - first) / (now_s - first_s) if now_s > first_s else 0.0
        return [
            Finding(
                kind="drift",
                from_s=since_s,
                to_s=now_s,
                first_index=max(0, next_index - self._count * len(self._off)),
                next_index=next_index,
                severity="warning",
                charge_c=abs(mean) * lasted_s,
                delay_s=lasted_s,
                action=_LOOK,
                text=f"on average over {lasted_s:g} s the current is {si(mean, 'A')} off the {si(set_a, 'A')} set",
                evidence={"deviation_a": mean, "allowed_a": allowed, "slope_a_per_s": slope, "spread_a": spread},
            )
        ]
