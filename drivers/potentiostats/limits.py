"""The host's own check of a technique's limits, on every sample, whatever the device checks itself."""

from __future__ import annotations

import numpy as np

from ..samples import Array, EndReason, Flag, SampleBlock
from ..techniques import CyclicVoltammetry, Galvanostatic, Impedance, OpenCircuit, Potentiostatic, Technique

#: A potentiostatic step ends only when this many samples in a row are at or below the taper current.
TAPER_SAMPLES = 3


class LimitWatch:
    """Feed it blocks in order; it says when the technique must end. NaN ends nothing: only numbers cross limits.

    Charge is the trapezoid of the current over the samples' own times, carried from block to block.
    """

    def __init__(self, technique: Technique) -> None:
        self._low: float | None = None
        self._high: float | None = None
        self._charge_limit: float | None = None
        self._taper: float | None = None
        self._current_limit: float | None = None
        self._duration: float | None = None
        if isinstance(technique, OpenCircuit | Galvanostatic | Potentiostatic):
            self._duration = technique.duration_s
        if isinstance(technique, Galvanostatic):
            self._low, self._high = technique.voltage_min_v, technique.voltage_max_v
        if isinstance(technique, Galvanostatic | Potentiostatic):
            self._charge_limit = technique.charge_limit_c
        if isinstance(technique, Potentiostatic):
            self._taper = technique.taper_current_a
        if isinstance(technique, Potentiostatic | CyclicVoltammetry):
            self._current_limit = technique.current_limit_a
        self._nothing = isinstance(technique, Impedance)
        self._current = technique.current_a if isinstance(technique, Galvanostatic) else None
        self._at_taper = 0
        self._last: tuple[float, float] | None = None
        self.charge_c = 0.0

    def check(self, block: SampleBlock) -> EndReason | None:
        """The first reason to end that a sample of this block gives, or None."""
        if self._nothing or not len(block):
            return None
        return self.check_samples(block["time_s"], block["voltage_v"], block["current_a"], block["flags"])

    def check_samples(self, time: Array, voltage: Array, current: Array, flags: Array) -> EndReason | None:
        """As `check`, on bare arrays of shape (n,)."""
        crossings: list[tuple[int, EndReason]] = []

        def crossed(condition: Array, reason: EndReason) -> None:
            if condition.any():
                crossings.append((int(np.argmax(condition)), reason))

        crossed((flags & Flag.OVERLOAD) != 0, EndReason.OVERLOAD)
        if self._high is not None and (self._current is None or self._current >= 0):
            crossed(voltage >= self._high, EndReason.VOLTAGE_MAX)
        if self._low is not None and (self._current is None or self._current <= 0):
            crossed(voltage <= self._low, EndReason.VOLTAGE_MIN)
        if self._current_limit is not None:
            crossed(np.abs(current) > self._current_limit, EndReason.CURRENT_LIMIT)
        self._check_charge(time, current, crossed)
        self._check_taper(current, crossings)
        if self._duration is not None:
            # half a nanosecond: the device's times are decimal text, the duration is a double
            crossed(time >= self._duration - 0.5e-9, EndReason.DURATION)
        return min(crossings, key=lambda crossing: crossing[0])[1] if crossings else None

    def _check_charge(self, time: Array, current: Array, crossed: object) -> None:
        known = np.isfinite(current)
        t, i = time[known], current[known]
        if not len(t):
            return
        if self._last is not None:
            t, i = np.concatenate(([self._last[0]], t)), np.concatenate(([self._last[1]], i))
        steps = np.diff(t) * (i[1:] + i[:-1]) / 2
        total = self.charge_c + np.cumsum(steps)
        if self._charge_limit is not None and callable(crossed):
            reached = np.zeros(len(time), dtype=bool)
            reached[np.flatnonzero(known)[-len(total) :]] = np.abs(total) >= self._charge_limit * (1 - 1e-12)
            crossed(reached, EndReason.CAPACITY)
        self.charge_c = float(total[-1]) if len(total) else self.charge_c
        self._last = (float(t[-1]), float(i[-1]))

    def _check_taper(self, current: Array, crossings: list[tuple[int, EndReason]]) -> None:
        if self._taper is None:
            return
        for index, small in enumerate((np.abs(current) <= self._taper).tolist()):
            self._at_taper = self._at_taper + 1 if small else 0
            if self._at_taper >= TAPER_SAMPLES:
                crossings.append((index, EndReason.TAPER))
                return
