"""Promises of tasks to be heard of again: what the watchdog's feeding is proven by.

A task says what it begins and how long that may take at most. A device that is away keeps its task's promises (it is
looked for again and again); a task that hangs breaks one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

#: How late a task may be: a busy machine is no fault.
GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class Overdue:
    """A promise that was not kept: `doing` was to be over `late_s` ago."""

    name: str
    doing: str
    late_s: float
    where: str
    """The task's innermost line, as "file:line in function"; empty if it has ended."""

    def __str__(self) -> str:
        where = f", at {self.where}" if self.where else ""
        return f"{self.name} has not been heard of: {self.doing} should have been over {self.late_s:.1f} s ago{where}"


class Heartbeat:
    """One task's. Without a promise (before the first, after `rest`) it is never overdue."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._clock = clock
        self._due: float | None = None
        self._doing = ""
        self._task: asyncio.Task[object] | None = None

    def expect(self, within_s: float, doing: str) -> None:
        """Called by the task itself: the next call comes within so many seconds (and `GRACE_S`), or it hangs."""
        self._due = self._clock() + within_s + GRACE_S
        self._doing = doing
        self._task = asyncio.current_task()

    def rest(self) -> None:
        """The task ends in order: nothing is promised any more."""
        self._due = None
        self._task = None

    def overdue(self) -> Overdue | None:
        if self._due is None or (late_s := self._clock() - self._due) <= 0:
            return None
        return Overdue(self.name, self._doing, late_s, _where(self._task))


class Heartbeats:
    """Those of one daemon."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all: list[Heartbeat] = []

    def add(self, name: str) -> Heartbeat:
        heartbeat = Heartbeat(name, self._clock)
        self._all.append(heartbeat)
        return heartbeat

    def remove(self, heartbeat: Heartbeat) -> None:
        self._all.remove(heartbeat)

    def overdue(self) -> list[Overdue]:
        return [late for heartbeat in self._all if (late := heartbeat.overdue()) is not None]


def _where(task: asyncio.Task[object] | None) -> str:
    stack = task.get_stack() if task is not None and not task.done() else []
    if not stack:
        return ""
    frame = stack[-1]
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
