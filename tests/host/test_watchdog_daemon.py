"""The watchdog of a whole daemon: a device that is away feeds it, a task that hangs does not."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.daemon import connection, heartbeat
from tests.bridge.conftest import RigMaker, rig

__all__ = ["rig"]

Told = Callable[[], Awaitable[str]]


@pytest.fixture
async def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Told]:
    """What systemd is told next. It wants to be told every second; a task is late after two."""
    monkeypatch.setattr(heartbeat, "GRACE_S", 2.0)
    monkeypatch.setattr(connection, "POLL_LIMIT_S", 0.1)
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "notify"))
        notified.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        async def following() -> str:
            async with asyncio.timeout(20):
                return (await asyncio.get_running_loop().sock_recv(notified, 4096)).decode()

        yield following


async def test_a_device_that_is_away_feeds_it(rig: RigMaker, told: Told) -> None:
    async with rig(devices=("gauge",)) as bench:
        gauge: Any = bench.daemon.devices["gauge"].device
        gauge.wire.unplug()
        while gauge.wire.vain < 2:
            assert await told() in ("WATCHDOG=1", "READY=1")
        for _ in range(5):
            assert await told() in ("WATCHDOG=1", "READY=1")


async def test_a_task_that_hangs_does_not(rig: RigMaker, told: Told) -> None:
    release = asyncio.Event()

    async def pressure() -> None:
        await release.wait()

    async with rig(devices=("gauge", "stage")) as bench:
        bench.device("gauge").pressure = pressure
        while (said := await told()) in ("WATCHDOG=1", "READY=1"):
            pass
        assert said.startswith("STATUS=gauge has not been heard of: asking it for its pressure")
        assert said.endswith("\nWATCHDOG=trigger")
        event = await bench.listener.event("gauge has not been heard of")
        assert (event["kind"], event["severity"], event["device"]) == ("daemon", "error", "gauge")
        release.set()
        assert await told() == "WATCHDOG=1", "it came back"
