"""What a test left behind: tasks, threads, file descriptors, child processes, temporary files."""

from __future__ import annotations

import asyncio.runners
import gc
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: how long a thread or process that is about to end may take for it
_GRACE_S = 2.0
_EXEC_S = 1.0


@dataclass
class Snapshot:
    """What exists at one moment. `threads` are held, so that an identity is not used again."""

    threads: set[threading.Thread] = field(default_factory=set)
    descriptors: dict[int, str] = field(default_factory=dict)
    children: set[int] = field(default_factory=set)
    files: set[str] = field(default_factory=set)

    @staticmethod
    def take() -> Snapshot:
        return Snapshot(set(threading.enumerate()), _descriptors(), _children(), _temporary_files())


class Watch:
    """Compares before and after. What fixtures of wider scope open may stay (`allow`)."""

    def __init__(self) -> None:
        self._before = Snapshot()
        self._tasks: list[str] = []

    def begin(self) -> None:
        self._before = Snapshot.take()
        self._tasks.clear()

    @contextmanager
    def allow(self) -> Iterator[None]:
        """What appears meanwhile belongs to a longer-lived owner."""
        before = Snapshot.take()
        try:
            yield
        finally:
            after = Snapshot.take()
            self._before.threads |= after.threads - before.threads
            self._before.children |= after.children - before.children
            self._before.files |= after.files - before.files
            for number, target in after.descriptors.items():
                if before.descriptors.get(number) != target:
                    self._before.descriptors[number] = target

    def note_tasks(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called when a loop is about to be closed: what still runs on it was left behind."""
        for _ in range(3):
            loop.run_until_complete(asyncio.sleep(0))
        self._tasks += [f"task {task!r}" for task in asyncio.all_tasks(loop)]

    def end(self) -> list[str]:
        """Descriptions of what was left behind; empty if nothing."""
        for thread in self._new_threads():
            thread.join(_GRACE_S)
        found = self._tasks + [f"thread {thread!r}" for thread in self._new_threads()]
        if self._new_descriptors():
            gc.collect()
        found += [f"descriptor {number} -> {target}" for number, target in self._new_descriptors()]
        found += [f"child process {pid} ({_command(pid)})" for pid in _children() - self._before.children]
        found += [f"temporary file {name}" for name in _temporary_files() - self._before.files]
        return found

    def _new_threads(self) -> set[threading.Thread]:
        return set(threading.enumerate()) - self._before.threads

    def _new_descriptors(self) -> list[tuple[int, str]]:
        before = self._before.descriptors
        return [(number, target) for number, target in _descriptors().items() if before.get(number) != target]


def watch_loops(watch: Watch) -> Callable[[], None]:
    """Have each `asyncio.Runner` (so pytest-asyncio and `asyncio.run` too) report its left tasks; returns the undo."""
    runners: Any = asyncio.runners
    original = runners._cancel_all_tasks

    def noting(loop: asyncio.AbstractEventLoop) -> None:
        watch.note_tasks(loop)
        original(loop)

    runners._cancel_all_tasks = noting

    def undo() -> None:
        runners._cancel_all_tasks = original

    return undo


def _descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the descriptor of the listing itself
        if not target.endswith(".ttf"):  # matplotlib keeps the fonts that it has used open, a few for each thread
            found[int(name)] = target
    return found


def _children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found.update(int(pid) for pid in (task / "children").read_text().split())
        except OSError:
            continue  # the thread has ended
    return found


def _command(pid: int) -> str:
    """A process that is about to become another program has no words for a moment, and one that has ended none."""
    deadline = time.monotonic() + _EXEC_S
    try:
        while not (line := Path(f"/proc/{pid}/cmdline").read_bytes()) and time.monotonic() < deadline:
            time.sleep(0.001)
    except OSError:
        line = b""
    return line.replace(b"\0", b" ").decode(errors="replace").strip() or "ended"


def _temporary_files() -> set[str]:
    return set(os.listdir(tempfile.gettempdir()))
