"""What a folder of segments holds after anything may have happened to it.

A segment with a whole footer is believed. Any other is read from its beginning: a torn tail is cut, what was durable
and is damaged is reported, and a footer is written, so that the next start need not read it again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .files import Files, close_quietly, write_all
from .format import (
    RECORD_HEADER_SIZE,
    SEGMENT_HEADER_SIZE,
    TRAILER_SIZE,
    VERSION,
    Kind,
    decode_body,
    decode_head,
    decode_segment_header,
    encode_footer,
    footer_position,
)
from .scan import Hole, Window, scan
from .segment import Index, Part, Segment, decode_summary, encode_summary, segment_number

ASIDE_SUFFIX = ".aside"
#: So many files that were set aside are kept, the newest.
ASIDE_KEPT = 4


@dataclass(slots=True)
class Recovery:
    """What was found. `scanned` counts segments without a footer, which were read whole; `torn_bytes` were written and
    never durable; `damage` says where something that was durable is lost; `set_aside` names files that were renamed
    because nothing of them can be used; `notes` are errors of the disk that did not hinder."""

    segments: int = 0
    records: int = 0
    bytes: int = 0
    scanned: int = 0
    torn_bytes: int = 0
    duration_s: float = 0.0
    damage: list[str] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.text

    @property
    def text(self) -> str:
        """One line for a log."""
        parts = [f"{self.records} records in {self.segments} segments, {self.bytes} bytes, {self.scanned} read whole"]
        if self.torn_bytes:
            parts.append(f"{self.torn_bytes} bytes of a torn tail cut")
        parts += self.damage
        if self.set_aside:
            parts.append(f"set aside: {', '.join(self.set_aside)}")
        return "; ".join(parts + self.notes)


def recover(files: Files, folder: Path, report: Recovery) -> tuple[list[Segment], int]:
    """All segments, oldest first, and the number of the next one. Raises `OSError` if the folder cannot be read."""
    files.make_folder(folder)
    names = sorted(files.names(folder))
    numbers = [number for name in names if (number := segment_number(name.removesuffix(ASIDE_SUFFIX))) is not None]
    segments = []
    for name in names:
        number = segment_number(name)
        if number is None:
            continue
        try:
            segment = _recover_one(files, folder, number, report)
        except OSError as error:
            # what cannot be read today may be tomorrow: it stays where it is
            report.damage.append(f"{name} cannot be read: {error.strerror or error}")
            continue
        if segment is not None:
            segments.append(segment)
    report.segments = len(segments)
    report.records = sum(segment.records for segment in segments)
    report.bytes = sum(segment.size for segment in segments)
    return segments, max(numbers, default=0) + 1


def rescan(files: Files, fd: int, segment: Segment) -> tuple[Segment, list[Hole]]:
    """A closed segment as its records are now, and where it is damaged. Raises `OSError`."""
    fresh = Segment(segment.number, size=segment.size, closed=True, damaged=True, checked=True, index=Index())
    _, holes = _note_all(Window(files, fd, segment.end), fresh)
    fresh.end = segment.end
    for stream, part in segment.parts.items():
        found = fresh.parts.setdefault(stream, Part(part.first_index, part.next_index))
        found.first_index, found.next_index = part.first_index, part.next_index
        found.gaps = part.gaps
    return fresh, holes


def close_segment(files: Files, fd: int, segment: Segment) -> None:
    """Write the footer of a segment whose records are durable, give back unused room, sync. Raises `OSError`."""
    footer = encode_footer(encode_summary(segment), segment.end, segment.last_wall_ns)
    write_all(files, fd, footer, segment.end)
    files.truncate(fd, segment.end + len(footer))
    files.fsync(fd)
    segment.size = segment.end + len(footer)
    segment.index = None


def read_summary(files: Files, fd: int, number: int) -> Segment | None:
    """What the footer says, index included; None if there is no whole one. Raises `OSError`."""
    size = files.size(fd)
    position = footer_position(files.read(fd, TRAILER_SIZE, max(0, size - TRAILER_SIZE)))
    if position is None or not SEGMENT_HEADER_SIZE <= position <= size - TRAILER_SIZE - RECORD_HEADER_SIZE:
        return None
    head = decode_head(files.read(fd, RECORD_HEADER_SIZE, position), 0)
    if head is None or head.kind != Kind.FOOTER or head.size != size - TRAILER_SIZE - position:
        return None
    record = decode_body(head, files.read(fd, head.size, position))
    segment = None if record is None else decode_summary(record.payload, number, position)
    if segment is not None:
        segment.size = size
    return segment


def set_aside(files: Files, folder: Path, name: str) -> None:
    """Rename a file so that it is no segment any more, and let the oldest such go. Raises `OSError`."""
    files.rename(folder / name, folder / f"{name}{ASIDE_SUFFIX}")
    aside = sorted(each for each in files.names(folder) if each.endswith(f".seg{ASIDE_SUFFIX}"))
    for each in aside[:-ASIDE_KEPT]:
        files.unlink(folder / each)
    files.sync_folder(folder)


def _recover_one(files: Files, folder: Path, number: int, report: Recovery) -> Segment | None:
    segment = Segment(number, index=Index())
    path = folder / segment.name
    fd = files.open(path)
    try:
        header = decode_segment_header(files.read(fd, SEGMENT_HEADER_SIZE, 0))
        if header is not None and header.version != VERSION:
            report.damage.append(f"{segment.name} is of format {header.version}; accepted: {VERSION}")
            _put_aside(files, folder, segment.name, report)
            return None
        right = header is not None and header.number == number
        if (known := read_summary(files, fd, number)) is not None:
            known.index = None
            segment, torn = known, 0
        else:
            report.scanned += 1
            torn = _read_whole(files, fd, segment, report)
    finally:
        close_quietly(files, fd)
    report.torn_bytes += torn
    if not right and (segment.records or torn):
        segment.damaged = True
        report.damage.append(f"{segment.name}: its header is damaged")
    if segment.records:
        if not segment.closed:
            _finish(files, folder, segment, report)
        return segment
    if torn and not right:
        _put_aside(files, folder, segment.name, report)
    else:
        with _noted(report, f"{segment.name}, which is empty, cannot be removed"):
            files.unlink(path)
            files.sync_folder(folder)
    return None


def _read_whole(files: Files, fd: int, segment: Segment, report: Recovery) -> int:
    """Note the records of a segment without a footer. Returns how many bytes behind them are more than zeros."""
    window = Window(files, fd, files.size(fd))
    durable, holes = _note_all(window, segment)
    # a hole behind what was durable: nobody was told of it, nor of what lies behind it
    torn = next((hole for hole in holes if hole.position >= durable), None)
    if torn is not None and torn.end < window.end:
        segment.clear()
        holes = _note_all(Window(files, fd, torn.position), segment)[1]
    elif torn is not None:
        holes.remove(torn)
    for hole in holes:
        segment.damaged = True
        report.damage.append(f"{segment.name}: bytes {hole.position} to {hole.end} are damaged")
    return _written(window, segment.end)


def _note_all(window: Window, segment: Segment) -> tuple[int, list[Hole]]:
    """Every record up to the window's end. Returns up to where all was durable once, and the holes."""
    durable, holes = 0, []
    for each in scan(window):
        if isinstance(each, Hole):
            holes.append(each)
            continue
        durable = max(durable, each.head.commit_start)
        if each.record.kind != Kind.FOOTER:
            segment.note(each.record, each.position)
    return durable, holes


def _written(window: Window, start: int) -> int:
    """How many bytes there are from a position to the last one that is not zero."""
    position, last = start, start
    while data := window.get(position, 1 << 20):
        if kept := data.rstrip(b"\0"):
            last = position + len(kept)
        position += len(data)
    return last - start


def _finish(files: Files, folder: Path, segment: Segment, report: Recovery) -> None:
    """Make durable what was found, and close the segment. A disk that is full or read-only hinders nothing."""
    with _noted(report, f"{segment.name} cannot be closed"):
        fd = files.open(folder / segment.name, write=True)
        try:
            segment.size = files.size(fd)
            files.fsync(fd)
            close_segment(files, fd, segment)
        finally:
            close_quietly(files, fd)
    segment.closed = True


def _put_aside(files: Files, folder: Path, name: str, report: Recovery) -> None:
    with _noted(report, f"{name} cannot be set aside"):
        set_aside(files, folder, name)
        report.set_aside.append(f"{name}{ASIDE_SUFFIX}")


@contextlib.contextmanager
def _noted(report: Recovery, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        report.notes.append(f"{what}: {error.strerror or error}")
