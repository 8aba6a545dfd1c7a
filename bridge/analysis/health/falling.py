"""A cell that loses voltage while it is charged: more leaks than is put in.

A sudden short shows in its fall (`short`); this one sees those that come slowly, or whose fall is small because the
cell's resistance is. Means over chunks of a second: a contact that has come back falls once and rises on.
"""

from __future__ import annotations

import math

import numpy as np

from bridge.analysis.formatting import si
from drivers.samples import EndReason
from drivers.techniques import Galvanostatic

from .detector import Finding, Samples, Situation

_CHUNK_S = 1.0
_LEAST_SAMPLES = 3
#: Chunks in a row that fall, and by how much in all.
_FALLS = 3
_FALL_V = 0.010
_RECLEAN = "Disconnect. Clean the cross-section again, enter the new length and width, and repeat the short test."


class FallingDetector:
    """Kind `short` (error). `caution` scales how far the voltage has to fall."""

    def __init__(self, caution: float = 1.0) -> None:
        self._caution = caution
        self._clear()

    def _clear(self) -> None:
        self._sum = 0.0
        self._count = 0
        self._began_s = 0.0
        self._last: float | None = None
        self._top: tuple[float, float, int] = (0.0, 0.0, 0)
        self._falls = 0
        self._told = False

    def begin(self, situation: Situation) -> None:
        self._clear()

    def add(self, samples: Samples, situation: Situation) -> list[Finding]:
        set_a = situation.set_a
        if self._told or not isinstance(situation.technique, Galvanostatic) or not set_a or set_a < 0.0:
            return []
        found: list[Finding] = []
        usable = np.isfinite(samples.voltage_v) & (samples.time_s >= situation.quiet_s)
        for at in np.flatnonzero(usable):
            now = float(samples.time_s[at])
            if not self._count:
                self._began_s = now
            self._sum += float(samples.voltage_v[at])
            self._count += 1
            if self._count >= _LEAST_SAMPLES and now - self._began_s >= _CHUNK_S - 0.5 * situation.interval_s:
                found += self._chunk(now, samples.index + (int(at) + 1) * samples.stride, situation)
        return found

    def finish(self, end: EndReason | None, situation: Situation) -> list[Finding]:
        return []

    def _chunk(self, now_s: float, next_index: int, situation: Situation) -> list[Finding]:
        mean = self._sum / self._count
        self._sum, self._count = 0.0, 0
        last, self._last = self._last, mean
        if last is None or mean >= last:
            self._top = (now_s, mean, next_index)
            self._falls = 0
            return []
        self._falls += 1
        top_s, top_v, top_index = self._top
        if self._told or self._falls < _FALLS or top_v - mean < self._caution * _FALL_V:
            return []
        self._told = True
        set_a = situation.set_a or 0.0
        slope = (mean - top_v) / (now_s - top_s)
        leak = math.nan if situation.cell_ohm is None else (top_v - mean) / situation.cell_ohm
        evidence = {"fall_v": top_v - mean, "from_v": top_v, "to_v": mean, "slope_v_per_s": slope}
        return [
            Finding(
                kind="short",
                from_s=top_s,
                to_s=now_s,
                first_index=top_index,
                next_index=next_index,
                severity="error",
                charge_c=(set_a + (0.0 if math.isnan(leak) else leak)) * (now_s - top_s),
                delay_s=now_s - top_s,
                action=_RECLEAN,
                text=f"short: the voltage falls by {si(-slope, 'V/s')} although {si(set_a, 'A')} charges the cell",
                evidence=evidence,
            )
        ]
