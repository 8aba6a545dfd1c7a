"""The recorder's processes: one at a time, each going on where the last one ended."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from pathlib import Path

import numpy

from .clock import ROOT, pause
from .rows import read


class RecorderProcess:
    def __init__(self, url: str, folder: Path) -> None:
        self.starts = 0
        self._url = url
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        folder.mkdir()

    async def start(self) -> None:
        arguments = ("-m", "tests.soak.recorder", self._url, str(self._folder))
        with (self._folder / "recorder.log").open("a") as log:
            self._process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stderr=log, cwd=ROOT)
        self.starts += 1

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    @property
    def ended(self) -> bool:
        """By itself, which must not be."""
        return self._process is None or self._process.returncode is not None

    async def pause(self, seconds: float) -> None:
        """It takes nothing for a while."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        await pause(seconds)
        self._process.send_signal(signal.SIGCONT)

    @property
    def counts(self) -> Counter[str]:
        """Of all of them together; what one that was killed had not written down yet is not in it."""
        total: Counter[str] = Counter()
        for path in self._folder.glob("counts-*.json"):
            total.update(json.loads(path.read_text()))
        return total

    def rows(self) -> dict[str, numpy.ndarray]:
        """By stream."""
        return {path.stem: read(path) for path in sorted(self._folder.glob("*.rows"))}

    def next_index(self, stream: str) -> int:
        path = self._folder / f"{stream}.rows"
        rows = read(path) if path.exists() else ()
        return int(rows["index"][-1]) + 1 if len(rows) else 0
