"""What the watchdog is fed by: promises of tasks, kept or not."""

from __future__ import annotations

import asyncio
import os

import pytest

from bridge.daemon.heartbeat import GRACE_S, Heartbeats
from bridge.daemon.systemd import watchdog_s
from bridge.daemon.watchdog import Watchdog


class Bench:
    """A watchdog by a clock that the test turns, and what systemd was told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.sent: list[str] = []
        self.overdue: list[str] = []
        self.heartbeats = Heartbeats(lambda: self.now)
        self.watchdog = Watchdog(self.heartbeats, lambda late: self.overdue.append(str(late)), send=self.sent.append)

    def check(self) -> list[str]:
        """What systemd is told now."""
        self.sent.clear()
        self.watchdog.check(feed=True)
        return self.sent


async def test_fed_while_every_promise_is_kept() -> None:
    bench = Bench()
    stage, arm = bench.heartbeats.add("stage"), bench.heartbeats.add("arm")
    assert bench.check() == ["WATCHDOG=1"], "nothing promised, nothing broken"
    stage.expect(1.0, "asking")
    arm.expect(30.0, "waiting before connecting again")
    bench.now += 1.0 + GRACE_S - 0.001
    assert bench.check() == ["WATCHDOG=1"]
    stage.expect(1.0, "asking")
    bench.now += 1.0 + GRACE_S - 0.001
    assert bench.check() == ["WATCHDOG=1"]


async def test_one_task_that_hangs_is_told_once_and_starves_the_watchdog() -> None:
    bench = Bench()
    stage, arm = bench.heartbeats.add("stage"), bench.heartbeats.add("arm")
    stage.expect(1.0, "asking it for its position")
    arm.expect(1000.0, "waiting")
    bench.now += 1.5 + GRACE_S
    told = bench.check()
    assert len(bench.overdue) == 1
    said = "stage has not been heard of: asking it for its position should have been over 0.5 s ago, at "
    assert bench.overdue[0].startswith(said)
    assert told == [f"STATUS={bench.overdue[0]}\nWATCHDOG=trigger"]
    bench.now += 5.0
    assert bench.check() == []
    assert len(bench.overdue) == 1
    stage.expect(1.0, "asking")
    assert bench.check() == ["WATCHDOG=1"], "it came back before systemd acted"
    bench.now += 10.0
    assert len(bench.check()) == 1


async def test_a_task_that_ended_in_order_owes_nothing() -> None:
    bench = Bench()
    stage = bench.heartbeats.add("stage")
    stage.expect(1.0, "asking")
    stage.rest()
    bench.now += 1000.0
    assert bench.check() == ["WATCHDOG=1"]


async def test_without_a_watchdog_nobody_is_fed() -> None:
    bench = Bench()
    bench.watchdog.check(feed=False)
    assert bench.sent == []


async def test_it_is_said_where_a_task_hangs() -> None:
    bench = Bench()
    stage = bench.heartbeats.add("stage")
    begun = asyncio.Event()

    async def hangs() -> None:
        stage.expect(1.0, "asking")
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(hangs())
    await begun.wait()
    bench.now += 10.0
    bench.check()
    assert "test_watchdog.py:" in bench.overdue[0]
    assert bench.overdue[0].endswith("in hangs")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "10000000"}, 10.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": f"{os.getpid()}"}, 10.0),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_how_long_systemd_waits(environment: dict[str, str], seconds: float | None) -> None:
    assert watchdog_s(environment) == seconds
