"""The folder of a recording that listens to a bridge: samples as they came and as BDF text, live."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from drivers.samples import SampleBlock

from . import manifest
from .bdf import BdfTables, is_time_series
from .files import file_name, json_text, sync_folder
from .raw import SUFFIX, RawFiles, StreamCount
from .text import CsvWriter

Folder = TypeVar("Folder")


class _LiveText:
    def __init__(self, path: Path) -> None:
        self._tables = BdfTables(cycles=False)
        self._csv = CsvWriter(path, self._tables.schema().names)
        self.flush, self.close = self._csv.flush, self._csv.close

    def write(self, block: SampleBlock) -> None:
        self._csv.write(self._tables.table(block))


class RunFolder:
    """Takes sample blocks and writes, for each stream, two files:

    `STREAM.cborseq`: every block as the codec makes it, one after the other (a CBOR sequence, RFC 8742), to the last
    bit; `STREAM.bdf.csv`: the same samples for people and other programs. `create` and `finish` add the manifest.

    MQTT may deliver a block twice: a sample that was recorded already is counted and left out. One that never came is
    counted as missing. Writing blocks the caller; use a thread where that matters.
    """

    def __init__(self, path: Path) -> None:
        """Raises `FileExistsError` if there is such a folder: a run is never written over another."""
        path.mkdir(parents=True)
        self.path = path
        self._raw = RawFiles(path)
        self._texts: dict[str, _LiveText] = {}
        self._description: dict[str, Any] = {}
        self.counts: dict[str, StreamCount] = self._raw.counts

    @classmethod
    def create(cls, parent: Path, name: str, now: datetime | None = None) -> RunFolder:
        """A folder named by time and `name`, with a manifest; a second one in the same second gets a number."""
        stamp = (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H%M%SZ")
        folder = new_folder(parent, f"{stamp}_{file_name(name)}", cls)
        folder._description = manifest.new(folder.path.name, name, time.time_ns())
        manifest.write(folder.path, folder._description)
        return folder

    def add(self, block: SampleBlock) -> None:
        """Record a block, or what of it is new."""
        fresh = self._raw.count(block)
        if fresh is None:
            return
        self._raw.write(block.stream, file_name(block.stream), [fresh])
        if is_time_series(fresh):
            if block.stream not in self._texts:
                stem = self._raw.names()[block.stream].removesuffix(SUFFIX)
                self._texts[block.stream] = _LiveText(self.path / f"{stem}.bdf.csv")
            self._texts[block.stream].write(fresh)

    def write_json(self, name: str, value: Any) -> Path:
        """A result or a configuration beside the samples."""
        path = self.path / f"{file_name(name)}.json"
        path.write_text(json_text(value), encoding="utf-8")
        return path

    def finish(self, result: Any = None) -> None:
        """The recording ended as it should, with this result: `manifest.json` says so, and which files there are."""
        if result is not None:
            self.write_json(manifest.RESULT.removesuffix(".json"), result)
        ended_ns = time.time_ns()
        names = self._raw.names()
        self._description |= {
            "status": "finished",
            "complete": True,
            "ended_ns": ended_ns,
            "ended_utc": manifest.utc(ended_ns),
            "streams": {
                names[stream].removesuffix(SUFFIX): {"stream": stream, **count.describe(), "file": names[stream]}
                for stream, count in self.counts.items()
            },
            "files": manifest.describe_files(self.path, manifest.files_of(self.path), self._raw.checksums()),
        }
        manifest.write(self.path, self._description)

    def flush(self) -> None:
        """Hand everything to the operating system."""
        for text in list(self._texts.values()):
            text.flush()

    def sync(self) -> None:
        """To the disk itself, as far as samples go. Raises `OSError`."""
        self._raw.sync()
        sync_folder(self.path)

    def close(self) -> None:
        self._raw.close()
        for text in self._texts.values():
            text.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def new_folder(parent: Path, stem: str, make: Callable[[Path], Folder]) -> Folder:
    """`make` with the first path `stem`, `stem_2`, ... of which it does not say that it exists."""
    number = 1
    while True:
        try:
            return make(parent / (stem if number == 1 else f"{stem}_{number}"))
        except FileExistsError:
            number += 1
