"""Where a record shows the signs of an open contact, sample by sample, vectorised over blocks.

Everything here looks at a fixed number of samples back, so that it does not matter how a record is cut.
"""

from __future__ import annotations

import math

import numpy as np

from drivers.samples import Flag

from .detector import CELL_LEAST_F_PER_M2, STEEPEST_V_M2_PER_C, Array, Samples, Situation
from .short_finding import noise_v

#: Intervals over which the slope before an opening is taken, and samples kept for it and for the noise.
REFERENCE = 8
KEPT = 32
#: A broken interval is at least so much of the way from the cell's slope to the open lead's.
_PARTIAL = 0.15
#: Excesses this many standard deviations of the noise are not noise.
SIGMAS = 8.0
_LEAST_V = 1e-3
#: On a cell whose slope is nowhere near that of an open lead, an excess of this much in two samples is an opening.
JUMP_V = 0.1
#: The share of the way from the steepest slope of the cell to that of an open lead at which an opening is seen.
_BETWEEN = 0.5
_LEAST_RATIO, _RATIO_UNKNOWN = 0.5, 0.75
#: Faster than this no current can charge the lead: a disturbance.
FASTEST = 1.6


def open_slope(situation: Situation) -> float:
    """V/s of an open lead under the set current, signed."""
    return (situation.set_a or 0.0) / situation.stray_f


def least_ratio(situation: Situation) -> float:
    """The r from which on a slope is no cell's."""
    if situation.area_m2 is None:
        return _RATIO_UNKNOWN
    steepest = situation.stray_f / (situation.stray_f + CELL_LEAST_F_PER_M2 * situation.area_m2)
    return max(_LEAST_RATIO, steepest + _BETWEEN * (1.0 - steepest))


def ratios(samples: Samples, situation: Situation) -> Array:
    """r of the interval that ends at each sample, shape (n,); NaN for the first."""
    ratio = np.full(len(samples), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):  # a time that stands still
        ratio[1:] = np.diff(samples.voltage_v) / (np.diff(samples.time_s) * open_slope(situation))
    return ratio


def ramps(samples: Samples, situation: Situation, caution: float) -> Array:
    """At which samples an opening would be seen, shape (n,)."""
    seen = np.zeros(len(samples), bool)
    if len(samples) < 4 + REFERENCE:
        return seen
    ratio = ratios(samples, situation)
    enough = min(caution * least_ratio(situation), 0.95)
    time, voltage = samples.time_s, samples.voltage_v
    slope = open_slope(situation)
    sign = math.copysign(1.0, slope)
    n = len(samples)
    # the cell's own slope before, over the reference window that ends two samples ago
    before = np.zeros(n)
    span = time[REFERENCE : n - 2] - time[: n - 2 - REFERENCE]
    before[2 + REFERENCE :] = (voltage[REFERENCE : n - 2] - voltage[: n - 2 - REFERENCE]) / (span * slope)
    two = np.zeros(n)
    two[2:] = sign * (voltage[2:] - voltage[:-2]) - np.abs(slope) * before[2:] * (time[2:] - time[:-2])
    step = np.zeros(n)
    step[1:] = np.diff(time) * np.abs(slope)
    last = np.zeros(n)
    last[1:] = ratio[1:]
    first = np.zeros(n)
    first[2:] = ratio[1:-1]
    ramp = (last >= enough) & (last < FASTEST) & (first < FASTEST)
    ramp &= first >= np.minimum(before, 1.0) + caution * _PARTIAL * np.maximum(1.0 - before, 0.1)
    ramp &= two > caution * _LEAST_V
    far = np.maximum(JUMP_V, np.maximum(10.0 * np.abs(before), 3.0 * empty_ratio(situation)) * step)
    once = first * step - before * step
    jump = (two > far) & (once > far) & (last > -0.25 * first) & (first < FASTEST)
    limited = (samples.flags & Flag.COMPLIANCE) != 0
    held = np.zeros(n, bool)
    held[1:] = limited[1:] & limited[:-1]
    seen = (ramp | jump | held) & (time >= situation.quiet_s)
    seen[: 3 + REFERENCE] = False
    for at in np.flatnonzero(seen & ~held):
        seen[at] = two[at] > caution * SIGMAS * noise_v(samples, int(at) - 2, KEPT - 3)
    return seen


def empty_ratio(situation: Situation) -> float:
    """r of the cell at the end of the step, where it is steepest; 1 where its area is not known. In a discharge that is
    an anode of plated lithium that runs out."""
    if situation.area_m2 is None:
        return 1.0
    least = CELL_LEAST_F_PER_M2 if (situation.set_a or 0.0) > 0.0 else 1.0 / STEEPEST_V_M2_PER_C
    return situation.stray_f / (situation.stray_f + least * situation.area_m2)


def vanished(samples: Samples, situation: Situation) -> Array:
    """At which samples the current of a set voltage has been gone for two samples, shape (n,)."""
    size = np.abs(samples.current_a)
    seen = np.zeros(len(samples), bool)
    if len(samples) < REFERENCE + 2:
        return seen
    windows = np.lib.stride_tricks.sliding_window_view(samples.current_a, REFERENCE)[: len(samples) - REFERENCE - 1]
    before = np.abs(windows.mean(axis=1))
    noise = windows.std(axis=1)
    now = np.maximum(size[REFERENCE + 1 :], size[REFERENCE:-1])
    seen[REFERENCE + 1 :] = (now < 0.1 * before) & (before > SIGMAS * noise)
    seen &= samples.time_s >= situation.quiet_s
    return seen


def reference_a(samples: Samples, at: int) -> float:
    """Mean current over the reference window before sample `at`."""
    return float(np.mean(samples.current_a[max(0, at - REFERENCE) : at]))


def noise_a(samples: Samples, at: int) -> float:
    """Standard deviation of the current in it."""
    return float(np.std(samples.current_a[max(0, at - REFERENCE) : at]))
