"""Fast samples as means over bins: no fault of a cell shows in less than some milliseconds, and the mains does."""

from __future__ import annotations

import numpy as np

from .detector import Array, Samples, Situation

#: Whole periods of 50 and of 60 Hz.
BIN_S = 0.1
#: From this current on, contact loss takes less than that to matter: one period of 50 Hz.
FAST_BIN_S = 0.02
FAST_FROM_A = 50e-12


def stride_of(situation: Situation) -> int:
    """How many samples make a bin."""
    interval = situation.interval_s
    if not interval > 0.0:
        return 1
    fast = abs(situation.set_a or 0.0) >= FAST_FROM_A
    return max(1, round((FAST_BIN_S if fast else BIN_S) / interval))


class Binner:
    """Cuts a technique's samples into bins of `stride`, counted from its first sample, however the blocks are cut.

    A bin's time is that of its last sample; its flags are those of any sample; values that are no numbers are left
    out of its mean.
    """

    def __init__(self, stride: int) -> None:
        self._stride = stride
        self._next = 0
        self._left: list[Array] = []

    def add(self, time_s: Array, voltage_v: Array, current_a: Array, flags: Array) -> Samples:
        """The bins that have become full; arrays of shape (n,) each."""
        if self._stride == 1:
            index, self._next = self._next, self._next + len(time_s)
            return Samples(time_s, voltage_v, current_a, flags, index, 1)
        columns = [time_s, voltage_v, current_a, flags]
        if self._left:
            columns = [np.concatenate(pair) for pair in zip(self._left, columns, strict=True)]
        full = len(columns[0]) // self._stride * self._stride
        self._left = [column[full:] for column in columns]
        time, voltage, current, flag = (column[:full].reshape(-1, self._stride) for column in columns)
        index, self._next = self._next, self._next + full
        return Samples(
            time[:, -1], _mean(voltage), _mean(current), np.bitwise_or.reduce(flag, axis=1), index, self._stride
        )

    def rest(self) -> Samples:
        """The bin that is not full, at the end of a technique; empty if there is none."""
        if not self._left or not len(self._left[0]):
            none = np.empty(0)
            return Samples(none, none, none, np.empty(0, np.uint32), self._next, self._stride)
        time, voltage, current, flag = (column[None, :] for column in self._left)
        self._left = []
        return Samples(
            time[:, -1], _mean(voltage), _mean(current), np.bitwise_or.reduce(flag, axis=1), self._next, self._stride
        )


def _mean(rows: Array) -> Array:
    """Mean of each row, shape (n,); NaN only where there is no number in it."""
    mean: Array = rows.mean(axis=1)
    for row in np.flatnonzero(np.isnan(mean)):
        known = rows[row][np.isfinite(rows[row])]
        if len(known):
            mean[row] = known.mean()
    return mean
