"""Blocks of a stream's past: out of the spool, and where it has let them go, out of the records of runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from bridge.analysis.chunks import LARGE, SMALL, Chunks
from bridge.analysis.envelope import Envelope
from bridge.record.raw import RawReader, merged
from bridge.record.run_record import RunRecord, records
from bridge.transfer import codec
from bridge.transfer.codec import part
from drivers.errors import InvalidValue
from drivers.samples import Column, SampleBlock

from .streams import Streams

#: So much is read of the spool at a time.
_PIECE_BYTES = 256 * 1024
#: A thread that reads works so long at a stretch, and then lets the event loop have its turn for as long.
_STRETCH_S = 0.002
#: Where the file of a run that was interrupted ends, without reading all of it.
_NOT_KNOWN = 2**63


class Past:
    """`data_dir` gives the folder of the records, None if there is none."""

    def __init__(self, streams: Streams, data_dir: Callable[[], Path | None]) -> None:
        self._streams = streams
        self._data_dir = data_dir

    async def reached(self, stream: str, first: int, after: int) -> int:
        """Up to which index (exclusive) of a range there can be samples; what was taken a moment ago is waited for.

        Raises `InvalidValue` for a stream that neither the spool nor a record knows, or that ends before the range,
        `Busy` if nothing of it is on disk yet.
        """
        if self._streams.knows(stream):
            end = min(await self._streams.until_durable(stream, first, after), self._streams.reached(stream))
        else:
            files = await asyncio.to_thread(self._files, stream)
            if not files:
                raise InvalidValue(f"stream is {stream!r:.100}, which is neither in the spool nor in a record")
            end = min(after, max(known for _, _, known in files))
        if end <= first:
            raise InvalidValue(f"first_index is {first}; accepted: less than {end}, where {stream} ends")
        return end

    def fill(self, stream: str, envelope: Envelope, after: int, wanted: Callable[[], bool]) -> None:
        """Give an envelope what there is of a stream before an index, chunks where they are known, for as long as it is
        wanted. Blocks: for a thread. Raises `SpoolFailed`, `OSError`."""
        position = envelope.begin
        for columns, chunks, size in self._known(stream, envelope, after):
            self._fill(stream, envelope, position, int(chunks["first"][0]), wanted)
            envelope.add_chunks(columns, chunks, size)
            position = int(chunks["first"][-1]) + size
        self._fill(stream, envelope, position, after, wanted)

    def _fill(self, stream: str, envelope: Envelope, first: int, after: int, wanted: Callable[[], bool]) -> None:
        for block in merged(_paced(self._read(stream, first, after, wanted), wanted)) if first < after else ():
            # what reaches beyond comes with the chunk behind it
            envelope.add(part(block, 0, after - block.first_index) if block.next_index > after else block)

    def _known(self, stream: str, envelope: Envelope, after: int) -> Iterator[tuple[Sequence[Column], Chunks, int]]:
        """Runs of chunks that can stand for their samples, in order, with their size."""
        spooled = self._streams.spool.streams().get(stream)
        missing = () if spooled is None else spooled.missing
        wanted = sorted((begin, end, size) for size in (LARGE, SMALL) for begin, end in envelope.takes(size))
        for begin, end, size in wanted:
            if (known := self._streams.overviews.read(stream, size, begin, min(end, after))) is None:
                continue
            firsts = known.chunks["first"].astype(np.int64)
            whole = np.ones(len(firsts), bool)
            for gap in missing:
                whole &= (gap.first_index >= firsts + size) | (firsts >= gap.next_index)
            chunks, firsts = known.chunks[whole], firsts[whole]
            for run in np.split(chunks, np.flatnonzero(np.diff(firsts) != size) + 1):
                if len(run):
                    yield known.columns, run, size

    def _read(self, stream: str, first: int, after: int, wanted: Callable[[], bool]) -> Iterator[SampleBlock]:
        known = self._streams.spool.streams().get(stream)
        kept_from = after if known is None else max(first, min(known.first_index, after))
        if first < kept_from:
            yield from self._of_records(stream, first, kept_from, wanted)
        yield from self._of_spool(stream, kept_from, after)

    def _of_spool(self, stream: str, first: int, after: int) -> Iterator[SampleBlock]:
        while first < after and (found := self._streams.spool.read(stream, first, _PIECE_BYTES)):
            for begin, end, payload in found:
                if begin < after and begin < end:
                    yield codec.decode(payload)
            if found[-1][1] <= first:
                return
            first = found[-1][1]

    def _of_records(self, stream: str, first: int, after: int, wanted: Callable[[], bool]) -> Iterator[SampleBlock]:
        for path, begin, end in sorted(self._files(stream), key=lambda each: each[1]):
            if begin >= after or end <= first:
                continue
            for block in _paced(RawReader(path), wanted):
                if block.stream == stream and block.next_index > first and block.first_index < after:
                    yield block

    def _files(self, stream: str) -> list[tuple[Path, int, int]]:
        """Raw files with samples of a stream: first index, next index (exclusive)."""
        data_dir = self._data_dir()
        found: list[tuple[Path, int, int]] = []
        for record in records([data_dir]) if data_dir is not None else ():
            found += _raw_files(record, stream)
        return found


def _raw_files(record: RunRecord, stream: str) -> Iterator[tuple[Path, int, int]]:
    if not record.complete:  # its manifest does not say yet what there is
        for path in record.raw_files:
            first = next(iter(RawReader(path)), None)  # a file is one stream's
            if first is not None and first.stream == stream:
                yield path, first.first_index, _NOT_KNOWN
        return
    names = {path.name: path for path in record.raw_files}
    for known in record.manifest["streams"].values():
        file = names.get(str(known.get("file")))
        first_index, next_index = known.get("first_index"), known.get("next_index")
        if file is not None and known.get("stream") == stream and isinstance(first_index, int):
            yield file, first_index, int(next_index)


def _paced(blocks: Iterable[SampleBlock], wanted: Callable[[], bool]) -> Iterator[SampleBlock]:
    began = time.perf_counter()
    for block in blocks:
        if not wanted():
            return
        yield block
        if time.perf_counter() - began > _STRETCH_S:
            time.sleep(_STRETCH_S)
            began = time.perf_counter()
