"""Whether a queue takes more, and waiting until it does."""

from __future__ import annotations

import asyncio


class Room:
    """Of a queue that says how much it holds whenever that changes. There is room at first."""

    def __init__(self) -> None:
        self._there = asyncio.Event()
        self._there.set()

    @property
    def full(self) -> bool:
        return not self._there.is_set()

    def measure(self, held: int, limit: int) -> None:
        """The queue holds so much; from `limit` on it is full."""
        if held >= limit:
            self._there.clear()
        else:
            self._there.set()

    async def wait(self, timeout_s: float) -> bool:
        """Until the queue is not full; false if it still is after `timeout_s`."""
        if self.full:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._there.wait()
            except TimeoutError:
                return False
        return True
