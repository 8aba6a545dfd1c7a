"""The segments of one folder as one log: append, read, let go. Without threads of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .catalogue import Catalogue, StreamRange
from .coverage import Range
from .faults import FaultKind, SpoolFailed, explain
from .files import Files
from .format import Record
from .options import SpoolOptions
from .reader import Reader, Stored
from .recovery import Recovery, recover, set_aside
from .scan import Hole
from .segment import Segment
from .writer import SegmentWriter

LOG = logging.getLogger("picobridge.spool")

Told = Callable[[FaultKind, str], None]


class SegmentLog:
    """`commit`, `tend` and `close` belong to one thread; `read` and `ranges` to any.

    `told` hears of faults, in the thread in which they are met. `wall_ns` and `monotonic_ns` are the clocks.
    """

    def __init__(
        self,
        folder: Path,
        options: SpoolOptions,
        files: Files,
        told: Told,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Recovers what is in the folder. Raises `SpoolFailed` if it cannot be read."""
        self.folder = folder
        self.recovery = Recovery()
        #: what there is too little of, as text; empty if nothing
        self.lacking = ""
        self._options = options
        self._files = files
        self._told = told
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._opened_wall_ns, self._opened_monotonic_ns = wall_ns(), monotonic_ns()
        self._floor: dict[str, int] = {}
        begun = time.monotonic()
        try:
            segments, number = recover(files, folder, self.recovery)
        except OSError as error:
            raise SpoolFailed(f"the spool in {folder} cannot be opened: {explain(error)}") from error
        self.recovery.duration_s = time.monotonic() - begun
        self._catalogue = Catalogue(segments)
        self._writer = SegmentWriter(folder, files, options.segment_limit, number, self._opened, self._closed)
        self._reader = Reader(folder, files, self._catalogue, self._damaged)
        self._close_at_ns = 0

    @property
    def exhausted(self) -> bool:
        """Whether `max_bytes` or `reserve_bytes` is reached."""
        return bool(self.lacking)

    @property
    def bytes_on_disk(self) -> int:
        """Of all segments, with the room that was made ahead."""
        return self._catalogue.bytes

    @property
    def segments(self) -> int:
        return len(self._catalogue)

    def ranges(self) -> Mapping[str, StreamRange]:
        return self._catalogue.ranges()

    def next_index(self, stream: str) -> int:
        """Up to where (exclusive) the stream is durable; 0 if it is not known."""
        return self._catalogue.next_index(stream)

    def use(self, options: SpoolOptions) -> None:
        """Other limits from now on. In any thread."""
        self._options = options
        self._writer.segment_bytes = options.segment_limit

    def commit(self, records: Sequence[Record]) -> tuple[int, dict[str, int]]:
        """Make the first of the records durable, at least one. Returns how many, and the streams' next indices.

        Raises `OSError` if none could be; the same records may be tried again.
        """
        positions = self._writer.commit(records, self._wall_ns())
        segment = self._writer.segment
        assert segment is not None
        return len(positions), self._catalogue.note(segment, zip(records, positions, strict=False))

    def read(self, stream: str, first_index: int, limit_bytes: int) -> list[Stored]:
        """See `Spool.read`."""
        try:
            return self._reader.read(stream, first_index, limit_bytes)
        except OSError as error:
            raise SpoolFailed(f"samples of {stream} cannot be read: {explain(error)}", operation="read") from error

    def release(self, floor: Mapping[str, int]) -> None:
        """See `Spool.release`. In any thread; what can go goes at the next `tend`."""
        self._floor = {**self._floor, **floor}

    def free_bytes(self) -> int:
        """What is left on the disk. Raises `OSError`."""
        return self._files.free(self.folder)

    def tend(self) -> None:
        """Close a segment that is old enough, let go what nobody needs, and see whether there is room."""
        if self._writer.segment is not None and self._monotonic_ns() >= self._close_at_ns:
            self._writer.close()
        self._let_released_go()
        self._see_to_room()

    def close(self) -> None:
        """Close the open segment."""
        self._writer.close()

    def _let_released_go(self) -> None:
        floor = self._floor
        if not floor:
            return
        old_ns = self._now_ns() - int(self._options.keep_s * 1e9)
        for segment in self._catalogue.closed:
            needed = any(part.next_index > floor.get(stream, 0) for stream, part in segment.parts.items())
            if not needed and segment.last_wall_ns <= old_ns and not self._drop(segment):
                return

    def _now_ns(self) -> int:
        """Wall time, but no more of it than has passed since the start: a clock that is set ahead makes nothing old."""
        return min(self._wall_ns(), self._opened_wall_ns + self._monotonic_ns() - self._opened_monotonic_ns)

    def _see_to_room(self) -> None:
        """The oldest make room for the newest, but not for what somebody else fills the disk with."""
        if self._options.when_full == "overwrite":
            for segment in self._catalogue.closed:
                if self._catalogue.bytes <= self._options.max_bytes:
                    break
                LOG.warning("%s makes room: its samples cannot be asked for again", segment.name)
                if not self._drop(segment):
                    break
        lacking = self._lacking()
        if bool(lacking) == self.exhausted:
            return  # the figures change all the time
        self.lacking = lacking
        if lacking:
            self._told(FaultKind.EXHAUSTED, lacking)

    def _lacking(self) -> str:
        """What there is too little of; empty if nothing."""
        taken, limit = self._catalogue.bytes, self._options.max_bytes
        if taken > limit:
            return f"samples take {taken / 1e6:.1f} MB, they may take {limit / 1e6:.1f} MB"
        try:
            free = self.free_bytes()
        except OSError as error:
            return f"how much of the disk is free cannot be found out: {explain(error)}"
        reserve = self._options.reserve_bytes
        if free >= reserve:
            return ""
        return f"{free / 1e6:.1f} MB of the disk are free, {reserve / 1e6:.1f} MB are to be kept free"

    def _drop(self, segment: Segment) -> bool:
        """Remove a segment; one that is damaged is renamed instead, for whoever wants to know why."""
        try:
            if segment.damaged:
                set_aside(self._files, self.folder, segment.name)
            else:
                self._files.unlink(self.folder / segment.name)
                self._files.sync_folder(self.folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._told(FaultKind.DISK, f"{segment.name} cannot be removed: {explain(error)}")
            return False
        self._catalogue.remove(segment)
        return True

    def _opened(self, segment: Segment) -> None:
        self._close_at_ns = self._monotonic_ns() + int(self._options.segment_s * 1e9)
        self._catalogue.add(segment)

    def _closed(self, segment: Segment, error: OSError | None) -> None:
        if not segment.records:
            self._catalogue.remove(segment)
        if error is not None:
            self._told(FaultKind.SYNC, f"{segment.name} was left without a footer: {explain(error)}")

    def _damaged(self, segment: Segment, holes: list[Hole], lost: dict[str, list[Range]]) -> None:
        where = ", ".join(f"{hole.position} to {hole.end}" for hole in holes) or "its footer"
        samples = "; ".join(f"{stream} {first} to {after}" for stream, gone in lost.items() for first, after in gone)
        text = f"{segment.name} is damaged (bytes {where}); samples lost: {samples or 'none'}"
        self._told(FaultKind.DAMAGE, text)
