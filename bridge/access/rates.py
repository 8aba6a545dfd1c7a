"""How often something may happen: token buckets, one for each user."""

from __future__ import annotations

import time
from collections.abc import Callable


class Bucket:
    """Lets `burst` through at once, and `per_s` a second for ever. Counts what it held back."""

    def __init__(self, per_s: float, burst: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._now_s = now_s
        self._tokens = float(burst)
        self._at_s = now_s()
        self._held_back = 0

    def take(self) -> bool:
        """Whether one more may pass now."""
        now = self._now_s()
        self._tokens = min(self._burst, self._tokens + (now - self._at_s) * self._per_s)
        self._at_s = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return True
        self._held_back += 1
        return False

    def held_back(self) -> int:
        """How many did not pass since this was asked last."""
        count, self._held_back = self._held_back, 0
        return count
