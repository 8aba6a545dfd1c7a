"""Sets of sample indices, as ranges."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

#: From an index up to another one (exclusive).
Range = tuple[int, int]


class Ranges:
    """Disjoint, in order, none empty, none touching the next."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._begins: list[int] = []
        self._ends: list[int] = []
        for begin, end in ranges:
            self.add(begin, end)

    def __iter__(self) -> Iterator[Range]:
        return iter(zip(self._begins, self._ends, strict=True))

    def __len__(self) -> int:
        """How many ranges."""
        return len(self._begins)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and list(self) == list(other)

    def __repr__(self) -> str:
        return f"Ranges({list(self)})"

    def add(self, begin: int, end: int) -> None:
        if begin >= end:
            return
        first = bisect_left(self._ends, begin)  # the first that reaches `begin`
        after = bisect_right(self._begins, end)  # behind the last that begins by `end`
        if first < after:
            begin, end = min(begin, self._begins[first]), max(end, self._ends[after - 1])
        self._begins[first:after] = [begin]
        self._ends[first:after] = [end]

    def remove_before(self, index: int) -> None:
        keep = bisect_right(self._ends, index)
        del self._begins[:keep], self._ends[:keep]
        if self._begins:
            self._begins[0] = max(self._begins[0], index)

    def end_of(self, index: int) -> int:
        """Behind the last of the indices that follow `index` without a gap; `index` itself if it is not in here."""
        place = bisect_right(self._begins, index) - 1
        return max(index, self._ends[place]) if place >= 0 else index

    def missing(self, begin: int, end: int) -> Iterator[Range]:
        """What of a range is not in here."""
        for first, after in self:
            if after <= begin:
                continue
            if first >= end:
                break
            if begin < first:
                yield begin, first
            begin = max(begin, after)
        if begin < end:
            yield begin, end

    def count_in(self, begin: int, end: int) -> int:
        """How many indices of a range are in here."""
        return max(0, end - begin) - sum(after - first for first, after in self.missing(begin, end))
