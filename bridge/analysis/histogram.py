"""How values are distributed: counts in bins of equal width, beside what a normal distribution would have."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .statistics import Floats

#: As few and as many bins as a picture has.
_FEWEST, _MOST = 8, 30
#: Values in a bin, on average, where there are few.
_A_BIN = 8


@dataclass(frozen=True, slots=True)
class Histogram:
    """`edges` has one more than `counts`; `within_std` is the share of the values within a standard deviation of their
    mean (0.683 of a normal distribution), NaN of fewer than three."""

    edges: Floats
    counts: npt.NDArray[np.int64]
    within_std: float


def histogram(values: Floats) -> Histogram:
    """Of values of shape (n,), those that are no number left out; empty without any."""
    values = values[np.isfinite(values)]
    if not len(values):
        return Histogram(np.empty(0), np.empty(0, np.int64), math.nan)
    counts, edges = np.histogram(values, bins=min(_MOST, max(_FEWEST, len(values) // _A_BIN)))
    share = math.nan
    if len(values) >= 3:
        share = float(np.mean(np.abs(values - values.mean()) <= values.std(ddof=1)))
    return Histogram(edges, counts.astype(np.int64), share)
