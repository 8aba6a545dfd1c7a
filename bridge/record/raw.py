"""Blocks on disk as they passed: one CBOR sequence (RFC 8742) a stream, readable up to where a crash cut it."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bridge.transfer.codec import Header, decode_at, follows, part
from drivers.errors import InvalidValue
from drivers.samples import SampleBlock

SUFFIX = ".cborseq"
#: Merged blocks have at most so many rows, out of so many blocks.
_ROWS = 1 << 20
_GROUP = 4096


@dataclass(slots=True)
class StreamCount:
    """What of a stream was recorded. `missing` and `duplicated` are by sample index."""

    samples: int = 0
    missing: int = 0
    duplicated: int = 0
    first_index: int | None = None
    next_index: int | None = None

    def describe(self) -> dict[str, Any]:
        """For a manifest."""
        return {
            "first_index": self.first_index,
            "next_index": self.next_index,
            "samples": self.samples,
            "missing": self.missing,
        }

    def fresh(self, block: SampleBlock) -> SampleBlock | None:
        """Count a block; returns what of it was not recorded yet. None if that is nothing."""
        expected = block.first_index if self.next_index is None else self.next_index
        if self.first_index is None:
            self.first_index = block.first_index
        self.missing += max(0, block.first_index - expected)
        old = min(max(0, expected - block.first_index), len(block))
        self.duplicated += old
        if old and old == len(block):
            return None
        self.samples += len(block) - old
        self.next_index = max(expected, block.next_index)
        return part(block, old, len(block)) if old else block


class RawWriter:
    """One file. What `write` was given is the operating system's when it returns: only a power cut can lose it."""

    def __init__(self, path: Path, *, after: int | None = None) -> None:
        """A new file; or one that was left, behind its first `after` bytes: the rest goes. Raises `FileExistsError`."""
        self.path = path
        self._file = path.open("xb" if after is None else "r+b", buffering=0)
        self._size = 0
        self._hash = hashlib.sha256()
        self._header: Header | None = None
        if after is not None:
            self._file.truncate(after)
            self._hash = hashlib.file_digest(self._file, "sha256")
            self._size = self._file.seek(0, os.SEEK_END)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, blocks: Sequence[SampleBlock]) -> None:
        """All of them or, with an `OSError`, none: what was half written is cut off again."""
        data = b"".join(self._encoded(block) for block in blocks)
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file.fileno(), memoryview(data)[written:])
        except OSError:
            os.ftruncate(self._file.fileno(), self._size)
            os.lseek(self._file.fileno(), self._size, os.SEEK_SET)
            raise
        self._size += len(data)
        self._hash.update(data)

    def sync(self) -> None:
        os.fdatasync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def _encoded(self, block: SampleBlock) -> bytes:
        if self._header is None or not self._header.fits(block):
            self._header = Header(block)
        return self._header.encode(block)


#: So much is read at a time; what is longer is no block.
_PIECE, _LONGEST = 1 << 20, 1 << 26


class RawReader:
    """Iterates over the blocks of a file. Afterwards `unread_bytes` is what follows the last whole block: 0 unless the
    writer was killed in the middle of one, or the file was damaged; `reason` then says what is wrong there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unread_bytes = 0
        self.reason = ""

    def __iter__(self) -> Iterator[SampleBlock]:
        # read, not mapped: a disk that fails under a mapping ends the process, and a slow one stops all of its threads
        with self.path.open("rb", buffering=0) as file:
            size, begin, content, failure = os.fstat(file.fileno()).st_size, 0, b"", ""
            while len(content) < _LONGEST:
                wanted = min(max(_PIECE, len(content)), size - begin - len(content))
                if not wanted or not (piece := file.read(wanted)):
                    break
                content, position, failure = content + piece, 0, ""
                while position < len(content):
                    try:
                        block, position = decode_at(content, position)
                    except InvalidValue as error:  # perhaps only because the rest of it was not read yet
                        failure = error.message
                        break
                    yield block
                begin, content = begin + position, content[position:]
            if failure:
                self.unread_bytes, self.reason = max(size - begin, len(content)), failure


def merged(blocks: Iterable[SampleBlock]) -> Iterator[SampleBlock]:
    """The same samples in fewer blocks: those that follow each other and say the same are put together."""
    group: list[SampleBlock] = []
    count = 0
    for block in blocks:
        full = count + len(block) > _ROWS or len(group) >= _GROUP
        if group and (full or not follows(group[-1], block)):
            yield SampleBlock.concatenate(group) if len(group) > 1 else group[0]
            group, count = [], 0
        group.append(block)
        count += len(block)
    if group:
        yield SampleBlock.concatenate(group) if len(group) > 1 else group[0]


def in_use(folder: Path) -> bool:
    """Whether somebody writes there now."""
    try:
        os.close(_locked(folder))
    except OSError:
        return True
    return False


def _locked(folder: Path) -> int:
    """A descriptor that keeps others from writing there until it is closed. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise OSError(error.errno, "another recorder writes there") from error
    return descriptor


class RawFiles:
    """The raw files of one folder, a stream each. What is there already is gone on with, from its last whole block."""

    def __init__(self, folder: Path) -> None:
        """Raises `OSError`, also if somebody else writes there."""
        self._folder = folder
        self._lock = _locked(folder)
        self._writers: dict[str, RawWriter] = {}
        self.counts: dict[str, StreamCount] = {}
        try:
            for path in sorted(folder.glob(f"*{SUFFIX}")):
                self._go_on(path)
        except BaseException:
            self.close()
            raise

    def _go_on(self, path: Path) -> None:
        reader, stream = RawReader(path), ""
        for block in reader:
            stream = block.stream
            self.count(block)
        size = path.stat().st_size - reader.unread_bytes
        if stream:  # of a file without one whole block nobody can tell whose it was
            self._writers[stream] = RawWriter(path, after=size)
        else:
            path.unlink()

    def names(self) -> dict[str, str]:
        """File names by stream."""
        return {stream: writer.path.name for stream, writer in self._writers.items()}

    def checksums(self) -> dict[str, str]:
        """SHA-256 by file name."""
        return {writer.path.name: writer.sha256 for writer in self._writers.values()}

    def count(self, block: SampleBlock) -> SampleBlock | None:
        """What of the block is new to its stream: that is what must be written."""
        return self.counts.setdefault(block.stream, StreamCount()).fresh(block)

    def write(self, stream: str, stem: str, blocks: Sequence[SampleBlock]) -> None:
        """Append to the stream's file, which is made as `stem` says if there is none. Raises `OSError`."""
        if stream not in self._writers:
            self._writers[stream] = RawWriter(self._unused(stem))
        self._writers[stream].write(blocks)

    def sync(self) -> None:
        """To the disk itself. Raises `OSError`."""
        for writer in list(self._writers.values()):
            writer.sync()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _unused(self, stem: str) -> Path:
        """A path for a stream; two streams whose names differ only in odd characters do not share one."""
        name, number = stem, 1
        while (path := self._folder / f"{name}{SUFFIX}").exists():
            number += 1
            name = f"{stem}_{number}"
        return path
