"""The host's own check of a technique's limits, on every sample, whatever the device checks itself."""

from __future__ import annotations

import math

import numpy as np

from ..samples import Array, EndReason, Flag, SampleBlock
from ..techniques import (
    CurrentSequence,
    CyclicVoltammetry,
    Galvanostatic,
    Impedance,
    OpenCircuit,
    Potentiostatic,
    Technique,
    VoltageSequence,
)

#: A potentiostatic step ends only when this many samples in a row are at or below the taper current.
TAPER_SAMPLES = 3

#: So many overloads in a row end a run: the limits cannot be judged any more. Fewer are an instrument on its way to
#: the right range, or a disturbance, and only flagged.
OVERLOAD_SAMPLES = 3
_OVERLOAD = int(Flag.OVERLOAD)


class LimitWatch:
    """Feed it blocks in order; it says when the technique must end.

    Only numbers cross limits. A sample that is no number where a limit would have to judge it counts as an overload:
    a few of them are a disturbance, more are a run that nobody watches.

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
        if isinstance(technique, CurrentSequence):
            self._low, self._high = technique.voltage_min_v, technique.voltage_max_v
        if isinstance(technique, Galvanostatic | Potentiostatic):
            self._charge_limit = technique.charge_limit_c
        if isinstance(technique, Potentiostatic):
            self._taper = technique.taper_current_a
        if isinstance(technique, Potentiostatic | CyclicVoltammetry | VoltageSequence):
            self._current_limit = technique.current_limit_a
        self._judges_voltage = self._low is not None or self._high is not None
        self._judges_current = not (self._charge_limit is self._taper is self._current_limit is None)
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
        if len(time) == 1:
            return self._check_one(float(time[0]), float(voltage[0]), float(current[0]), int(flags[0]))
        crossings: list[tuple[int, EndReason]] = []

        def crossed(condition: Array, reason: EndReason) -> None:
            if condition.any():
                crossings.append((int(np.argmax(condition)), reason))

        blind = (flags & Flag.OVERLOAD) != 0
        if self._judges_voltage:
            blind |= ~np.isfinite(voltage)
        if self._judges_current:
            blind |= ~np.isfinite(current)
        overload, self._overloaded = _in_a_row(blind, self._overloaded)
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
            crossed(time >= self._ends_at(self._duration), EndReason.DURATION)
        return min(crossings, key=lambda crossing: crossing[0])[1] if crossings else None

    def _check_one(self, time_s: float, voltage_v: float, current_a: float, flags: int) -> EndReason | None:
        """One sample on its own, as most instruments give them: with arrays it would take ten times as long, and the
        source is switched off only afterwards.
        """
        blind = (
            bool(flags & _OVERLOAD)
            or (self._judges_voltage and not math.isfinite(voltage_v))
            or (self._judges_current and not math.isfinite(current_a))
        )
        self._overloaded = self._overloaded + 1 if blind else 0
        if self._taper is not None:
            self._at_taper = self._at_taper + 1 if abs(current_a) <= self._taper else 0
        if math.isfinite(current_a) and math.isfinite(time_s):
            self._add_charge(time_s, current_a)
        if self._overloaded >= OVERLOAD_SAMPLES:
            return EndReason.OVERLOAD
        if self._high is not None and voltage_v >= self._high:
            return EndReason.VOLTAGE_MAX
        if self._low is not None and voltage_v <= self._low:
            return EndReason.VOLTAGE_MIN
        if self._current_limit is not None and abs(current_a) > self._current_limit:
            return EndReason.CURRENT_LIMIT
        if self._charge_limit is not None and abs(self.charge_c) >= self._charge_limit * (1 - 1e-12):
            return EndReason.CAPACITY
        if self._taper is not None and self._at_taper >= TAPER_SAMPLES:
            return EndReason.TAPER
        if self._duration is not None and time_s >= self._ends_at(self._duration):
            return EndReason.DURATION
        return None

    def _add_charge(self, time_s: float, current_a: float) -> None:
        last_s, last_a = self._last or (self._counts_from(time_s), current_a)
        self.charge_c += (time_s - last_s) * (current_a + last_a) / 2
        self._last = (time_s, current_a)

    def _counts_from(self, first_s: float) -> float:
        """Since when the current of the first sample is taken to have flowed."""
        return 0.0 if 0.0 < first_s <= 2 * self._interval else first_s

    def _ends_at(self, duration_s: float) -> float:
        """At the sample nearest to the duration: sample times jitter, and one more is current for an interval more."""
        return duration_s - 0.5 * min(self._interval, duration_s)

    def _charge_after_each(self, time: Array, current: Array) -> Array:
        """Charge since the start at each sample, shape (n,); a sample that is not a number holds the one before."""
        known = np.isfinite(current) & np.isfinite(time)
        total = np.full(len(time), self.charge_c)
        if not known.any():
            return total
        t, i = time[known], current[known]
        if self._last is None:
            self._last = (self._counts_from(float(t[0])), float(i[0]))
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
