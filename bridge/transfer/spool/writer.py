"""Appending to the newest segment: groups of records, durable together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from .faults import is_full
from .files import Files, close_quietly, write_all
from .format import SEGMENT_HEADER_SIZE, Record, encode_record, encode_segment_header
from .recovery import close_segment
from .segment import Index, Segment, segment_name


class SegmentWriter:
    """One open segment at most; the next is made when something is to be written.

    `opened(segment)` tells of a new segment, `closed(segment, error)` that one gets nothing more, with the error if it
    has no footer, which then costs the next start some reading and nothing else. `number` is that of the next segment.
    """

    def __init__(
        self,
        folder: Path,
        files: Files,
        segment_bytes: int,
        number: int,
        opened: Callable[[Segment], None],
        closed: Callable[[Segment, OSError | None], None],
    ) -> None:
        self.segment: Segment | None = None
        self._folder = folder
        self._files = files
        self.segment_bytes = segment_bytes
        self._number = number
        self._opened = opened
        self._closed = closed
        self._fd = -1

    def commit(self, records: Sequence[Record], wall_ns: int) -> list[int]:
        """Make the first of the records durable, as many as fit; returns their positions in `segment`.

        Raises `OSError` if none is: none of them is then in a segment that is written to again.
        """
        if self.segment is not None and self._does_not_fit(records[0]):
            self.close()
        segment = self.segment or self._create(wall_ns)
        start = end = segment.end
        chunks: list[bytes] = []
        positions: list[int] = []
        for record in records:
            if positions and end + len(record) > self.segment_bytes:
                break
            chunks.append(encode_record(record, start))
            positions.append(end)
            end += len(chunks[-1])
        try:
            write_all(self._files, self._fd, b"".join(chunks), start)
        except OSError as error:
            if not (is_full(error) and self._cut(start)):
                self._abandon(error)
            raise
        try:
            self._files.fdatasync(self._fd)
        except OSError as error:
            # the kernel may have dropped the pages and forgotten the error: what this descriptor says next is worthless
            self._abandon(error)
            raise
        return positions

    def close(self) -> None:
        """Close the open segment, with a footer if the disk takes it."""
        segment, fd = self.segment, self._fd
        if segment is None:
            return
        self.segment = None
        failed = None
        try:
            close_segment(self._files, fd, segment)
            self._files.sync_folder(self._folder)
        except OSError as error:
            failed = error
        close_quietly(self._files, fd)
        segment.closed = True
        self._closed(segment, failed)

    def _does_not_fit(self, record: Record) -> bool:
        return (
            self.segment is not None
            and self.segment.records > 0
            and self.segment.end + len(record) > self.segment_bytes
        )  # fmt: skip

    def _create(self, wall_ns: int) -> Segment:
        number = self._number
        self._number += 1
        path = self._folder / segment_name(number)
        fd = self._files.create(path)
        try:
            size = self._allocate(fd)
            write_all(self._files, fd, encode_segment_header(number, wall_ns), 0)
            self._files.fsync(fd)
            self._files.sync_folder(self._folder)
        except OSError:
            close_quietly(self._files, fd)
            with contextlib.suppress(OSError):
                self._files.unlink(path)
            raise
        self._fd = fd
        self.segment = Segment(number, size=size, index=Index())
        self._opened(self.segment)
        return self.segment

    def _allocate(self, fd: int) -> int:
        """Room ahead, so that a full disk is met here and a sync has no new length to write. Not vital."""
        try:
            self._files.allocate(fd, self.segment_bytes)
        except OSError:
            self._files.truncate(fd, 0)
            return SEGMENT_HEADER_SIZE
        return self.segment_bytes

    def _cut(self, end: int) -> bool:
        try:
            self._files.truncate(self._fd, end)
        except OSError:
            return False
        if self.segment is not None:
            self.segment.size = end
        return True

    def _abandon(self, error: OSError) -> None:
        """Leave the segment with what was durable before."""
        segment, fd = self.segment, self._fd
        if segment is None:
            return
        self._cut(segment.end)
        self.segment = None
        close_quietly(self._files, fd)
        segment.closed = True
        if not segment.records:
            with contextlib.suppress(OSError):
                self._files.unlink(self._folder / segment.name)
        self._closed(segment, error)
