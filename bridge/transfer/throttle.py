"""Values that are only worth their newest: at most so many a second, the last one always."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Throttle(Generic[T]):
    """Calls `publish` with the newest value, at least `interval_s` apart; `dropped` counts the values passed over."""

    def __init__(self, interval_s: float, publish: Callable[[T], None]) -> None:
        self.dropped = 0
        self._interval_s = interval_s
        self._publish = publish
        self._waiting: list[T] = []
        self._timer: asyncio.TimerHandle | None = None

    def offer(self, value: T) -> None:
        if self._timer is None:
            self._send(value)
        else:
            self.dropped += len(self._waiting)
            self._waiting = [value]

    def flush(self) -> None:
        """Publish what waits, now."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        waiting, self._waiting = self._waiting, []
        for value in waiting:
            self._publish(value)

    def _send(self, value: T) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._due)
        self._publish(value)

    def _due(self) -> None:
        self._timer = None
        waiting, self._waiting = self._waiting, []
        for value in waiting:
            self._send(value)
