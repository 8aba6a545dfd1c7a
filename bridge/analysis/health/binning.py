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

    A bin's time is the mean of its samples', so that slopes are right for the last, short one too; its flags are those
    of any sample; values that are no numbers are left out of its mean.
    """

    def __init__(self, stride: int) -> None:
        self._stride = stride
        self._next = 0
        # joined only when a bin is full: at a high rate a bin is many blocks
        self._pieces: list[tuple[Array, ...]] = []
        self._waiting = 0

    def add(self, time_s: Array, voltage_v: Array, current_a: Array, flags: Array) -> Samples:
        """The bins that have become full; arrays of shape (n,) each."""
        if self._stride == 1:
            index, self._next = self._next, self._next + len(time_s)
            return Samples(time_s, voltage_v, current_a, flags, index, 1)
        self._pieces.append((time_s, voltage_v, current_a, flags))
        self._waiting += len(time_s)
        full = self._waiting // self._stride * self._stride
        if not full:
            return self._bins([np.empty((0, self._stride))] * 3 + [np.empty((0, self._stride), np.uint32)])
        columns = self._joined()
        self._pieces = [tuple(column[full:] for column in columns)]
        self._waiting -= full
        return self._bins([column[:full].reshape(-1, self._stride) for column in columns])

    def rest(self) -> Samples:
        """The bin that is not full, at the end of a technique; empty if there is none."""
        rows = [column[None, :] for column in self._joined()] if self._waiting else []
        self._pieces, self._waiting = [], 0
        if not rows:
            return self._bins([np.empty((0, self._stride))] * 3 + [np.empty((0, self._stride), np.uint32)])
        return self._bins(rows)

    def _joined(self) -> list[Array]:
        if len(self._pieces) == 1:
            return list(self._pieces[0])
        return [np.concatenate(column) for column in zip(*self._pieces, strict=True)]

    def _bins(self, rows: list[Array]) -> Samples:
        """One bin of each row; arrays of shape (bins, samples)."""
        time, voltage, current, flag = rows
        index, self._next = self._next, self._next + time.size
        flags = np.bitwise_or.reduce(flag, axis=1)
        return Samples(_mean(time), _mean(voltage), _mean(current), flags, index, self._stride)


def _mean(rows: Array) -> Array:
    """Mean of each row, shape (n,); NaN only where there is no number in it."""
    if not len(rows):
        return np.empty(0)
    mean: Array = rows.mean(axis=1)
    for row in np.flatnonzero(np.isnan(mean)):
        known = rows[row][np.isfinite(rows[row])]
        if len(known):
            mean[row] = known.mean()
    return mean
