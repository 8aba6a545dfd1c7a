"""Simulated time that runs by the machine's monotonic clock, the same in every process of the soak."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from mocks.world.clock import EPOCH_NS, NS

#: Where `python -m tests.soak...` finds the modules.
ROOT = Path(__file__).parents[2]


async def pause(seconds: float) -> None:
    """Real time that is part of the story: how long something stays broken, how often somebody looks."""
    await asyncio.sleep(seconds)


class FastClock:
    """A driver's clock: `speed` simulated seconds pass in a real one."""

    def __init__(self, speed: float) -> None:
        self._speed = speed

    def monotonic(self) -> float:
        return time.monotonic() * self._speed

    def time_ns(self) -> int:
        return EPOCH_NS + round(time.monotonic() * self._speed * NS)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)
