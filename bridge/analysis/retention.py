"""Capacity over cycles: what is left of a reference cycle's, the fade per cycle with its interval, and a forecast."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .quantiles import student
from .statistics import Floats, drift

#: Cycles needed for a fit with an interval.
LEAST_CYCLES = 4


@dataclass(frozen=True, slots=True)
class Fade:
    """A line through the logarithm of the capacity: each cycle has (1 - `per_cycle`) of the one before.

    `interval` holds the true fade with `confidence`; its width takes the scatter's correlation along (Newey and West).
    `linear_per_cycle` is the slope of a straight line through the retention itself, in shares of the reference.
    `scatter` is the relative standard deviation of the capacities around the fit.
    """

    per_cycle: float
    interval: tuple[float, float]
    confidence: float
    linear_per_cycle: float
    scatter: float
    cycles: int


def fade_from_retention(retention: float, cycles: int) -> float:
    """Fade per cycle that leaves `retention` after `cycles`: 0.95 after 150 is 0.000342 (domain note, section 1.4)."""
    return -math.expm1(math.log(retention) / cycles)


def fit_fade(cycle: Floats, capacity: Floats, *, reference: float, confidence: float = 0.95) -> Fade | None:
    """Arrays of shape (n,): cycle numbers, and capacities above zero. None with fewer than `LEAST_CYCLES`."""
    good = np.isfinite(capacity) & (capacity > 0)
    n, q = cycle[good], capacity[good]
    if len(n) < LEAST_CYCLES:
        return None
    logs = np.log(q / reference)
    line = drift(n, logs, confidence)
    low, high = line.slope_per_s - line.half_width_per_s, line.slope_per_s + line.half_width_per_s
    rest = logs - logs.mean() - line.slope_per_s * (n - n.mean())
    linear = drift(n, q / reference, confidence).slope_per_s
    return Fade(
        per_cycle=-math.expm1(line.slope_per_s),
        interval=(-math.expm1(high), -math.expm1(low)),
        confidence=confidence,
        linear_per_cycle=-linear,
        scatter=math.sqrt(float(rest @ rest) / (len(n) - 2)),
        cycles=len(n),
    )


@dataclass(frozen=True, slots=True)
class Forecast:
    """Retention expected at a cycle that was not measured, with the interval in which a single capacity then lies.

    It takes for granted that the cell goes on fading as it has: it is a forecast, not a measurement.
    """

    cycle: int
    retention: float
    interval: tuple[float, float]


def forecast(
    cycle: Floats, capacity: Floats, *, reference: float, at_cycle: int, confidence: float = 0.95
) -> Forecast | None:
    """By the line of `fit_fade`, carried on to `at_cycle`; None with fewer than `LEAST_CYCLES`."""
    fade = fit_fade(cycle, capacity, reference=reference, confidence=confidence)
    if fade is None:
        return None
    good = np.isfinite(capacity) & (capacity > 0)
    n, logs = cycle[good], np.log(capacity[good] / reference)
    slope = math.log1p(-fade.per_cycle)
    away = at_cycle - float(n.mean())
    expected = float(logs.mean()) + slope * away
    slope_doubt = (math.log1p(-fade.interval[0]) - math.log1p(-fade.interval[1])) / 2 * abs(away)
    t = student(0.5 + confidence / 2, len(n) - 2)
    half = math.hypot(slope_doubt, t * fade.scatter * math.sqrt(1 + 1 / len(n)))
    return Forecast(at_cycle, math.exp(expected), (math.exp(expected - half), math.exp(expected + half)))
