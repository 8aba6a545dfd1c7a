"""How long a spectrum takes, and which frequencies it has."""

from __future__ import annotations

import numpy as np

from .kramers_kronig import Floats


def frequencies(maximum_hz: float, minimum_hz: float, per_decade: float) -> Floats:
    """From the highest down, spaced logarithmically, both ends included. Shape (n,)."""
    decades = np.log10(maximum_hz / minimum_hz)
    count = max(1, round(decades * per_decade)) + 1 if decades > 0 else 1
    return np.asarray(np.geomspace(maximum_hz, minimum_hz, count), dtype=np.float64)


def sweep_time_s(frequency_hz: Floats, periods: float, overhead_s: float) -> float:
    """Sum over the points of periods/f + overhead (domain note, section 6: the lowest decade is 90 % of it)."""
    return float(np.sum(periods / frequency_hz + overhead_s))
