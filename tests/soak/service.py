"""Plays systemd: starts the daemon, makes safe after it, and looks at what its process uses."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.machine import cpu_s, rss_bytes
from tests.bridge.conftest import eventually
from tests.faults.processes import make_safe

from .clock import ROOT, pause
from .tally import Tally

#: How often the process is looked at, real seconds.
LOOK_S = 1.0
_END_S = 90.0


@dataclass(frozen=True, slots=True)
class Mark:
    """What a process used at a time (monotonic), and how many runs were started in it until then."""

    at_s: float
    rss_bytes: int
    runs: int
    descriptors: int
    threads: int


@dataclass(slots=True)
class Life:
    """One process of the daemon. `runs_before` were started in earlier ones."""

    pid: int
    began_s: float
    runs_before: int = 0
    marks: list[Mark] = field(default_factory=list)
    cpu_s: float = 0.0
    ended: str = ""


class Service:
    """`unsafe` says what is energised or moves; `killing` is called right before the daemon is killed. `spool_bytes` is
    the largest size that the spool has had."""

    def __init__(self, config: Path, speed: float, sources: str, unsafe: Callable[[], list[str]], tally: Tally) -> None:
        self.lives: list[Life] = []
        self.spool_bytes = 0
        self.killing: Callable[[], None] = lambda: None
        #: held while the daemon is ended and started again
        self.changing = asyncio.Lock()
        self._config = config
        self._arguments = ("-m", "tests.soak.daemon", str(config), f"{speed:g}", sources)
        self._unsafe = unsafe
        self._tally = tally
        self._process: asyncio.subprocess.Process | None = None

    async def signal(self, number: signal.Signals) -> None:
        """Once it hears: before that, any signal ends it. Raises `TimeoutError`."""
        process, file = self._process, self._config.with_name("hears")
        assert process is not None
        await eventually(lambda: file.exists() and file.read_text() == str(process.pid), _END_S)
        process.send_signal(number)

    async def start(self) -> None:
        with self._config.with_suffix(".log").open("a") as log:
            self._process = await asyncio.create_subprocess_exec(sys.executable, *self._arguments, stderr=log, cwd=ROOT)
        self.lives.append(Life(self._process.pid, time.monotonic(), self._tally.runs["started"]))

    async def kill(self) -> None:
        """SIGKILL, make-safe, and another daemon."""
        async with self.changing:
            assert self._process is not None
            self.killing()
            self._process.kill()
            await self._ended("killed", "signal")
            await self.start()

    async def restart(self) -> None:
        """SIGTERM; another daemon when this one has ended."""
        async with self.changing:
            await self.stop()
            await self.start()

    async def stop(self) -> None:
        assert self._process is not None
        await self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_END_S):
                await self._process.wait()
        except TimeoutError:
            self._tally.problem(f"the daemon did not end within {_END_S:g} s of SIGTERM")
            self._process.send_signal(signal.SIGABRT)
        status = await self._process.wait()
        if status < 0:
            await self._ended("hung", "timeout")
            return
        if status:
            self._tally.say(f"the daemon ended with status {status}: left behind in memory, not on disk")
        self.lives[-1].ended = f"status {status}"
        self._tally.safe(self._unsafe(), "after the daemon has ended in order")

    async def look(self) -> None:
        """Until cancelled: note what the process uses; start a daemon that has ended by itself."""
        while True:
            await pause(LOOK_S)
            if self.changing.locked() or self._process is None:
                continue
            if self._process.returncode is not None:
                async with self.changing:
                    self._tally.problem(f"the daemon ended by itself: {self._process.returncode}")
                    await self._ended("by itself", "exit-code")
                    await self.start()
                continue
            self._mark(self.lives[-1])
            self.spool_bytes = max(self.spool_bytes, _size(self._config.parent / "state" / "spool"))

    async def _ended(self, how: str, result: str) -> None:
        assert self._process is not None
        await self._process.wait()
        self.lives[-1].ended = how
        status, said = await make_safe(self._config, SERVICE_RESULT=result)
        if status:
            self._tally.problem(f"make-safe after the daemon was {how}: {said}")
        self._tally.safe(self._unsafe(), f"after make-safe, the daemon was {how}")

    def _mark(self, life: Life) -> None:
        proc = Path(f"/proc/{life.pid}")
        try:
            life.cpu_s = cpu_s(life.pid)
            life.marks.append(
                Mark(
                    time.monotonic(),
                    rss_bytes(life.pid),
                    self._tally.runs["started"] - life.runs_before,
                    len(os.listdir(proc / "fd")),
                    len(os.listdir(proc / "task")),
                )
            )
        except (FileNotFoundError, ProcessLookupError, IndexError):  # it has just ended
            return


def _size(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        try:
            size += path.stat().st_size
        except FileNotFoundError:  # a segment that was just deleted
            continue
    return size
