"""Refused requests, told to whoever keeps the audit trail and to the operator: all counted, no flood of them told."""

from __future__ import annotations

import time
from collections.abc import Callable

from bridge.access.rates import Bucket
from drivers.errors import PicobridgeError

from .events import Events

#: User ("" if unknown), method, why, and how many were refused since the last call without one of their own.
OnRefused = Callable[[str, str, PicobridgeError, int], None]

#: Refused requests that cannot be answered become events, but not more than this many a second.
_COMPLAINTS_PER_S = 5
#: Reports of each user: so many at once, then one a second.
_REPORTS = 10
_REPORTS_PER_S = 1.0
#: Users whose reports are counted apart from the others'.
_USERS = 256


class Refusals:
    """`count` is how many there were."""

    def __init__(self, events: Events, on_refused: OnRefused) -> None:
        self.count = 0
        self._events = events
        self._on_refused = on_refused
        self._reports: dict[str, Bucket] = {}
        self._complaints: list[float] = []

    def report(self, user: str, method: str, error: PicobridgeError) -> None:
        """Count it, and tell `on_refused`."""
        self.count += 1
        key = user if user in self._reports or len(self._reports) < _USERS else ""
        bucket = self._reports.setdefault(key, Bucket(_REPORTS_PER_S, _REPORTS))
        if bucket.take():
            self._on_refused(user, method, error, bucket.held_back())

    def complain(self, text: str, error: PicobridgeError) -> None:
        """An event for everybody."""
        now = time.monotonic()
        self._complaints = [at for at in self._complaints if now - at < 1.0]
        if len(self._complaints) < _COMPLAINTS_PER_S:
            self._complaints.append(now)
            self._events.publish("request", text, severity="warning", error=error)
