"""Which segments there are and which samples of which stream are in them. Safe for several threads."""

from __future__ import annotations

import threading
from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .coverage import Coverage
from .format import Kind, Record
from .segment import Missing, Segment


class StreamRange(NamedTuple):
    """What there is of a stream: indices from the oldest kept to `next_index` (exclusive, durable), without `missing`.

    `device` is the stream's name without its epoch.
    """

    first_index: int
    next_index: int
    missing: tuple[Missing, ...]
    device: str


class Place(NamedTuple):
    """Where to look for records of a stream: a segment, as it was when asked. `begin` is -1 if its footer knows."""

    segment: Segment
    begin: int
    end: int
    last_position: int
    next_index: int


@dataclass(slots=True)
class _Stream:
    next_index: int = 0
    numbers: list[int] = field(default_factory=list)
    present: Coverage = field(default_factory=Coverage)


class Catalogue:
    """All segments of a spool. Every method may be called in any thread."""

    def __init__(self, segments: Iterable[Segment] = ()) -> None:
        self._lock = threading.Lock()
        self._segments: dict[int, Segment] = {}
        self._streams: dict[str, _Stream] = {}
        for segment in segments:
            self.add(segment)

    @property
    def bytes(self) -> int:
        """What all segments take on disk, room that was made ahead included."""
        with self._lock:
            return sum(segment.size for segment in self._segments.values())

    @property
    def closed(self) -> list[Segment]:
        """Segments that get nothing more, oldest first."""
        with self._lock:
            return [segment for segment in self._segments.values() if segment.closed]

    def __len__(self) -> int:
        return len(self._segments)

    def add(self, segment: Segment) -> None:
        with self._lock:
            self._segments[segment.number] = segment
            for stream, part in segment.parts.items():
                state = self._state(stream, segment.number)
                state.next_index = max(state.next_index, part.next_index)
                for first, after in part.present:
                    state.present.add(first, after)

    def note(self, segment: Segment, records: Iterable[tuple[Record, int]]) -> dict[str, int]:
        """Records that have become durable, with their positions. Returns the streams' next indices."""
        reached: dict[str, int] = {}
        with self._lock:
            for record, position in records:
                segment.note(record, position)
                state = self._state(record.stream, segment.number)
                state.next_index = reached[record.stream] = max(state.next_index, record.next_index)
                if record.kind == Kind.BLOCK:
                    state.present.add(record.first_index, record.next_index)
            segment.size = max(segment.size, segment.end)
        return reached

    def remove(self, segment: Segment) -> None:
        """The segment is gone, or is to be no longer looked at."""
        with self._lock:
            if self._segments.pop(segment.number, None) is None:
                return
            for stream, part in segment.parts.items():
                state = self._streams[stream]
                state.numbers.remove(segment.number)
                if not state.numbers:
                    del self._streams[stream]
                    continue
                state.present.remove(part.first_index, part.next_index)
                self._restore(stream, part.first_index, part.next_index)

    def replace(self, old: Segment, new: Segment) -> bool:
        """The same segment, after it was found to be damaged. False if it is no longer there."""
        with self._lock:
            if self._segments.get(old.number) is not old:
                return False
            self._segments[old.number] = new  # in its place: the order stays
            for stream, part in old.parts.items():
                present = self._streams[stream].present
                for first, after in part.present:
                    present.remove(first, after)
                self._restore(stream, part.first_index, part.next_index)
            return True

    def ranges(self) -> Mapping[str, StreamRange]:
        with self._lock:
            return {stream: self._range(stream, state) for stream, state in self._streams.items()}

    def next_index(self, stream: str) -> int:
        """0 for a stream that is not known."""
        with self._lock:
            state = self._streams.get(stream)
            return 0 if state is None else state.next_index

    def places(self, stream: str, index: int) -> list[Place]:
        """The segments that may hold samples of a stream from an index on, in order."""
        with self._lock:
            state = self._streams.get(stream)
            if state is None:
                return []
            found = []
            for number in state.numbers:
                segment = self._segments[number]
                part = segment.parts[stream]
                if part.next_index >= index:
                    begin = -1 if segment.index is None else segment.index.begin(stream, index)
                    found.append(Place(segment, begin, segment.end, part.last_position, part.next_index))
            return found

    def _restore(self, stream: str, first_index: int, next_index: int) -> None:
        """Of a range that was taken out, what segments still have: a commit that failed was written again."""
        state = self._streams[stream]
        for number in state.numbers:
            part = self._segments[number].parts[stream]
            if part.first_index < next_index and first_index < part.next_index:
                for first, after in part.present:
                    state.present.add(first, after)

    def _state(self, stream: str, number: int) -> _Stream:
        state = self._streams.get(stream)
        if state is None:
            state = self._streams[stream] = _Stream()
        if not state.numbers or state.numbers[-1] < number:
            state.numbers.append(number)
        elif state.numbers[-1] > number and number not in state.numbers:
            insort(state.numbers, number)
        return state

    def _range(self, stream: str, state: _Stream) -> StreamRange:
        parts = [self._segments[number].parts[stream] for number in state.numbers]
        first = min(part.first_index for part in parts)
        missing = []
        for low, high in state.present.missing(first, state.next_index):
            reasons = [gap for part in parts for gap in part.gaps if gap.first_index < high and low < gap.next_index]
            missing += _explained(low, high, reasons)
        return StreamRange(first, state.next_index, tuple(missing), stream.rpartition("-")[0] or stream)


def _explained(low: int, high: int, gaps: Iterable[Missing]) -> list[Missing]:
    """A missing range, cut where gap records say why."""
    found, position = [], low
    for gap in sorted(gaps, key=lambda each: each.first_index):
        first, after = max(gap.first_index, position), min(gap.next_index, high)
        if first >= after:
            continue
        if first > position:
            found.append(Missing(position, first))
        found.append(Missing(first, after, gap.reason))
        position = after
    if position < high:
        found.append(Missing(position, high))
    return found
