"""Rows 9 to 13: a disk that is full, full inside a record, broken, slow, or read-only, in the middle of a run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from bridge.client.connection import Listener
from bridge.daemon import health_topic, measurements, streams
from drivers.errors import RunFailed
from tests.bridge.conftest import eventually

from .archive import acknowledged, archived, fault_told, on_disk
from .conftest import RigMaker
from .disk import Disk
from .rig import Rig


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    monkeypatch.setattr(streams, "RELEASE_S", 0.1)
    return Disk(monkeypatch)


def pump_of(rig: Rig) -> Any:
    return rig.daemon.devices["pstat"].pump


async def until_said(health: Listener, where: Callable[[str], bool]) -> None:
    """Until the reasons that the health gives are such."""
    async with asyncio.timeout(10):
        while True:
            await health.wait()
            while (message := health.take()) is not None:
                if where(" ".join(json.loads(message.payload)["reasons"])):
                    return


async def test_09_the_disk_is_full(path: RigMaker, disk: Disk) -> None:
    """9. The disk is full in the middle of a run. The run ends with the source off and says why, a fault `disk` is
    latched, and no run may begin. When there is room, what waited in memory is on disk, and runs begin again."""
    async with path("pstat") as rig:
        run = await rig.measuring()
        disk.full()
        result = await rig.ended(run)
        assert result["status"] == "failed"
        rig.told(result["error"], RunFailed)
        assert rig.witness.unsafe() == []
        await fault_told(rig, "disk", gone=False)
        rig.told(await rig.refused(rig.start()), RunFailed, "")
        assert disk.refused["write"] > 0
        disk.whole()
        for kind in ("disk", "spool_exhausted"):
            await acknowledged(rig, kind)
        await on_disk(rig)
        await rig.measured()
        blocks = await archived(rig)
        assert blocks.missing == 0
        await rig.check()


async def test_10_the_disk_is_full_inside_a_record(path: RigMaker, disk: Disk) -> None:
    """10. A write takes half of a record and finds no room for the rest; a moment later there is some. The user sees
    nothing: the half is cut off and the record written again. The next daemon finds the files whole."""
    async with path("pstat", with_daemon=False) as rig:
        async with rig.running():
            run = await rig.measuring()
            disk.full_inside_a_record()
            await eventually(lambda: disk.refused["write"] == 1)
            await rig.arrived("pstat", rig.recorder.samples("pstat") + 20)
            await run.abort()
            assert (await rig.lab.faults())["open"] == []
        async with rig.running():
            recovery = rig.daemon.streams.spool.recovery
            assert (recovery.damage, recovery.scanned) == ([], 0)
            blocks = await archived(rig)
            assert (blocks.missing, blocks.replayed) == (0, blocks.received)
            assert (await rig.lab.faults())["open"] == []
            await rig.check(quiet="written again, nobody has to know")


async def test_11_a_sync_fails(path: RigMaker, disk: Disk) -> None:
    """11. The disk refuses a sync, and what it was to sync is gone, as Linux does it. The file is left, everything not
    yet durable is written into a new one; the run goes on. The user sees a fault to be acknowledged."""
    async with path("pstat") as rig:
        run = await rig.measuring()
        await eventually(lambda: rig.daemon.streams.spool.durable(pump_of(rig).stream) > 0)
        disk.refuse_a_sync()
        await eventually(lambda: disk.refused["fdatasync"] == 1)
        await acknowledged(rig, "disk_sync")
        await rig.arrived("pstat", rig.recorder.samples("pstat") + 20)
        assert rig.witness.is_on("pstat"), "the run goes on"
        await run.abort()
        await on_disk(rig)
        assert rig.daemon.streams.spool.metrics.segments == 2
        blocks = await archived(rig)
        assert (blocks.missing, blocks.replayed) == (0, blocks.received)
        await rig.check()


async def test_12_a_sync_takes_long(path: RigMaker, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """12. A sync does not return for a long time. The measurement and the live samples do not notice; the figure of
    what is in memory only rises, and the health says that the disk is slow, until it is not any more."""
    monkeypatch.setattr(health_topic, "LOOK_S", 0.05)
    monkeypatch.setattr(measurements, "STALLED_S", 0.2)
    async with path("pstat") as rig, rig.lab.listen("health") as health:
        run = await rig.measuring()
        spool = rig.daemon.streams.spool
        disk.quick.clear()
        try:
            before = rig.recorder.samples("pstat")
            await rig.arrived("pstat", before + 100)
            assert spool.metrics.queue_bytes > 20_000
            assert spool.durable(pump_of(rig).stream) < before + 50
            assert rig.witness.is_on("pstat")
            await until_said(health, lambda said: "the disk is slow" in said)
        finally:
            disk.quick.set()
        await eventually(lambda: spool.metrics.queue_bytes < 5_000)
        await until_said(health, lambda said: "the disk is slow" not in said)
        await run.abort()
        await on_disk(rig)
        blocks = await archived(rig)
        assert blocks.missing == 0
        await rig.check(quiet="a run has nothing to tell; the figures and the health have")


async def test_13_the_file_system_turns_read_only(path: RigMaker, disk: Disk) -> None:
    """13. The file system turns read-only in the middle of a run. Samples wait in memory as long as there is room for
    them; then the run ends with the source off. The fault `disk` says read-only; when it can be written again, what
    waited is on disk."""
    async with path("pstat", queue_bytes=100_000) as rig:
        run = await rig.measuring(interval_s="0.3 s")
        disk.read_only()
        result = await rig.ended(run)
        rig.told(result["error"], RunFailed)
        assert rig.witness.unsafe() == []
        spool = rig.daemon.streams.spool
        assert 100_000 <= spool.queue_bytes < 110_000, "it waits in memory, which is bounded"
        fault = await fault_told(rig, "disk", gone=False)
        assert "Read-only file system (EROFS)" in fault["text"]
        disk.whole()
        await acknowledged(rig, "disk")
        await on_disk(rig)
        await rig.measured()
        blocks = await archived(rig)
        assert blocks.missing == 0
        await rig.check()
