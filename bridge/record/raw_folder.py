"""A folder of raw blocks that is no run's: a part of a group's recording, or what a group has together."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from drivers.samples import SampleBlock

from . import manifest
from .files import file_name, sync_folder
from .raw import RawFiles, StreamCount
from .recorder import new_folder


class RawFolder:
    """`STREAM.cborseq` for each stream, and a manifest. `parameters` say in it what this is. A new folder each time.

    Raises `OSError`.
    """

    def __init__(self, parent: Path, stem: str, procedure: str, parameters: Mapping[str, Any]) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        now = time.time_ns()
        stamp = datetime.fromtimestamp(now / 1e9, UTC).strftime("%Y-%m-%dT%H%M%SZ")
        self.path = new_folder(parent, f"{stamp}_{file_name(stem)}")
        self.samples = 0
        self._raw = RawFiles(self.path)
        self._description = manifest.new(self.path.name, procedure, now) | {"parameters": dict(parameters)}
        manifest.write(self.path, self._description)

    @property
    def counts(self) -> Mapping[str, StreamCount]:
        """By stream, of what was added in order."""
        return self._raw.counts

    def add(self, block: SampleBlock) -> None:
        """A block as it came."""
        self._raw.write(block.stream, file_name(block.stream), [block])
        self.samples += len(block)

    def add_in_order(self, block: SampleBlock) -> None:
        """What of a block is new to its stream; the rest, and what is missing before it, is counted."""
        if (fresh := self._raw.count(block)) is not None:
            self.add(fresh)

    def sync(self) -> None:
        """To the disk itself."""
        self._raw.sync()
        sync_folder(self.path)

    def finish(self, *, complete: bool) -> None:
        """It ended as it should."""
        self.sync()
        ended_ns = time.time_ns()
        names = self._raw.names()
        self._description |= {
            "status": "finished",
            "complete": complete,
            "ended_ns": ended_ns,
            "ended_utc": manifest.utc(ended_ns),
            "streams": {
                stream: {"stream": stream, **count.describe(), "file": names[stream]}
                for stream, count in self.counts.items()
            },
            "files": manifest.describe_files(self.path, manifest.files_of(self.path), self._raw.checksums()),
        }
        manifest.write(self.path, self._description)

    def close(self) -> None:
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
