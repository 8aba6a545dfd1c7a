"""What is known of one segment without reading its records: ranges of each stream, and where to begin to read."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import cbor2

from .coverage import Coverage
from .format import SEGMENT_HEADER_SIZE, Kind, Record

#: An index has one entry for about so many bytes of a stream.
INDEX_STEP = 64 * 1024
_NAME = re.compile(r"(\d{12})\.seg")
_FOOTER_VERSION = 1


def segment_name(number: int) -> str:
    return f"{number:012}.seg"


def segment_number(name: str) -> int | None:
    """None if it is not the name of a segment."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


class Missing(NamedTuple):
    """Samples that do not exist, or no longer: indices from `first_index` to `next_index` (exclusive).

    `reason` is what the gap record says, and empty where records were damaged or never came.
    """

    first_index: int
    next_index: int
    reason: str = ""


@dataclass(slots=True)
class Part:
    """One stream in one segment. `last_position` is where its last record begins."""

    first_index: int
    next_index: int
    present: Coverage = field(default_factory=Coverage)
    gaps: list[Missing] = field(default_factory=list)
    last_position: int = 0

    def grow(self, record: Record, position: int) -> None:
        # comparisons instead of min and max: a start after a crash does this for every record of a segment
        if record.first_index < self.first_index:
            self.first_index = record.first_index
        if record.next_index > self.next_index:
            self.next_index = record.next_index
        if position > self.last_position:
            self.last_position = position
        if record.kind == Kind.GAP:
            reason = record.payload.decode(errors="replace")
            self.gaps.append(Missing(record.first_index, record.next_index, reason))
        elif record.kind == Kind.BLOCK:
            self.present.add(record.first_index, record.next_index)


class Index:
    """Where records of each stream are: sparse, so that it is small beside the segment."""

    def __init__(self) -> None:
        self._firsts: dict[str, array[int]] = {}
        self._positions: dict[str, array[int]] = {}
        self._unlisted: dict[str, int] = {}

    def note(self, record: Record, position: int) -> None:
        stream = record.stream
        unlisted = self._unlisted.get(stream)
        if unlisted is None or unlisted >= INDEX_STEP:
            firsts = self._firsts.setdefault(stream, array("Q"))
            if not firsts or record.first_index > firsts[-1]:
                firsts.append(record.first_index)
                self._positions.setdefault(stream, array("Q")).append(position)
                unlisted = 0
        self._unlisted[stream] = (unlisted or 0) + len(record)

    def begin(self, stream: str, index: int) -> int:
        """Where to begin to read for the record that holds an index of the stream.

        It is the last entry before the index itself, since records without samples may lie at it.
        """
        firsts = self._firsts.get(stream)
        if not firsts:
            return SEGMENT_HEADER_SIZE
        return self._positions[stream][max(0, bisect_left(firsts, index) - 1)]

    def describe(self, stream: str) -> list[int]:
        """First indices and positions in turn, for a footer."""
        pairs = zip(self._firsts.get(stream, ()), self._positions.get(stream, ()), strict=True)
        return [number for pair in pairs for number in pair]

    def restore(self, stream: str, entries: list[int]) -> None:
        """Raises `TypeError`, `OverflowError` or `ValueError` for anything that `describe` does not give."""
        firsts, positions = array("Q", entries[::2]), array("Q", entries[1::2])
        if len(firsts) != len(positions) or not firsts:
            raise ValueError("an index of pairs")
        self._firsts[stream], self._positions[stream] = firsts, positions


@dataclass(slots=True)
class Segment:
    """A segment file. `end` is where its durable records end; `size` is what it takes on disk.

    A `closed` one gets nothing more; one that was `checked` was read whole because it is damaged.
    """

    number: int
    end: int = SEGMENT_HEADER_SIZE
    size: int = 0
    records: int = 0
    last_wall_ns: int = 0
    closed: bool = False
    damaged: bool = False
    checked: bool = False
    parts: dict[str, Part] = field(default_factory=dict)
    #: None once it is in the footer, from which it is read when wanted
    index: Index | None = None

    @property
    def name(self) -> str:
        return segment_name(self.number)

    def clear(self) -> None:
        """Forget all records."""
        self.end, self.records, self.last_wall_ns = SEGMENT_HEADER_SIZE, 0, 0
        self.parts.clear()
        self.index = Index()

    def note(self, record: Record, position: int) -> None:
        """A record that is durable at this position."""
        self.records += 1
        self.last_wall_ns = max(self.last_wall_ns, record.wall_ns)
        self.end = max(self.end, position + len(record))
        part = self.parts.get(record.stream)
        if part is None:
            part = self.parts[record.stream] = Part(record.first_index, record.next_index)
        part.grow(record, position)
        if self.index is not None:
            self.index.note(record, position)


def encode_summary(segment: Segment) -> bytes:
    """The payload of a segment's footer."""
    index = segment.index or Index()
    streams = {
        stream: {
            "first": part.first_index,
            "next": part.next_index,
            "present": [list(each) for each in part.present],
            "gaps": [[gap.first_index, gap.next_index, gap.reason] for gap in part.gaps],
            "last": part.last_position,
            "index": index.describe(stream),
        }
        for stream, part in segment.parts.items()
    }
    return cbor2.dumps(
        {
            "v": _FOOTER_VERSION,
            "number": segment.number,
            "records": segment.records,
            "last_wall_ns": segment.last_wall_ns,
            "damaged": segment.damaged,
            "streams": streams,
        }
    )


def decode_summary(payload: bytes, number: int, end: int) -> Segment | None:
    """The segment that a footer describes, with its index; None for anything that `encode_summary` does not give."""
    try:
        fields = cbor2.loads(payload)
        if fields["v"] != _FOOTER_VERSION or fields["number"] != number:
            return None
        segment = Segment(number, end, closed=True, damaged=bool(fields["damaged"]), index=Index())
        segment.records, segment.last_wall_ns = int(fields["records"]), int(fields["last_wall_ns"])
        for stream, part in _parts(fields["streams"], segment):
            segment.parts[stream] = part
    except (cbor2.CBORDecodeError, LookupError, TypeError, ValueError, OverflowError, AttributeError):
        return None
    return segment


def _parts(streams: Mapping[str, Any], segment: Segment) -> Iterator[tuple[str, Part]]:
    for stream, fields in streams.items():
        present = Coverage((int(first), int(after)) for first, after in fields["present"])
        gaps = [Missing(int(first), int(after), str(reason)) for first, after, reason in fields["gaps"]]
        if segment.index is not None:
            segment.index.restore(str(stream), fields["index"])
        yield str(stream), Part(int(fields["first"]), int(fields["next"]), present, gaps, int(fields["last"]))
