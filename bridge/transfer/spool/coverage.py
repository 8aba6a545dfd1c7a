"""Which indices of a stream there are: a few ranges, sorted, that neither touch nor overlap."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Range = tuple[int, int]


class Coverage:
    """Ranges of indices, `next` exclusive. Nearly always there is one, and it grows at its end."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._firsts: list[int] = []
        self._nexts: list[int] = []
        for first, after in ranges:
            self.add(first, after)

    def __iter__(self) -> Iterator[Range]:
        return zip(self._firsts, self._nexts, strict=True)

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def add(self, first: int, after: int) -> None:
        if after <= first:
            return
        if self._nexts and self._nexts[-1] == first:  # nearly always
            self._nexts[-1] = after
            return
        low = bisect_left(self._nexts, first)
        high = bisect_right(self._firsts, after)
        if low < high:
            first, after = min(first, self._firsts[low]), max(after, self._nexts[high - 1])
        self._firsts[low:high] = [first]
        self._nexts[low:high] = [after]

    def remove(self, first: int, after: int) -> None:
        kept = [piece for each in self for piece in ((each[0], min(each[1], first)), (max(each[0], after), each[1]))]
        kept = [(low, high) for low, high in kept if low < high]
        self._firsts, self._nexts = [low for low, _ in kept], [high for _, high in kept]

    def missing(self, first: int, after: int) -> list[Range]:
        """What of a range is not there."""
        found, position = [], first
        for low, high in self:
            if low >= after:
                break
            if low > position:
                found.append((position, low))
            position = max(position, high)
        if position < after:
            found.append((position, after))
        return found
