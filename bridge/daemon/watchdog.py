"""Feeds systemd's watchdog while every task of the daemon keeps its promises.

A blocked event loop feeds nothing, so systemd ends the process after `WatchdogSec`. A task that hangs while the loop
goes on is told at once ("WATCHDOG=trigger"): waiting longer would only leave the hardware on for longer. After either,
the unit's `ExecStopPost` brings the instruments to their safe state, and systemd starts the daemon again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from .heartbeat import Heartbeats, Overdue
from .systemd import notify, watchdog_s

LOG = logging.getLogger("picobridge.watchdog")

#: How often promises are looked at where no watchdog wants to be fed: what hangs is then only told.
CHECK_S = 5.0


class Watchdog:
    """`on_overdue` is called once for each task that hangs."""

    def __init__(
        self,
        heartbeats: Heartbeats,
        on_overdue: Callable[[Overdue], None] = lambda _: None,
        *,
        send: Callable[[str], None] = notify,
    ) -> None:
        self._heartbeats = heartbeats
        self._on_overdue = on_overdue
        self._send = send
        self._told: set[str] = set()

    async def run(self) -> None:
        """Until cancelled: at half of the time that systemd gives, as sd_watchdog_enabled(3) recommends."""
        limit_s = watchdog_s()
        while True:
            self.check(feed=limit_s is not None)
            await asyncio.sleep(CHECK_S if limit_s is None else min(CHECK_S, limit_s / 2))

    def check(self, *, feed: bool) -> list[Overdue]:
        """Look once. With `feed` systemd is told, whichever it is."""
        overdue = self._heartbeats.overdue()
        new = [late for late in overdue if late.name not in self._told]
        self._told = {late.name for late in overdue}
        for late in new:
            LOG.critical("%s", late)
            self._on_overdue(late)
        if feed and not overdue:
            self._send("WATCHDOG=1")
        elif feed and new:
            self._send(f"STATUS={new[0]}\nWATCHDOG=trigger")
        return overdue
