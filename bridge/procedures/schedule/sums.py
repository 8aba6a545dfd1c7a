"""Running integrals of one technique, with their value at every sample."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bridge.analysis.capacity import GAP_FACTOR, Charge, ChargeCounter

Floats = npt.NDArray[np.float64]


class Running:
    """The trapezoid of `values` over device time (current: charge; power: energy), block by block.

    Exact totals are `ChargeCounter`'s; `add` also gives the net integral since the start at each sample, for limits.
    """

    def __init__(self, period_s: float) -> None:
        self._counter = ChargeCounter(period_s, start_s=0.0)
        self._longest = GAP_FACTOR * period_s
        self._last: tuple[float, float] | None = None

    def add(self, time_s: Floats, values: Floats) -> Floats:
        """Net integral at each sample, shape (n,); a sample without a number holds the one before."""
        net = self._counter.charge.net_c
        self._counter.add(time_s, values)
        known = np.isfinite(values)
        total = np.full(len(time_s), net)
        if not known.any():
            return total
        time, value = time_s[known], values[known]
        last_s, last = self._last or (0.0, float(value[0]))
        steps = np.diff(time, prepend=last_s)
        areas = steps * (value + np.concatenate(([last], value[:-1]))) / 2
        increments = np.zeros(len(time_s))
        increments[known] = np.where(steps > self._longest, 0.0, areas)
        self._last = float(time[-1]), float(value[-1])
        return total + np.cumsum(increments)

    @property
    def total(self) -> Charge:
        return self._counter.charge
