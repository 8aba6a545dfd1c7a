"""The folder of one run: samples as they came and as BDF, results, and the page about them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from bridge.transfer.codec import encode, part
from drivers.samples import SampleBlock

from .bdf import BdfWriter, is_time_series


@dataclass(slots=True)
class StreamCount:
    """What of a stream was recorded. `missing` and `duplicated` are by sample index."""

    samples: int = 0
    missing: int = 0
    duplicated: int = 0
    next_index: int | None = None


class _Stream:
    def __init__(self, folder: Path, name: str) -> None:
        self.count = StreamCount()
        self.raw: BinaryIO = (folder / f"{name}.cborseq").open("xb")
        self.bdf: BdfWriter | None = None
        self._bdf_path = folder / f"{name}.bdf.csv"

    def write(self, block: SampleBlock, encoded: bytes) -> None:
        self.raw.write(encoded)
        if is_time_series(block):
            self.bdf = self.bdf or BdfWriter(self._bdf_path)
            self.bdf.write(block)

    def flush(self) -> None:
        self.raw.flush()
        if self.bdf is not None:
            self.bdf.flush()

    def close(self) -> None:
        self.raw.close()
        if self.bdf is not None:
            self.bdf.close()


class RunFolder:
    """Takes sample blocks and writes, for each stream, two files:

    `STREAM.cborseq`: every block as `encode` made it, one after the other (a CBOR sequence, RFC 8742), to the last bit;
    `STREAM.bdf.csv`: the same samples for people and other programs.

    MQTT may deliver a block twice: a sample that was recorded already is counted and left out. One that never came is
    counted as missing. Writing blocks the caller; use a thread where that matters.
    """

    def __init__(self, path: Path, encode: Callable[[SampleBlock], bytes] = encode) -> None:
        """Raises `FileExistsError` if there is such a folder: a run is never written over another."""
        path.mkdir(parents=True)
        self.path = path
        self._encode = encode
        self._streams: dict[str, _Stream] = {}

    @classmethod
    def create(cls, parent: Path, name: str, now: datetime | None = None) -> RunFolder:
        """A folder named by time and `name`; a second one in the same second gets a number."""
        stamp = (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H%M%SZ")
        stem = f"{stamp}_{_file_name(name)}"
        number = 1
        while True:
            try:
                return cls(parent / (stem if number == 1 else f"{stem}_{number}"))
            except FileExistsError:
                number += 1

    @property
    def counts(self) -> dict[str, StreamCount]:
        """By stream."""
        return {name: stream.count for name, stream in self._streams.items()}

    def add(self, block: SampleBlock) -> None:
        """Record a block, or what of it is new."""
        if block.stream not in self._streams:
            self._streams[block.stream] = _Stream(self.path, self._unused_name(block.stream))
        stream = self._streams[block.stream]
        count = stream.count
        expected = block.first_index if count.next_index is None else count.next_index
        count.missing += max(0, block.first_index - expected)
        old = min(max(0, expected - block.first_index), len(block))
        count.duplicated += old
        fresh = part(block, old, len(block)) if old else block
        if old and not len(fresh):
            return
        stream.write(fresh, self._encode(fresh))
        count.samples += len(fresh)
        count.next_index = max(expected, block.next_index)

    def write_json(self, name: str, value: Any) -> Path:
        """A result or a configuration beside the samples."""
        path = self.path / f"{_file_name(name)}.json"
        path.write_text(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
        return path

    def flush(self) -> None:
        """Hand everything to the operating system."""
        for stream in list(self._streams.values()):
            stream.flush()

    def close(self) -> None:
        for stream in self._streams.values():
            stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _unused_name(self, stream: str) -> str:
        """A file name for a stream; two streams whose names differ only in odd characters do not share one."""
        name, number = _file_name(stream), 1
        while (self.path / f"{name}.cborseq").exists():
            number += 1
            name = f"{_file_name(stream)}_{number}"
        return name


def _file_name(text: str) -> str:
    """Text as part of a file name on any system."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "unnamed"
