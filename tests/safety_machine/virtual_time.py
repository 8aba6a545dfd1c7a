"""An event loop on real wires whose time passes only while nothing comes over them.

Sleeps and deadlines are over as soon as everybody waits for one, so hours cost seconds and nothing is late because the
machine is busy. Descriptors are real. Bytes that are on their way through the kernel cannot be seen, so the loop looks
for them for `QUIET_S` of real time before it lets `STEP_S` of its own pass: a driver's deadline is many such looks.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from typing import Any

QUIET_S = 0.00025
STEP_S = 0.1
#: So long may a thread (a disk) keep everybody waiting, in real time.
PATIENCE_S = 20.0


class _PatientSelector:
    """A selector for `VirtualLoop`."""

    def __init__(self) -> None:
        self.now = 1000.0
        #: work that threads do for the loop now: time stands still meanwhile
        self.busy = 0
        #: told of each span of time before it passes
        self.passing: Callable[[float, float], None] = lambda now, then: None
        self._real = selectors.SelectSelector()

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout <= 0:
            return self._real.select(0)
        given_up = time.monotonic() + PATIENCE_S
        while self.busy or timeout is None:
            if events := self._real.select(1.0):
                return events
            assert time.monotonic() < given_up, "everybody waits, and nothing happens"
        if events := self._real.select(QUIET_S):
            return events
        then = self.now + min(timeout, STEP_S)
        self.passing(self.now, then)
        self.now = then
        return []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class VirtualLoop(asyncio.SelectorEventLoop):
    """`watch` is called with the beginning and the end of each span of time, before it passes."""

    def __init__(self, watch: Callable[[float, float], None]) -> None:
        self._patient = _PatientSelector()
        self._patient.passing = watch
        super().__init__(self._patient)  # type: ignore[arg-type]  # all of a selector that a loop uses

    def time(self) -> float:
        return self._patient.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        self._patient.busy += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._done)
        return future

    def _done(self, future: object) -> None:
        self._patient.busy -= 1


class LoopClock:
    """The clock for drivers on that loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def monotonic(self) -> float:
        return self._loop.time()

    def time_ns(self) -> int:
        return 1_767_225_600_000_000_000 + round(self._loop.time() * 1e9)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
