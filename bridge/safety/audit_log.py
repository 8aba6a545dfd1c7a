"""The files of an audit, as one thread writes them: appended, synced, closed at a size, recovered after a crash."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .audit_chain import CURRENT, GENESIS, closed_files, closed_name, line_of, number_of, record_of

#: A file that has grown so large is closed, and another begun.
MAX_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class Opening:
    """What was found at the start. `torn` is where the unfinished last line of a crash is kept; `damaged` says what
    else is wrong with the newest file, which was closed as it is."""

    torn: Path | None = None
    damaged: str = ""


@dataclass(frozen=True, slots=True)
class _Scan:
    """Of one file: how far it is good, the last good record, and whether good ones come after what is not."""

    good_bytes: int = 0
    rest: bytes = b""
    last: dict[str, Any] | None = None
    damaged: str = ""


class AuditLog:
    """Not for two threads at a time. All methods raise `OSError`. `sync` is `os.fsync`, or a test's."""

    def __init__(
        self,
        folder: Path,
        clock_ns: Callable[[], int],
        *,
        max_bytes: int = MAX_BYTES,
        sync: Callable[[int], None] = os.fsync,
    ) -> None:
        self._folder = folder
        self._path = folder / CURRENT
        self._clock_ns = clock_ns
        self._max_bytes = max_bytes
        self._sync = sync
        self._fd: int | None = None
        self._size = 0
        self._seq = 0
        self._hash = GENESIS
        #: why the file that was open is trusted no more
        self._failure = ""

    @property
    def head(self) -> tuple[int, str]:
        """Number and hash of the last record that is on disk."""
        return self._seq, self._hash

    def open(self) -> Opening:
        """Go on where the last record ends."""
        self._folder.mkdir(parents=True, exist_ok=True)
        older = closed_files(self._folder)
        if older:
            self._take(_scan(older[-1].read_bytes()).last)
        scan = _scan(self._path.read_bytes()) if self._path.exists() else _Scan()
        self._take(scan.last)
        if scan.damaged:
            self._close_file()
            self._begin({"kind": "damaged", "text": f"the file before this one is damaged: {scan.damaged}"})
            return Opening(damaged=scan.damaged)
        torn = self._set_aside(scan) if scan.rest else None
        self._open_file()
        if torn is not None:
            self.append([{"kind": "torn", "file": torn.name, "bytes": len(scan.rest)}])
        return Opening(torn=torn)

    def append(self, records: Sequence[Mapping[str, Any]]) -> list[int]:
        """On disk when it returns: the numbers of the records. If it raises, none of them counts: the file is given up,
        and the next call begins another. A descriptor whose sync failed is not asked again: the kernel may have thrown
        away what it could not write."""
        if self._failure:
            self._begin_after_failure()
        assert self._fd is not None
        seq, previous, lines, numbers = self._seq, self._hash, [], []
        for record in records:
            seq += 1
            line, previous = line_of({"time_ns": self._clock_ns(), **record}, seq, previous)
            lines.append(line)
            numbers.append(seq)
        data = b"".join(lines)
        self._write(data)
        self._seq, self._hash = seq, previous
        self._size += len(data)
        if self._size > self._max_bytes:
            with suppress(OSError):  # these are on disk; the next call begins another file
                self._rotate()
        return numbers

    def close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    # --- how -------------------------------------------------------------------------------------------------------

    def _take(self, record: Mapping[str, Any] | None) -> None:
        if record is not None:
            self._seq, self._hash = record["seq"], record["hash"]

    def _write(self, data: bytes) -> None:
        assert self._fd is not None
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._fd, left) :]
            self._sync(self._fd)
        except OSError as error:
            self._give_up(error)
            raise

    def _give_up(self, error: OSError) -> None:
        self._failure = f"{error.strerror or error}"
        self.close()

    def _open_file(self, flags: int = 0) -> None:
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | flags, 0o640)
        self._size = os.fstat(self._fd).st_size
        self._sync_folder()

    def _close_file(self) -> None:
        """The current file gets a number."""
        self.close()
        older = closed_files(self._folder)
        number = number_of(older[-1]) + 1 if older else 1
        self._path.rename(self._folder / closed_name(number))

    def _begin(self, first: Mapping[str, Any]) -> None:
        """Another file. What is left of one that could not be begun is overwritten."""
        try:
            self._open_file(os.O_TRUNC)
            line, digest = line_of({"time_ns": self._clock_ns(), **first}, self._seq + 1, self._hash)
        except OSError as error:
            self._give_up(error)
            raise
        self._write(line)
        self._seq, self._hash, self._size, self._failure = self._seq + 1, digest, len(line), ""

    def _rotate(self) -> None:
        try:
            self._close_file()
        except OSError as error:
            self._give_up(error)
            raise
        self._begin({"kind": "continued", "text": f"after {closed_files(self._folder)[-1].name}"})

    def _begin_after_failure(self) -> None:
        """What the given-up file shows is in the chain, whether its acts were done or not: they were not."""
        scan = _scan(self._path.read_bytes()) if self._path.exists() else _Scan()
        known = self._seq
        if scan.last is not None:
            os.truncate(self._path, scan.good_bytes)
            self._take(scan.last)
            self._close_file()
        text = f"a write failed ({self._failure}): what is written between records {known} and this one was not done"
        self._begin({"kind": "failed", "text": text})

    def _set_aside(self, scan: _Scan) -> Path:
        """The unfinished line of a crash, into a file of its own; the current file ends before it."""
        path = self._folder / f"audit-torn-after-{self._seq}.bin"
        path.write_bytes(scan.rest)
        fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, scan.good_bytes)
            self._sync(fd)
        finally:
            os.close(fd)
        return path

    def _sync_folder(self) -> None:
        fd = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._sync(fd)
        finally:
            os.close(fd)


def _scan(data: bytes) -> _Scan:
    """A last line that is not whole is torn; one that is wrong with another after it is damage."""
    offset, good_bytes, last, wrong = 0, 0, None, ""
    for number, line in enumerate(data.split(b"\n"), 1):
        ends = offset + len(line) < len(data)
        try:
            record = record_of(line) if ends else None
        except ValueError as error:
            wrong = wrong or f"line {number}: {error}"
            record = None
        offset += len(line) + 1
        if record is not None:
            good_bytes, last = offset, record
            if wrong:
                return _Scan(good_bytes, b"", _last_of(data), wrong)
    return _Scan(good_bytes, data[good_bytes:], last)


def _last_of(data: bytes) -> dict[str, Any] | None:
    for line in reversed(data.split(b"\n")):
        try:
            return record_of(line)
        except ValueError:
            continue
    return None
