"""Simulated time, in integer nanoseconds, one timeline an instrument.

An instrument's time advances by its own work (a conversion, a move) and by what its host waits for. So what an
instrument measures does not depend on how fast the machine is or on the order in which tasks run: same commands, same
bytes. With a finite `speed` the work is paced, so that a person can watch; with `inf` nothing ever sleeps. With `flows`
(for foreign programs, which wait by a clock of their own) time passes between commands too, and determinism is given
up.
"""

from __future__ import annotations

import asyncio
import math
import time

NS = 1_000_000_000

#: UTC at the world's time zero: fixed, because a recorded run must not differ from day to day.
EPOCH_NS = 1_767_225_600 * NS  # 2026-01-01T00:00:00Z

#: An instrument that was not used for this long (real seconds) goes on from now instead of rushing to catch up.
_PATIENCE_S = 0.5


class Timeline:
    """One instrument's time; `now_ns` starts at zero."""

    def __init__(self, speed: float = math.inf, *, flows: bool = False) -> None:
        self.speed = speed
        self._flows = flows and not math.isinf(speed)
        self._worked_ns = 0
        self._real_start = time.monotonic()
        self._start_ns = 0

    @property
    def now_ns(self) -> int:
        if self._flows:
            return max(self._worked_ns, int((time.monotonic() - self._real_start) * self.speed * NS))
        return self._worked_ns

    @property
    def now_s(self) -> float:
        return self.now_ns / NS

    async def work(self, duration_ns: int) -> None:
        """Let `duration_ns` pass; other tasks run meanwhile."""
        self._worked_ns = self.now_ns + duration_ns
        if math.isinf(self.speed):
            await asyncio.sleep(0)
            return
        real = time.monotonic()
        due = self._real_start + (self._worked_ns - self._start_ns) / NS / self.speed
        if due < real - _PATIENCE_S and not self._flows:
            self._real_start, self._start_ns, due = real, self._worked_ns, real
        await asyncio.sleep(max(0.0, due - real))


class HostClock:
    """The clock for a simulated instrument's driver: what the driver waits for passes on the instrument's timeline."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    def monotonic(self) -> float:
        return self._timeline.now_s

    def time_ns(self) -> int:
        return EPOCH_NS + self._timeline.now_ns

    async def sleep(self, seconds: float) -> None:
        await self._timeline.work(round(seconds * NS))
