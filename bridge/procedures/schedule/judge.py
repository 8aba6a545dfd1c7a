"""Judges a step's end conditions on every sample of a block. Pure; arrays of shape (n,)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .language import OPERATORS, STEP_QUANTITIES, Condition

Floats = npt.NDArray[np.float64]

#: A current must be beyond its limit for so many samples in a row, as the drivers have it for the taper.
CURRENT_SAMPLES = 3
#: A slope is fitted over at least so many samples.
SLOPE_SAMPLES = 10
#: Standard errors by which a slope must be on its side of the limit: noise does not end a rest early.
_SLOPE_SIGMAS = 2.0


@dataclass(frozen=True, slots=True)
class Samples:
    """A block as the conditions see it: `time_s` of the step, current as a magnitude (NaN where it is not to be
    judged), capacity and energy passed by the step so far, unsigned."""

    time_s: Floats
    voltage_v: Floats
    current_a: Floats
    capacity_c: Floats
    energy_j: Floats


@dataclass(frozen=True, slots=True)
class Hit:
    """`condition` was fulfilled first at sample `index` of the block, `time_s` into the step."""

    index: int
    condition: Condition
    time_s: float


class Judge:
    """Feed it a step's blocks in order. With `slopes` the slope is followed even if no end needs it."""

    def __init__(
        self,
        conditions: tuple[Condition, ...],
        *,
        interval_s: float,
        dv_dt_window_s: float,
        reference_c: float | None,
        slopes: bool = False,
    ) -> None:
        self._conditions = conditions
        self._limits = [tuple(test.limit.si(reference_c) for test in c.tests) for c in conditions]
        self._window = max(SLOPE_SAMPLES, math.ceil(dv_dt_window_s / interval_s))
        self._slopes = slopes or any(test.quantity == "dv_dt" for c in conditions for test in c.tests)
        self._in_a_row = [0] * len(conditions)
        self._tail: tuple[Floats, Floats] = (np.empty(0), np.empty(0))
        #: (slope, standard error) in V/s at the last sample, or where the step ended; None before a window is full
        self.slope: tuple[float, float] | None = None

    def restart(self) -> None:
        """The source was switched between: what needs samples in a row begins anew."""
        self._in_a_row = [0] * len(self._conditions)
        self._tail = (np.empty(0), np.empty(0))
        self.slope = None

    def judge(self, samples: Samples, register: Callable[[str], float | None]) -> Hit | None:
        """The first condition that a sample fulfils; of several at the same sample the one written first."""
        if not len(samples.time_s):
            return None
        slope = self._slope(samples) if self._slopes else None
        found: list[Hit] = []
        for place, condition in enumerate(self._conditions):
            mask = np.ones(len(samples.time_s), bool)
            for test, limit in zip(condition.tests, self._limits[place], strict=True):
                mask &= self._fulfilled(test.quantity, test.operator, limit, samples, slope, register)
            if any(test.quantity == "current" for test in condition.tests):
                mask = self._persistent(mask, place)
            if mask.any():
                index = int(np.argmax(mask))
                found.append(Hit(index, condition, float(samples.time_s[index])))
        first = min(found, key=lambda hit: hit.index, default=None)
        if slope is not None:
            self._keep_slope(slope, len(samples.time_s) if first is None else first.index + 1)
        return first

    def _fulfilled(
        self,
        quantity: str,
        comparison: str,
        limit: float,
        samples: Samples,
        slope: tuple[Floats, Floats] | None,
        register: Callable[[str], float | None],
    ) -> Any:
        compare = OPERATORS[comparison]
        if quantity == "dv_dt":
            assert slope is not None
            value, error = slope
            margin = _SLOPE_SIGMAS * error
            return compare(value + margin if comparison in ("<", "<=") else value - margin, limit)
        if quantity in STEP_QUANTITIES:
            values = {
                "time": samples.time_s,
                "voltage": samples.voltage_v,
                "current": samples.current_a,
                "capacity": samples.capacity_c,
                "energy": samples.energy_j,
            }[quantity]
            if quantity in ("capacity", "energy") and comparison == ">=":
                limit *= 1 - 1e-12  # a sum of many terms may come to a hair less than it should
            return compare(values, limit)  # NaN fulfils nothing
        now = register(quantity)
        return now is not None and bool(compare(now, limit))

    def _persistent(self, mask: Any, place: int) -> Any:
        """Where `mask` has held for `CURRENT_SAMPLES` in a row, counted on from the block before."""
        position = np.arange(len(mask))
        broken = np.maximum.accumulate(np.where(mask, -1 - self._in_a_row[place], position))
        run = position - broken
        self._in_a_row[place] = int(run[-1])
        return run >= CURRENT_SAMPLES

    def _slope(self, samples: Samples) -> tuple[Floats, Floats]:
        """|dV/dt| by least squares over the window that ends at each sample, and its standard error; NaN before one is
        full."""
        known = np.isfinite(samples.voltage_v)
        time = np.concatenate((self._tail[0], samples.time_s[known]))
        voltage = np.concatenate((self._tail[1], samples.voltage_v[known]))
        before = len(self._tail[0])
        slopes, errors = sliding_slope(time, voltage, self._window)
        self._tail = (time[-self._window :], voltage[-self._window :])
        value, error = np.full(len(known), np.nan), np.full(len(known), np.nan)
        value[known], error[known] = np.abs(slopes[before:]), errors[before:]
        return value, error

    def _keep_slope(self, slope: tuple[Floats, Floats], count: int) -> None:
        """The last one known among the first `count` samples."""
        value, error = slope[0][:count], slope[1][:count]
        known = np.flatnonzero(np.isfinite(value))
        if len(known):
            self.slope = float(value[known[-1]]), float(error[known[-1]])


def sliding_slope(time_s: Floats, values: Floats, window: int) -> tuple[Floats, Floats]:
    """Least-squares slope over the last `window` samples at each sample, and its standard error; NaN before that.

    By running sums of what is left when the first sample is taken off, which keeps the digits of a long record.
    """
    count = len(time_s)
    slopes, errors = np.full(count, np.nan), np.full(count, np.nan)
    if count < window:
        return slopes, errors
    t, v = time_s - time_s[0], values - values[0]

    def summed(terms: Floats) -> Floats:
        total = np.concatenate(([0.0], np.cumsum(terms)))
        return total[window:] - total[:-window]

    st, sv = summed(t), summed(v)
    stt = summed(t * t) - st * st / window
    stv = summed(t * v) - st * sv / window
    svv = summed(v * v) - sv * sv / window
    slope = stv / stt
    rest = np.maximum(svv - slope * stv, 0.0)
    slopes[window - 1 :] = slope
    errors[window - 1 :] = np.sqrt(rest / (window - 2) / stt)
    return slopes, errors
