"""Reading a range of a stream out of the segments."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

from .catalogue import Catalogue, Place
from .coverage import Range
from .files import Files, close_quietly
from .format import Kind, Record
from .recovery import read_summary, rescan
from .scan import Hole, Window, scan
from .segment import Index, Segment

#: First index, next index, payload.
Stored = tuple[int, int, bytes]

_INDICES_KEPT = 16
_WINDOW = 256 * 1024


class _Damaged(Exception):
    """The segment is not what its footer says."""


class Reader:
    """`read` may be called in any thread, in several at once. `damaged(segment, holes, lost)` is told of damage when it
    is first seen; `lost` are the ranges of samples by stream."""

    def __init__(
        self,
        folder: Path,
        files: Files,
        catalogue: Catalogue,
        damaged: Callable[[Segment, list[Hole], dict[str, list[Range]]], None],
    ) -> None:
        self._folder = folder
        self._files = files
        self._catalogue = catalogue
        self._damaged = damaged
        self._lock = threading.Lock()
        self._indices: OrderedDict[int, Index] = OrderedDict()

    def read(self, stream: str, first_index: int, limit_bytes: int) -> list[Stored]:
        """Blocks of a stream from an index on, in order; see `Spool.read`. Raises `OSError`."""
        while True:
            try:
                return self._read(stream, first_index, limit_bytes)
            except _Damaged:
                continue  # the catalogue now says what there really is

    def _read(self, stream: str, first_index: int, limit_bytes: int) -> list[Stored]:
        found: list[Stored] = []
        size, position = 0, first_index
        for place in self._catalogue.places(stream, first_index):
            if place.next_index < position:
                continue
            for record in self._records(place, stream, position):
                stored = (record.first_index, record.next_index, record.payload)
                if _is_old(stored, position, found):
                    continue
                # a block without samples alone would not bring the caller on
                if found and found[-1][0] < found[-1][1] and size + len(record.payload) > limit_bytes:
                    return found
                found.append(stored)
                size += len(record.payload)
                position = max(position, record.next_index)
        return found

    def _records(self, place: Place, stream: str, position: int) -> Iterator[Record]:
        segment = place.segment
        try:
            fd = self._files.open(self._folder / segment.name)
        except FileNotFoundError:
            return  # it has been released meanwhile
        try:
            begin = place.begin if place.begin >= 0 else self._index(fd, segment).begin(stream, position)
            for each in scan(Window(self._files, fd, place.end, _WINDOW), begin):
                if isinstance(each, Hole):
                    self._rescan(fd, segment)
                    continue
                record = each.record
                if record.stream == stream and record.kind == Kind.BLOCK and record.next_index >= position:
                    yield record
                if each.position >= place.last_position:
                    return
            self._rescan(fd, segment)  # the last record should have been met
        finally:
            close_quietly(self._files, fd)

    def _index(self, fd: int, segment: Segment) -> Index:
        with self._lock:
            if (index := self._indices.get(segment.number)) is not None:
                self._indices.move_to_end(segment.number)
                return index
        summary = read_summary(self._files, fd, segment.number)
        if summary is None or summary.index is None:
            self._rescan(fd, segment)
            return Index()  # of a segment that was looked at already: from its beginning
        with self._lock:
            self._indices[segment.number] = summary.index
            while len(self._indices) > _INDICES_KEPT:
                self._indices.popitem(last=False)
        return summary.index

    def _rescan(self, fd: int, segment: Segment) -> None:
        """Once for each segment that gets nothing more: find out what there really is, and begin to read anew."""
        if segment.checked or not segment.closed:
            return
        fresh, holes = rescan(self._files, fd, segment)
        lost = {
            stream: missing
            for stream, part in segment.parts.items()
            if (missing := [each for old in part.present for each in fresh.parts[stream].present.missing(*old)])
        }
        if self._catalogue.replace(segment, fresh) and (lost or not segment.damaged):
            self._damaged(segment, holes, lost)
        raise _Damaged


def _is_old(stored: Stored, position: int, found: list[Stored]) -> bool:
    """Whether what a record holds was read before: a commit that failed was written again."""
    first, after, _ = stored
    if first == after:
        return first < position or stored in found[-1:]
    return after <= position
