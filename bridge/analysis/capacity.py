"""Charge from current over the device's own time, and where a limit was crossed. Pure functions, coulombs and volts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from drivers.errors import InvalidValue

from .averaging import Gap
from .statistics import Floats

#: Coulombs in one ampere-hour.
COULOMB_PER_AH = 3600.0

#: Samples further apart than this many periods have a gap between them, which is reported and not bridged.
GAP_FACTOR = 5.0


def ah(charge_c: float) -> float:
    """Ampere-hours."""
    return charge_c / COULOMB_PER_AH


@dataclass(frozen=True, slots=True)
class Charge:
    """Charge that went in (`charge_c`, from positive current) and out (`discharge_c`, from negative), both unsigned.

    `gap_c` is what the gaps would add, signed, if the current went on in them as a straight line: it is in neither.
    """

    charge_c: float
    discharge_c: float
    gap_c: float
    gaps: tuple[Gap, ...]

    @property
    def net_c(self) -> float:
        return self.charge_c - self.discharge_c


class _Sum:
    """A running sum as exact as `math.fsum` (Neumaier's compensation between blocks, fsum within one)."""

    def __init__(self) -> None:
        self._total = 0.0
        self._lost = 0.0

    def add(self, terms: Floats) -> None:
        term = math.fsum(terms.tolist())
        total = self._total + term
        larger, smaller = (self._total, term) if abs(self._total) >= abs(term) else (term, self._total)
        self._lost += (larger - total) + smaller
        self._total = total

    @property
    def value(self) -> float:
        return self._total + self._lost


class ChargeCounter:
    """Counts charge block by block by the trapezoid over device time; the last sample is carried to the next block.

    One counter is for one step: a trapezoid must not reach over the edge between two set currents. At a step's edges,
    where no sample was taken, the nearest one is held: from `start_s` to the first sample, and by `finish` to the end.
    Samples without a number are left out; the time that they stand for is a gap if it is long enough.
    """

    def __init__(self, period_s: float, start_s: float | None = None, gap_factor: float = GAP_FACTOR) -> None:
        if not period_s > 0:
            raise InvalidValue(f"period_s is {period_s}; it must be greater than zero")
        self._longest = gap_factor * period_s
        self._start = start_s
        self._last: tuple[float, float] | None = None
        self._in, self._out, self._gap = _Sum(), _Sum(), _Sum()
        self._gaps: list[Gap] = []

    def add(self, time_s: Floats, current_a: Floats) -> None:
        """Samples of shape (n,), in order. Raises `InvalidValue` if time goes back."""
        good = np.isfinite(current_a)
        time, current = time_s[good], current_a[good]
        if not len(time):
            return
        if self._last is not None:
            time = np.concatenate(([self._last[0]], time))
            current = np.concatenate(([self._last[1]], current))
        elif self._start is not None:
            time = np.concatenate(([self._start], time))
            current = np.concatenate(([current[0]], current))
        self._count(time, current)
        self._last = float(time[-1]), float(current[-1])

    def finish(self, end_s: float) -> None:
        """The step ended at `end_s`, after the last sample: hold its current until then."""
        if self._last is not None and end_s > self._last[0]:
            self._count(np.array([self._last[0], end_s]), np.array([self._last[1], self._last[1]]))
            self._last = end_s, self._last[1]

    def _count(self, time: Floats, current: Floats) -> None:
        steps = np.diff(time)
        if (steps < 0).any():
            index = int(np.argmax(steps < 0))
            raise InvalidValue(f"time goes back from {time[index]:.9g} s to {time[index + 1]:.9g} s")
        left, right = current[:-1], current[1:]
        area = steps * (left + right) / 2
        gap = steps > self._longest
        if gap.any():
            self._gap.add(area[gap])
            places = np.flatnonzero(gap).tolist()
            self._gaps += [Gap(float(time[i]), float(time[i + 1])) for i in places]
        # where the current changes sign between two samples, the straight line's two triangles are told apart
        crossing = left * right < 0
        span = np.where(crossing, np.abs(left) + np.abs(right), 1.0)
        positive = np.where(crossing, steps * np.maximum(left, right) ** 2 / span / 2, np.maximum(area, 0.0))
        negative = np.where(crossing, steps * np.minimum(left, right) ** 2 / span / 2, np.maximum(-area, 0.0))
        self._in.add(positive[~gap])
        self._out.add(negative[~gap])

    @property
    def charge(self) -> Charge:
        return Charge(self._in.value, self._out.value, self._gap.value, tuple(self._gaps))


def integrate(
    time_s: Floats,
    current_a: Floats,
    *,
    period_s: float | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    gap_factor: float = GAP_FACTOR,
) -> Charge:
    """Charge of one step, shape (n,); `period_s` is the median interval unless given. See `ChargeCounter`."""
    if period_s is None:
        steps = np.diff(time_s)
        period_s = float(np.median(steps)) if len(steps) else 1.0
    counter = ChargeCounter(period_s, start_s, gap_factor)
    counter.add(time_s, current_a)
    if end_s is not None:
        counter.finish(end_s)
    return counter.charge


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where a voltage limit was crossed: `raw_s` the first sample at or beyond it, `time_s` interpolated before it."""

    time_s: float
    raw_s: float


def find_crossing(time_s: Floats, voltage_v: Floats, limit_v: float, *, rising: bool) -> Crossing | None:
    """The first crossing of `limit_v`, by a straight line between the last sample inside and the first beyond."""
    beyond = voltage_v >= limit_v if rising else voltage_v <= limit_v
    if not beyond.any():
        return None
    index = int(np.argmax(beyond))
    raw = float(time_s[index])
    before = np.flatnonzero(np.isfinite(voltage_v[:index]))
    if not len(before):
        return Crossing(raw, raw)
    v0, v1 = float(voltage_v[before[-1]]), float(voltage_v[index])
    t0 = float(time_s[before[-1]])
    return Crossing(t0 + (raw - t0) * (limit_v - v0) / (v1 - v0), raw)


@dataclass(frozen=True, slots=True)
class Overshoot:
    """How far a voltage may pass its limit before the source is off.

    `worst_v` = |dV/dt| at the end times (sampling period + latency of the reaction); `observed_v` is how far the last
    sample was beyond the limit.
    """

    slope_v_per_s: float
    worst_v: float
    observed_v: float


def overshoot(
    time_s: Floats, voltage_v: Floats, limit_v: float, *, rising: bool, period_s: float, latency_s: float
) -> Overshoot | None:
    """From the last samples of a step, shape (n,). None if there are not two with numbers.

    The slope is the steeper of the least-squares line through all of them and the last difference, so that neither
    noise nor a curve that steepens makes it look flatter than it is.
    """
    good = np.isfinite(voltage_v)
    time, voltage = time_s[good], voltage_v[good]
    if len(time) < 2 or time[-1] <= time[-2]:
        return None
    x = time - time.mean()
    line = float(np.dot(x, voltage - voltage.mean()) / np.dot(x, x))
    last = float((voltage[-1] - voltage[-2]) / (time[-1] - time[-2]))
    slope = max(abs(line), abs(last))
    beyond = float(voltage[-1] - limit_v) if rising else float(limit_v - voltage[-1])
    return Overshoot(slope, slope * (period_s + latency_s), max(0.0, beyond))
