"""Notices that the wall clock was set: who reads events, audit and records later must know that times jumped there."""

from __future__ import annotations

import asyncio
import time

from bridge.safety.audit import Audit

from .events import Events

#: How often it is looked at.
LOOK_S = 1.0
#: What is less is a clock that is being slewed, or a look that was interrupted.
LEAST_S = 0.5


class WallClock:
    """Wall time against the time since boot, which nobody sets and which goes on while the computer sleeps."""

    def __init__(self) -> None:
        self._ahead_s = _ahead_s()

    def step_s(self) -> float:
        """By how much it was set since it was asked last, back if negative; 0 for not at all."""
        ahead_s = _ahead_s()
        step_s = ahead_s - self._ahead_s
        self._ahead_s = ahead_s
        return step_s if abs(step_s) >= LEAST_S else 0.0


async def watch_clock(events: Events, audit: Audit) -> None:
    """Until cancelled. Nothing depends on wall time but the times that people read, and when requests expire."""
    clock = WallClock()
    while True:
        await asyncio.sleep(LOOK_S)
        if step_s := clock.step_s():
            way = "ahead" if step_s > 0 else "back"
            text = f"the computer's clock was set {way} by {abs(step_s):.1f} s: times before and after do not compare"
            audit.note("clock set", step_s=step_s)
            events.publish("daemon", text, severity="warning", step_s=step_s)


def _ahead_s() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
