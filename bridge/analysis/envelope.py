"""The least and the greatest of every so many samples: a curve of millions of points drawn in a few thousand, with its
peaks. A pure function of blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from drivers.samples import SampleBlock

from .statistics import Floats

Integers = npt.NDArray[np.int64]

_TIME, _FLAGS, _CURRENT = "time_s", "flags", "current_a"


@dataclass(frozen=True, slots=True)
class Curve:
    """Shape (n,) each, a bucket an element: index of the first sample in it, how many there are, seconds of the first
    since `start_time_ns`, flags of all of them together. NaN where no sample has a number.

    `charge_c` is empty unless it was asked for.
    """

    start_time_ns: int
    index: Integers
    count: Integers
    time_s: Floats
    flags: npt.NDArray[np.uint32]
    units: Mapping[str, str]
    low: Mapping[str, Floats]
    high: Mapping[str, Floats]
    charge_c: Floats
    missing: list[tuple[int, int]] = field(default_factory=list)


class Envelope:
    """Samples `first_index` to `next_index` (exclusive) in at most `points` buckets of equally many indices.

    `columns` are those wanted, None for all that have numbers. With `charge_from` the charge is counted from that index
    on, which is `first_index` or before it: by the trapezoid over the device's time, up to the last sample of each
    bucket, not across missing samples nor from one technique to the next; samples without a current are left out.
    """

    def __init__(
        self,
        first_index: int,
        next_index: int,
        points: int,
        columns: frozenset[str] | None = None,
        charge_from: int | None = None,
    ) -> None:
        self.first_index = first_index
        self._first, self._next = first_index, next_index
        self.width = -(-(next_index - first_index) // points)
        length = -(-(next_index - first_index) // self.width)
        self._columns = columns
        self._start_ns: int | None = None
        self._index = np.zeros(length, np.int64)
        self._count = np.zeros(length, np.int64)
        self._time = np.full(length, np.nan)
        self._flags = np.zeros(length, np.uint32)
        self._units: dict[str, str] = {}
        self._low: dict[str, Floats] = {}
        self._high: dict[str, Floats] = {}
        self._charge = None if charge_from is None else _Charge(charge_from)
        self._charges = np.full(length, np.nan)
        self._expected = first_index
        self._missing: list[tuple[int, int]] = []

    @property
    def begin(self) -> int:
        """The first index that is needed."""
        return self._first if self._charge is None else min(self._first, self._charge.begin)

    def add(self, block: SampleBlock) -> None:
        """Blocks in the order of their indices; what came before is passed over."""
        charges = None if self._charge is None else self._charge.add(block)
        first, after = max(block.first_index, self._expected), min(block.next_index, self._next)
        if first >= after:
            return
        if first > self._expected:
            self._missing.append((self._expected, first))
        self._expected = after
        rows = slice(first - block.first_index, after - block.first_index)
        begin, end = (first - self._first) // self.width, (after - 1 - self._first) // self.width + 1
        buckets = slice(begin, end)
        edges = self._first + np.arange(begin + 1, end) * self.width - first
        starts = np.concatenate(([0], edges)).astype(np.intp)
        self._count_rows(block, first, after, buckets, starts, rows)
        for column in block.columns:
            if column.name == _FLAGS:
                self._flags[buckets] |= np.bitwise_or.reduceat(block[_FLAGS][rows].astype(np.uint32), starts)
            elif column.name != _TIME and (self._columns is None or column.name in self._columns):
                self._bound(column.name, column.unit, block[column.name][rows].astype(np.float64), buckets, starts)
        if charges is not None:
            lasts = np.append(starts[1:], after - first) - 1
            self._charges[buckets] = charges[lasts + (rows.start - len(block))]

    def curve(self) -> Curve:
        """What came; buckets without a sample are left out."""
        missing = [*self._missing, *([(self._expected, self._next)] if self._expected < self._next else [])]
        there = self._count > 0
        return Curve(
            start_time_ns=self._start_ns or 0,
            index=self._index[there],
            count=self._count[there],
            time_s=self._time[there],
            flags=self._flags[there],
            units=self._units,
            low={name: low[there] for name, low in self._low.items()},
            high={name: high[there] for name, high in self._high.items()},
            charge_c=self._charges[there] if self._charge is not None else np.empty(0),
            missing=missing,
        )

    def _count_rows(
        self, block: SampleBlock, first: int, after: int, buckets: slice, starts: npt.NDArray[np.intp], rows: slice
    ) -> None:
        fresh = self._count[buckets] == 0
        self._index[buckets] = np.where(fresh, first + starts, self._index[buckets])
        self._count[buckets] += np.diff(np.append(starts, after - first))
        if self._start_ns is None:
            self._start_ns = block.start_time_ns
        if _TIME in block.data:
            time_s = block[_TIME][rows][starts] + (block.start_time_ns - self._start_ns) / 1e9
            self._time[buckets] = np.where(fresh, time_s, self._time[buckets])

    def _bound(self, name: str, unit: str, values: Floats, buckets: slice, starts: npt.NDArray[np.intp]) -> None:
        if name not in self._low:
            self._units[name] = unit
            self._low[name] = np.full(len(self._count), np.nan)
            self._high[name] = np.full(len(self._count), np.nan)
        low, high = self._low[name], self._high[name]
        low[buckets] = np.fmin(low[buckets], np.fmin.reduceat(values, starts))
        high[buckets] = np.fmax(high[buckets], np.fmax.reduceat(values, starts))


class _Charge:
    """Counts on from block to block."""

    def __init__(self, begin: int) -> None:
        self.begin = begin
        self._total = 0.0
        self._next = begin
        self._start_ns: int | None = None
        self._last: tuple[float, float] | None = None

    def add(self, block: SampleBlock) -> Floats | None:
        """The charge up to each sample of the block, for its last samples: those that came before are left out. None
        if nothing is new."""
        first = max(block.first_index, self._next)
        if first >= block.next_index:
            return None
        if first != self._next or block.start_time_ns != self._start_ns:
            self._last = None
        self._next, self._start_ns = block.next_index, block.start_time_ns
        count = block.next_index - first
        if _CURRENT not in block.data or _TIME not in block.data:
            self._last = None
            return np.full(count, self._total)
        time_s, current = block[_TIME][-count:], block[_CURRENT][-count:]
        good = np.isfinite(current) & np.isfinite(time_s)
        times, currents = time_s[good], current[good]
        if self._last is not None:
            times = np.concatenate(([self._last[0]], times))
            currents = np.concatenate(([self._last[1]], currents))
        if not len(times):
            return np.full(count, self._total)
        areas = np.diff(times) * (currents[:-1] + currents[1:]) / 2
        # a sample's charge ends with the trapezoid up to it; the first of all has none before it
        steps = np.zeros(count)
        places = np.flatnonzero(good)
        steps[places[len(places) - len(areas) :]] = areas
        charges: Floats = self._total + np.cumsum(steps)
        self._total = float(charges[-1])
        self._last = float(times[-1]), float(currents[-1])
        return charges
