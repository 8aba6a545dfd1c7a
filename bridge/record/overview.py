"""Bounds of every so many samples of each stream, on disk beside the spool, which they survive: two files a stream, of
large chunks and, where samples come one by one, of small ones.

Only a help: what is not in them is read from the samples. So nothing is synced, and a damaged record is none.

    a line of JSON with the columns that have bounds, then records (`bridge.analysis.chunks`), each with a CRC32
"""

from __future__ import annotations

import json
import logging
import threading
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bridge.analysis.chunks import LARGE, SMALL, Chunks, chunk_of, dtype_of, measured
from bridge.transfer.codec import part
from drivers.errors import PicobridgeError
from drivers.samples import Column, SampleBlock

from .raw import merged

LOG = logging.getLogger("picobridge.spool")

FORMAT = "picobridge-overview-1"
_SUFFIX = ".overview"
#: Of all files; the oldest go first. A day at 10 samples a second is 1.8 MB.
LIMIT_BYTES = 1_000_000_000
#: Blocks of a large chunk: decoding fewer takes no longer than reading small chunks.
_FEW_BLOCKS = 64
#: Chunks that wait for a disk that hangs; those beyond are read from the samples later.
_WAITING = 64
_HEADER_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Overview:
    """What there is of a stream: columns, and records of chunks in the order of their indices, none twice."""

    columns: tuple[Column, ...]
    chunks: Chunks


@dataclass(slots=True)
class _Pending:
    """Blocks that are in no chunk yet, but for the first of them; at the index `due` a chunk is whole."""

    due: int
    blocks: list[SampleBlock]


class Overviews:
    """`note` belongs to the event loop, `read` and `tidy` to threads. A thread of its own writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread = ThreadPoolExecutor(1, "overviews")
        self._pending: dict[str, _Pending] = {}
        self._places = threading.Semaphore(_WAITING)

    def note(self, block: SampleBlock) -> None:
        """Each block of each stream, in order. What it costs the event loop is a list's append."""
        pending = self._pending.get(block.stream)
        if pending is None:
            self._pending[block.stream] = pending = _Pending(_after(block.first_index), [])
        pending.blocks.append(block)
        if block.next_index >= pending.due:
            rest = [block] if block.next_index % LARGE else []
            self._pending[block.stream] = _Pending(_after(block.next_index), rest)
            if self._places.acquire(blocking=False):
                try:
                    self._thread.submit(self._keep, pending.blocks)
                except RuntimeError as error:  # no thread to be had: it is only a help
                    self._places.release()
                    LOG.warning("an overview of %s is left out: %s", block.stream, error)

    def forget(self, stream: str) -> None:
        """Nothing more comes of it."""
        self._pending.pop(stream, None)

    def close(self) -> None:
        """What waits is written: for a thread."""
        self._thread.shutdown()

    def read(self, stream: str, size: int, first: int, after: int) -> Overview | None:
        """Chunks of `size` samples that lie between two indices (the second one exclusive); None if there are none that
        can be used. Blocks. Raises `OSError`."""
        try:
            content = self._path(stream, size).read_bytes()
        except FileNotFoundError:
            return None
        return decode(content, size, first, after)

    def tidy(self, limit_bytes: int = LIMIT_BYTES) -> None:
        """Let the oldest files go, those that still grow apart. Raises `OSError`."""
        if not self._folder.is_dir():
            return
        files = sorted((path.stat().st_mtime_ns, path) for path in self._folder.glob(f"*{_SUFFIX}"))
        size = sum(path.stat().st_size for _, path in files)
        for _, path in files:
            if size <= limit_bytes or path.name.split(".")[0] in self._pending:
                continue
            size -= path.stat().st_size
            path.unlink()

    def _keep(self, blocks: Sequence[SampleBlock]) -> None:
        try:
            fewer = list(merged(blocks))
            self._append(fewer, LARGE)
            if len(blocks) > _FEW_BLOCKS:
                self._append(fewer, SMALL)
        except (OSError, PicobridgeError) as error:
            LOG.warning("the overview of %s is not written: %s", blocks[0].stream, error)
        finally:
            self._places.release()

    def _append(self, blocks: Sequence[SampleBlock], size: int) -> None:
        path = self._path(blocks[0].stream, size)
        for pieces in whole_chunks(blocks, size):
            record = chunk_of(pieces)
            if record is None or not self._begun(path, pieces[0]):
                continue  # other columns than the stream began with: an impedance sweep
            data = record.tobytes()
            with path.open("ab") as file:
                file.write(data + zlib.crc32(data).to_bytes(4, "little"))

    def _begun(self, path: Path, block: SampleBlock) -> bool:
        """Whether records with a block's columns may be in a file, which is made if it is not there."""
        columns = [[column.name, column.unit] for column in measured(block.columns)]
        header = json.dumps({"format": FORMAT, "columns": columns}).encode() + b"\n"
        if path.exists():
            with path.open("rb") as file:
                return file.readline(_HEADER_LIMIT) == header
        self._folder.mkdir(exist_ok=True)
        path.write_bytes(header)
        return True

    def _path(self, stream: str, size: int) -> Path:
        return self._folder / f"{stream}.{size}{_SUFFIX}"


def decode(content: bytes, size: int, first: int, after: int) -> Overview | None:
    """What a file of chunks of `size` samples has between two indices; None if it is none of ours."""
    line, _, records = content.partition(b"\n")
    columns = _columns(line)
    if columns is None:
        return None
    dtype = _stored(len(columns))
    stored = np.frombuffer(records, dtype, len(records) // dtype.itemsize)
    firsts = stored["chunk"]["first"].astype(np.int64)
    inside = stored[(first <= firsts) & (firsts <= after - size) & (firsts % size == 0)]
    data, checked = inside.tobytes(), dtype.itemsize - 4
    checksums = zip(range(0, len(data), dtype.itemsize), inside["crc"].tolist(), strict=True)
    good = [zlib.crc32(data[at : at + checked]) == crc for at, crc in checksums]
    chunks: Chunks = inside[np.array(good, bool)]["chunk"]
    _, first_places = np.unique(chunks["first"], return_index=True)
    return Overview(columns, chunks[first_places])


def whole_chunks(blocks: Sequence[SampleBlock], size: int) -> list[list[SampleBlock]]:
    """The chunks that consecutive blocks hold whole, each as the blocks, or parts of them, that make it up."""
    begin = -(-blocks[0].first_index // size) * size
    found: list[list[SampleBlock]] = []
    for first in range(begin, blocks[-1].next_index - size + 1, size):
        pieces = [
            part(block, max(0, first - block.first_index), first + size - block.first_index)
            for block in blocks
            if len(block) and block.first_index < first + size and first < block.next_index
        ]
        found.append(pieces)
    return found


def _after(index: int) -> int:
    """Where the large chunk ends in which a sample is."""
    return (index // LARGE + 1) * LARGE


def _stored(columns: int) -> np.dtype[np.void]:
    return np.dtype([("chunk", dtype_of(columns)), ("crc", "<u4")])


def _columns(line: bytes) -> tuple[Column, ...] | None:
    try:
        header: Any = json.loads(line)
        if header["format"] != FORMAT:
            return None
        return tuple(Column(str(name), str(unit)) for name, unit in header["columns"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
