"""Reading a segment whatever is in it: records as far as they are right, and where they are not.

Nothing here allocates more than a window or what the file holds, whatever lengths the file claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .files import Files
from .format import RECORD_HEADER_SIZE, RECORD_MAGIC, SEGMENT_HEADER_SIZE, Head, Record, decode_body, decode_head

_WINDOW = 1 << 20


class Found(NamedTuple):
    """A record of a file."""

    position: int
    head: Head
    record: Record


class Hole(NamedTuple):
    """Bytes that are no record, between two positions of the file."""

    position: int
    end: int


class Window:
    """A file read in large pieces, one of which is kept. `end` bounds it."""

    def __init__(self, files: Files, fd: int, end: int, window: int = _WINDOW) -> None:
        self.end = end
        self._files = files
        self._fd = fd
        self._size = window
        self._start = 0
        self._data = b""

    def get(self, position: int, size: int) -> bytes:
        """Fewer bytes if there are no more. Raises `OSError`."""
        size = min(size, self.end - position)
        if size <= 0:
            return b""
        offset = position - self._start
        if offset < 0 or offset + size > len(self._data):
            self._start, offset = position, 0
            self._data = self._files.read(self._fd, min(max(size, self._size), self.end - position), position)
        return self._data[offset : offset + size]

    def find(self, pattern: bytes, position: int) -> int:
        """Where the pattern is next, or -1."""
        while position < self.end:
            data = self.get(position, min(self._size, self.end - position))
            if (at := data.find(pattern)) >= 0:
                return position + at
            if len(data) < len(pattern):
                return -1
            position += len(data) - len(pattern) + 1
        return -1


def scan(window: Window, position: int = SEGMENT_HEADER_SIZE) -> Iterator[Found | Hole]:
    """Everything from a position on. A hole that nothing follows is the tail: zeros, a torn record, or nothing at all.

    Every record is checked, whoever wants it: a flipped bit in a stream's name would hide one. Raises `OSError`.
    """
    while position < window.end:
        found = _read(window, position)
        if found is None:
            resumed = _resume(window, position + 1)
            yield Hole(position, resumed)
            position = resumed
        else:
            yield found
            position += found.head.size


def _read(window: Window, position: int) -> Found | None:
    head = decode_head(window.get(position, RECORD_HEADER_SIZE), 0)
    if head is None or position + head.size > window.end:
        return None
    record = decode_body(head, window.get(position, head.size))
    return None if record is None else Found(position, head, record)


def _resume(window: Window, position: int) -> int:
    """Where the next whole record begins, or the end of the file."""
    while (position := window.find(RECORD_MAGIC, position)) >= 0:
        if _read(window, position) is not None:
            return position
        position += 1
    return window.end
