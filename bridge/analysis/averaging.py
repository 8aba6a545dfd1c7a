"""From raw samples to averages of equal length, by the device's own timestamps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from drivers.samples import Flag

from .statistics import Floats

#: Two samples further apart than this many median intervals have a gap between them: one lost sample makes 2.0.
GAP_FACTOR = 1.8

#: The last average of a record counts only if it holds this share of its samples.
_FULL = 0.9


@dataclass(frozen=True, slots=True)
class Gap:
    """Nothing was recorded between the two device times."""

    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True)
class Averages:
    """Averages of shape (n,); `time_s` is the middle of each. `samples` is how many raw samples one holds as a rule."""

    time_s: Floats
    current_a: Floats
    samples: int


def find_gaps(time_s: Floats, factor: float = GAP_FACTOR, interval_s: float | None = None) -> tuple[Gap, ...]:
    """Where the device's timestamps leave out more than `factor` intervals (the median one unless given) or go back."""
    steps = np.diff(time_s)
    if not len(steps):
        return ()
    period = float(np.median(steps)) if interval_s is None else interval_s
    wrong = np.flatnonzero((steps > factor * period) | (steps <= 0))
    return tuple(Gap(float(time_s[i]), float(time_s[i + 1])) for i in wrong.tolist())


def settled_from(time_s: Floats, flags: npt.NDArray[np.uint32], settle_s: float) -> float:
    """The device time from which samples count: `settle_s` after the start, or after the run of samples at the start
    that the device itself flags as settling, whichever is later."""
    settling = (flags & Flag.SETTLING) != 0
    first_good = int(np.argmin(settling)) if not settling.all() else len(settling)
    if first_good == len(settling):
        return math.inf
    return max(settle_s, float(time_s[first_good]) if first_good else settle_s)


def averages(time_s: Floats, current_a: Floats, start_s: float, averaging_s: float) -> Averages:
    """Averages over consecutive intervals of `averaging_s` from `start_s` on; NaNs are left out of an average.

    Where one sample is as long as one average, each sample is one, whatever its timestamp's jitter.
    """
    chosen = time_s >= start_s - 1e-9
    time, current = time_s[chosen], current_a[chosen]
    if len(time) < 2:
        return Averages(np.empty(0), np.empty(0), 0)
    expected = round(averaging_s / float(np.median(np.diff(time))))
    finite = np.isfinite(current)
    if expected <= 1:
        return Averages(time[finite], current[finite], 1)
    # a sample at the very edge belongs to the interval that starts there, whatever the last bit of its time says
    bins = np.floor((time - time[0]) / averaging_s + 1e-6).astype(np.int64)
    count = np.bincount(bins[finite], minlength=int(bins[-1]) + 1)
    total = np.bincount(bins[finite], weights=current[finite], minlength=len(count))
    keep = count > 0
    keep[-1] = count[-1] >= _FULL * expected
    middle = time[0] + (np.arange(len(count)) + 0.5) * averaging_s
    return Averages(middle[keep], total[keep] / count[keep], expected)
