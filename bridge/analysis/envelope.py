"""The least and the greatest of every so many samples: a curve of millions of points drawn in a few thousand, with its
peaks. A pure function of blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from drivers.samples import Column, SampleBlock

from .chunks import FLAGS, LARGE, SMALL, Chunks
from .running_charge import TIME, RunningCharge
from .statistics import Floats

#: So many samples are looked at one by one; curves of more are made of chunks.
ONE_BY_ONE = 1 << 16

Integers = npt.NDArray[np.int64]


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
    """Samples `first_index` to `next_index` (exclusive) in at most `points` buckets of equally many indices; `width` is
    how many. Of more than `one_by_one` samples, buckets are made of whole chunks, whose bounds may be known already.

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
        one_by_one: int = ONE_BY_ONE,
    ) -> None:
        self.first_index = first_index
        self._first, self._next = first_index, next_index
        self.width = -(-(next_index - first_index) // points)
        #: where the first bucket begins: before `first_index` where buckets are made of whole chunks
        self._origin = first_index
        #: samples of the chunks that buckets are made of; 0: of single samples
        self._chunk = 0
        if next_index - first_index > one_by_one:
            self._chunk = LARGE if self.width >= LARGE else SMALL
            self._origin = first_index // self._chunk * self._chunk
            self.width = -(-(next_index - self._origin) // (points * self._chunk)) * self._chunk
        length = -(-(next_index - self._origin) // self.width)
        self._columns = columns
        self._start_ns: int | None = None
        self._index = np.zeros(length, np.int64)
        self._count = np.zeros(length, np.int64)
        self._time = np.full(length, np.nan)
        self._flags = np.zeros(length, np.uint32)
        self._units: dict[str, str] = {}
        self._low: dict[str, Floats] = {}
        self._high: dict[str, Floats] = {}
        self._charge = None if charge_from is None else RunningCharge(charge_from)
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
        begin, end = (first - self._origin) // self.width, (after - 1 - self._origin) // self.width + 1
        buckets = slice(begin, end)
        edges = self._origin + np.arange(begin + 1, end) * self.width - first
        starts = np.concatenate(([0], edges)).astype(np.intp)
        self._count_rows(block, first, after, buckets, starts, rows)
        for column in block.columns:
            if column.name == FLAGS:
                self._flags[buckets] |= np.bitwise_or.reduceat(block[FLAGS][rows].astype(np.uint32), starts)
            elif column.name != TIME and (self._columns is None or column.name in self._columns):
                values = block[column.name][rows].astype(np.float64)
                self._bound(column.name, column.unit, values, values, buckets, starts)
        if charges is not None:
            lasts = np.append(starts[1:], after - first) - 1
            self._charges[buckets] = charges[lasts + (rows.start - len(block))]

    def takes(self, size: int) -> list[tuple[int, int]]:
        """In which ranges (the second index exclusive) a chunk of `size` samples can stand for them."""
        ranges = []
        if size == LARGE and self.begin < self._first:  # of which only the charge is wanted
            ranges.append((self.begin, self._first))
        if size == self._chunk:
            ranges.append((self._first, self._next))
        return ranges

    def add_chunks(self, columns: Sequence[Column], chunks: Chunks, size: int) -> None:
        """Consecutive chunks that it takes, and whose samples have not come; `columns` are those with bounds."""
        charges = None if self._charge is None else self._charge.add_chunks(chunks, size)
        inside = chunks["first"] >= self._first
        chunks = chunks[inside]
        if not len(chunks):
            return
        firsts = chunks["first"].astype(np.int64)
        if firsts[0] > self._expected:
            self._missing.append((self._expected, int(firsts[0])))
        self._expected = int(firsts[-1]) + size
        places = (firsts - self._origin) // self.width
        starts = np.concatenate(([0], np.flatnonzero(np.diff(places)) + 1)).astype(np.intp)
        buckets = slice(int(places[0]), int(places[-1]) + 1)
        if self._start_ns is None:
            self._start_ns = int(chunks["head_ns"][0])
        fresh = self._count[buckets] == 0
        seconds = chunks["time_s"] + (chunks["head_ns"] - self._start_ns) / 1e9
        self._index[buckets] = np.where(fresh, firsts[starts], self._index[buckets])
        self._time[buckets] = np.where(fresh, seconds[starts], self._time[buckets])
        self._count[buckets] += np.diff(np.append(starts, len(chunks))) * size
        self._flags[buckets] |= np.bitwise_or.reduceat(chunks["flags"], starts)
        for number, column in enumerate(columns):
            if self._columns is None or column.name in self._columns:
                self._bound(
                    column.name, column.unit, chunks["low"][:, number], chunks["high"][:, number], buckets, starts
                )
        if charges is not None:
            lasts = np.append(starts[1:], len(chunks)) - 1
            self._charges[buckets] = charges[inside][lasts]

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
        if TIME in block.data:
            time_s = block[TIME][rows][starts] + (block.start_time_ns - self._start_ns) / 1e9
            self._time[buckets] = np.where(fresh, time_s, self._time[buckets])

    def _bound(
        self, name: str, unit: str, least: Floats, most: Floats, buckets: slice, starts: npt.NDArray[np.intp]
    ) -> None:
        if name not in self._low:
            self._units[name] = unit
            self._low[name] = np.full(len(self._count), np.nan)
            self._high[name] = np.full(len(self._count), np.nan)
        low, high = self._low[name], self._high[name]
        low[buckets] = np.fmin(low[buckets], np.fmin.reduceat(least, starts))
        high[buckets] = np.fmax(high[buckets], np.fmax.reduceat(most, starts))
