"""The clock that a driver waits by.

A driver never calls `asyncio.sleep` or `time` itself, so that a simulated instrument can hand it the clock of its own
simulated time. Deadlines of reads are not in here: those are real always.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What a driver needs of time."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary zero, never going back."""

    def time_ns(self) -> int:
        """UTC in nanoseconds since 1970."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """Real time."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time_ns(self) -> int:
        return time.time_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


SYSTEM_CLOCK = SystemClock()
