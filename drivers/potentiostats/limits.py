"""The host's own check of a technique's limits, on every sample, whatever the device checks itself."""

from __future__ import annotations

import numpy as np

from ..samples import Array, EndReason, Flag, SampleBlock
from ..techniques import CyclicVoltammetry, Galvanostatic, Impedance, OpenCircuit, Potentiostatic, Technique

#: A potentiostatic step ends only when this many samples in a row are at or below the taper current.
TAPER_SAMPLES = 3

#: So many overloads in a row end a run: the limits cannot be judged any more. Fewer are an instrument on its way to
#: the right range, or a disturbance, and only flagged.
OVERLOAD_SAMPLES = 3


class LimitWatch:
    """Feed it blocks in order; it says when the technique must end. NaN ends nothing: only numbers cross limits.

    Charge is the trapezoid of the current over the samples' own times, carried from block to block. What flowed
    before the first sample counts as the first sample's current since time zero, if that sample is at most two
    intervals late. `charge_c` is signed; the limit is on its magnitude.
    """

    def __init__(self, technique: Technique) -> None:
        self._low: float | None = None
        self._high: float | None = None
        self._charge_limit: float | None = None
        self._taper: float | None = None
        self._current_limit: float | None = None
        self._duration: float | None = None
        self._interval = 0.0
        if isinstance(technique, OpenCircuit | Galvanostatic | Potentiostatic):
            self._duration, self._interval = technique.duration_s, technique.interval_s
        if isinstance(technique, Galvanostatic):
            # only in the direction of the current: a full cell may begin its discharge above the window
            self._low = technique.voltage_min_v if technique.current_a <= 0 else None
            self._high = technique.voltage_max_v if technique.current_a >= 0 else None
        if isinstance(technique, Galvanostatic | Potentiostatic):
            self._charge_limit = technique.charge_limit_c
        if isinstance(technique, Potentiostatic):
            self._taper = technique.taper_current_a
        if isinstance(technique, Potentiostatic | CyclicVoltammetry):
            self._current_limit = technique.current_limit_a
        self._nothing = isinstance(technique, Impedance)
        self._at_taper = 0
        self._overloaded = 0
        self._last: tuple[float, float] | None = None
        self.charge_c = 0.0

    def check(self, block: SampleBlock) -> EndReason | None:
        """The first reason to end that a sample of this block gives, or None."""
        if self._nothing or not len(block):
            return None
        return self.check_samples(block["time_s"], block["voltage_v"], block["current_a"], block["flags"])

    def check_samples(self, time: Array, voltage: Array, current: Array, flags: Array) -> EndReason | None:
        """As `check`, on bare arrays of shape (n,)."""
        if self._nothing or not len(time):
            return None
        crossings: list[tuple[int, EndReason]] = []

        def crossed(condition: Array, reason: EndReason) -> None:
            if condition.any():
                crossings.append((int(np.argmax(condition)), reason))

        overload, self._overloaded = _in_a_row((flags & Flag.OVERLOAD) != 0, self._overloaded)
        crossed(overload >= OVERLOAD_SAMPLES, EndReason.OVERLOAD)
        if self._high is not None:
            crossed(voltage >= self._high, EndReason.VOLTAGE_MAX)
        if self._low is not None:
            crossed(voltage <= self._low, EndReason.VOLTAGE_MIN)
        if self._current_limit is not None:
            crossed(np.abs(current) > self._current_limit, EndReason.CURRENT_LIMIT)
        charge = self._charge_after_each(time, current)
        if self._charge_limit is not None:
            crossed(np.abs(charge) >= self._charge_limit * (1 - 1e-12), EndReason.CAPACITY)
        if self._taper is not None:
            small, self._at_taper = _in_a_row(np.abs(current) <= self._taper, self._at_taper)
            crossed(small >= TAPER_SAMPLES, EndReason.TAPER)
        if self._duration is not None:
            # at the sample nearest to the duration: sample times jitter, and one more is current for an interval more
            crossed(time >= self._duration - 0.5 * min(self._interval, self._duration), EndReason.DURATION)
        return min(crossings, key=lambda crossing: crossing[0])[1] if crossings else None

    def _charge_after_each(self, time: Array, current: Array) -> Array:
        """Charge since the start at each sample, shape (n,); a sample that is not a number holds the one before."""
        known = np.isfinite(current) & np.isfinite(time)
        total = np.full(len(time), self.charge_c)
        if not known.any():
            return total
        t, i = time[known], current[known]
        if self._last is None:
            begins = 0.0 if 0.0 < t[0] <= 2 * self._interval else float(t[0])
            self._last = (begins, float(i[0]))
        t, i = np.concatenate(([self._last[0]], t)), np.concatenate(([self._last[1]], i))
        steps = np.zeros(len(time))
        steps[known] = np.diff(t) * (i[1:] + i[:-1]) / 2
        total += np.cumsum(steps)
        self.charge_c = float(total[-1])
        self._last = (float(t[-1]), float(i[-1]))
        return total


def _in_a_row(condition: Array, before: int) -> tuple[Array, int]:
    """How many samples in a row fulfil `condition` up to each one (`before` ahead of the first), and up to the last."""
    if not condition.any():
        return np.zeros(len(condition), np.intp), 0
    position = np.arange(len(condition))
    last_break = np.maximum.accumulate(np.where(condition, -1 - before, position))
    run: Array = position - last_break
    return run, int(run[-1])
