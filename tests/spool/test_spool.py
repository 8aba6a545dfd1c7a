"""The spool as a daemon uses it: on an event loop, with its thread, over real files or a disk that refuses."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bridge.transfer import codec
from bridge.transfer.spool import FaultKind, Files, Missing, OsFiles, Spool, SpoolFailed, SpoolOptions
from drivers.errors import InvalidValue, Refused
from drivers.samples import EndReason

from .blocks import FOLDER, block, indices
from .memory_files import MemoryFiles

SMALL = SpoolOptions(segment_bytes=20_000, reserve_bytes=0, retry_s=0.0)


class Changes:
    """Wakes whoever waits for something of the spool."""

    def __init__(self, spool: Spool) -> None:
        self.faults: list[tuple[FaultKind, str]] = []
        self.failing_when_told: list[bool] = []
        self._spool = spool
        self._event = asyncio.Event()
        spool.changed = self._event.set
        spool.on_fault = self._fault

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._event.clear()
            await self._event.wait()

    def _fault(self, kind: FaultKind, text: str) -> None:
        self.faults.append((kind, text))
        if kind is FaultKind.DISK:
            self.failing_when_told.append(self._spool.error is not None)
        self._event.set()


@asynccontextmanager
async def started(
    folder: Path, options: SpoolOptions = SMALL, files: Files | None = None
) -> AsyncIterator[tuple[Spool, Changes]]:
    spool = await asyncio.to_thread(Spool.open, folder, options, files)
    changes = Changes(spool)
    spool.start()
    try:
        yield spool, changes
    finally:
        await spool.close()


async def test_what_was_appended_is_durable_and_read_again_after_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "spool"
    async with started(folder) as (spool, changes):
        for n in range(500):
            spool.append(block("a-1", 10 * n, 10))
            spool.append(block("b-2-x", 10 * n, 10))
        assert spool.durable("a-1") <= 5000
        await spool.synced("a-1", 5000)
        await spool.synced("b-2-x", 5000)
        before = {stream: spool.read(stream, 0, 10**9) for stream in ("a-1", "b-2-x")}
        assert [indices(stored) for stored in before.values()] == [list(range(5000))] * 2
        assert spool.queue_bytes == 0
        assert changes.faults == []
        assert spool.metrics.commits > 0
        assert spool.metrics.commit_latency_max_s >= spool.metrics.commit_latency_s > 0
    assert sum(path.stat().st_size for path in folder.iterdir()) == spool.metrics.bytes_on_disk
    async with started(folder) as (spool, changes):
        assert {stream: spool.read(stream, 0, 10**9) for stream in ("a-1", "b-2-x")} == before
        assert spool.streams()["b-2-x"] == (0, 5000, (), "b-2")
        assert spool.durable("a-1") == 5000
        await spool.synced("a-1", 5000)
        assert spool.recovery.scanned == 0
        assert spool.recovery.records == sum(map(len, before.values()))
        assert changes.faults == []


async def test_small_blocks_that_follow_each_other_are_one_record_and_large_ones_several(tmp_path: Path) -> None:
    async with started(tmp_path, SpoolOptions(reserve_bytes=0)) as (spool, _):
        spool.append(block("a-1", 0, 10_000))  # the thread is busy with it while the others come
        for n in range(1000):
            spool.append(block("a-1", 10_000 + n, 1))
        spool.append(block("a-1", 11_000, 0, EndReason.STOPPED))
        await spool.synced("a-1", 11_000)
        await asyncio.to_thread(lambda: None)
    stored = spool.read("a-1", 0, 10**9)
    assert len(stored) < 30
    assert all(len(payload) <= 64 * 1024 for _, _, payload in stored)
    assert indices(stored) == list(range(11_000))
    assert codec.decode(stored[-1][2]).end is EndReason.STOPPED


async def test_the_end_of_a_technique_is_kept_though_it_has_no_samples(tmp_path: Path) -> None:
    async with started(tmp_path) as (spool, _):
        spool.append(block("a-1", 0, 10))
        await spool.synced("a-1", 10)
        spool.append(block("a-1", 10, 0, EndReason.TAPER))
        spool.append(block("a-1", 10, 10))
        await spool.synced("a-1", 20)
        assert [each[:2] for each in spool.read("a-1", 0, 10**9)] == [(0, 10), (10, 10), (10, 20)]
        assert [each[:2] for each in spool.read("a-1", 10, 1)] == [(10, 10), (10, 20)]
        assert [each[:2] for each in spool.read("a-1", 11, 1)] == [(10, 20)]
        assert [each[:2] for each in spool.read("a-1", 0, 1)] == [(0, 10)]
        assert spool.read("a-1", 20, 1) == []
        assert spool.read("c-1", 0, 1) == []


async def test_gaps_are_kept_with_their_reason(tmp_path: Path) -> None:
    for _ in range(2):
        async with started(tmp_path) as (spool, _):
            if not spool.durable("a-1"):
                spool.append(block("a-1", 0, 10))
                spool.gap("a-1", 10, 15, "the device's buffer ran over")
                spool.append(block("a-1", 15, 5))
                spool.append(block("a-1", 30, 5))
                await spool.synced("a-1", 35)
            missing = (Missing(10, 15, "the device's buffer ran over"), Missing(20, 30))
            assert spool.streams()["a-1"] == (0, 35, missing, "a")
            assert indices(spool.read("a-1", 0, 10**9)) == [*range(10), *range(15, 20), *range(30, 35)]


async def test_a_block_that_cannot_be_encoded_is_a_gap_and_ends_nothing(tmp_path: Path) -> None:
    async with started(tmp_path) as (spool, changes):
        wrong = block("a-1", 0, 10)
        broken = type(wrong)(
            wrong.stream, 0, 7, wrong.columns, {**wrong.data, "voltage_v": np.array(["x"] * 10, dtype=object)}
        )
        spool.append(broken)
        spool.append(block("b-1", 0, 10))
        await spool.synced("a-1", 10)
        await spool.synced("b-1", 10)
        assert [kind for kind, _ in changes.faults] == [FaultKind.BLOCK]
        assert "samples 0 to 10 of a-1 cannot be encoded" in changes.faults[0][1]
        assert [(m.first_index, m.next_index) for m in spool.streams()["a-1"].missing] == [(0, 10)]


async def test_the_queue_is_bounded_while_the_disk_refuses_and_all_is_written_when_it_does_not() -> None:
    files = MemoryFiles()
    options = SpoolOptions(segment_bytes=20_000, reserve_bytes=0, retry_s=0.0, queue_bytes=20_000)
    async with started(FOLDER, options, files) as (spool, changes):
        files.fail = lambda call, at: errno.ENOSPC if call in ("write", "create") else 0
        first = 0
        while not spool.full:
            spool.append(block("a-1", first, 10))
            first += 10
        await changes.until(lambda: spool.error is not None)
        assert spool.durable("a-1") == 0
        assert not await spool.room(0.0)
        assert (FaultKind.DISK, "samples cannot be made durable: No space left on device (ENOSPC)") in changes.faults
        waits = asyncio.create_task(spool.synced("a-1", first))
        files.fail = lambda call, at: 0
        assert await spool.room(30.0)
        await waits
        await changes.until(lambda: spool.error is None)
        assert indices(spool.read("a-1", 0, 10**9)) == list(range(first))
        assert sum(kind is FaultKind.DISK for kind, _ in changes.faults) == 1
        assert changes.failing_when_told == [True]
        assert spool.queue_bytes == 0


async def test_a_sync_that_fails_once_is_told_and_loses_nothing() -> None:
    files, syncs = MemoryFiles(), 0

    def fail(call: str, at: int) -> int:
        nonlocal syncs
        syncs += call == "fdatasync"
        return errno.EIO if call == "fdatasync" and syncs == 3 else 0

    async with started(FOLDER, SMALL, files) as (spool, changes):
        files.fail = fail
        for n in range(5):
            spool.append(block("a-1", 10 * n, 10))
            await spool.synced("a-1", 10 * n + 10)
        assert [kind for kind, _ in changes.faults] == [FaultKind.SYNC]
        assert spool.error is None
        assert spool.metrics.segments == 2
        assert indices(spool.read("a-1", 0, 10**9)) == list(range(50))


async def test_closing_while_the_disk_refuses_says_what_is_lost() -> None:
    files = MemoryFiles()
    spool = Spool.open(FOLDER, SMALL, files)
    spool.start()
    files.fail = lambda call, at: errno.EROFS if call == "create" else 0
    spool.append(block("a-1", 0, 10))
    waits = asyncio.create_task(spool.synced("a-1", 10))
    await asyncio.sleep(0)
    with pytest.raises(SpoolFailed, match=r"samples are lost.*Read-only file system \(EROFS\)"):
        await spool.close()
    with pytest.raises(SpoolFailed, match="closed"):
        await waits
    with pytest.raises(SpoolFailed, match="not open"):
        await spool.synced("a-1", 10)


async def test_a_sync_that_takes_long_holds_up_nobody() -> None:
    """The thread stands in fdatasync; the loop goes on appending and reading."""
    go, entered = threading.Event(), threading.Event()

    class Slow(MemoryFiles):
        def fdatasync(self, fd: int) -> None:
            entered.set()
            assert go.wait(30)
            super().fdatasync(fd)

    async with started(FOLDER, SMALL, Slow()) as (spool, _):
        spool.append(block("a-1", 0, 10))
        assert await asyncio.to_thread(entered.wait, 30)
        for n in range(1, 100):
            spool.append(block("a-1", 10 * n, 10))
        assert spool.durable("a-1") == 0
        assert spool.read("a-1", 0, 1000) == []
        go.set()
        await spool.synced("a-1", 1000)


async def test_what_every_recorder_has_goes_when_it_is_old_enough(tmp_path: Path) -> None:
    options = SpoolOptions(segment_bytes=20_000, reserve_bytes=0, keep_s=0.0)
    async with started(tmp_path, options) as (spool, changes):
        for n in range(100):
            spool.append(block("a-1", 10 * n, 10))
            spool.append(block("b-1", 10 * n, 10))
            if n % 10 == 9:
                await spool.synced("a-1", 10 * n + 10)
                await spool.synced("b-1", 10 * n + 10)
        segments = spool.metrics.segments
        assert segments > 3
        spool.release({"a-1": 1000})
        spool.release({"b-1": 500})
        await changes.until(lambda: _nudged(spool) and spool.metrics.segments < segments)
        known = spool.streams()
        assert 0 < known["b-1"].first_index <= 500
        assert known["a-1"].first_index <= 510
        assert indices(spool.read("b-1", 500, 10**9))[-1] == 999
    assert len(os.listdir(tmp_path)) < segments


def _nudged(spool: Spool) -> bool:
    """The thread looks after old segments once a second; each commit of something new wakes whoever waits."""
    spool.append(block("n-1", spool.metrics.commits, 0))
    return True


async def test_no_disk_left_stops_or_overwrites() -> None:
    for when_full in ("stop", "overwrite"):
        files = MemoryFiles()
        options = SpoolOptions(
            segment_bytes=5000, max_bytes=40_000, reserve_bytes=1000, when_full=when_full, keep_s=9e9
        )
        async with started(FOLDER, options, files) as (spool, changes):
            for n in range(100):
                spool.append(block("a-1", 30 * n, 30))
                await spool.synced("a-1", 30 * n + 30)
            stop = when_full == "stop"
            await changes.until(lambda stop=stop: _nudged(spool) and (spool.exhausted or (not stop and _small(spool))))
            assert spool.exhausted is stop
            assert (FaultKind.EXHAUSTED in [kind for kind, _ in changes.faults]) is stop
            assert (spool.streams()["a-1"].first_index == 0) is stop
            files.space = 10
            await changes.until(lambda: _nudged(spool) and spool.exhausted)
            assert "are to be kept free" in changes.faults[-1][1] or stop


async def test_other_limits_while_it_runs() -> None:
    files = MemoryFiles()
    options = SpoolOptions(segment_bytes=5000, reserve_bytes=0, keep_s=9e9)
    async with started(FOLDER, options, files) as (spool, changes):
        for n in range(20):
            spool.append(block("a-1", 30 * n, 30))
            await spool.synced("a-1", 30 * n + 30)
        assert not spool.exhausted
        spool.use(replace(options, max_bytes=20_000, queue_bytes=1))
        assert not spool.full
        await changes.until(lambda: bool(changes.faults))
        assert changes.faults[0][0] is FaultKind.EXHAUSTED
        assert spool.exhausted
        spool.append(block("a-1", 600, 1))
        assert spool.full
        spool.use(replace(options, max_bytes=20_000, when_full="overwrite"))
        await changes.until(lambda: _nudged(spool) and not spool.exhausted)
        assert _small(spool)
        assert spool.streams()["a-1"].first_index > 0


def _small(spool: Spool) -> bool:
    return spool.metrics.bytes_on_disk <= 40_000


async def test_it_must_be_started_and_is_closed_once(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    with pytest.raises(Refused, match="not started"):
        spool.append(block("a-1", 0, 1))
    await spool.close()
    async with started(tmp_path) as (other, _):
        await other.close()
    assert not any(thread.name == "spool" for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"commit_s": -1.0}, "commit_s is -1.0; accepted: 0 or more"),
        ({"queue_bytes": 0}, "queue_bytes is 0; accepted: more than 0"),
        ({"segment_bytes": 1 << 31}, "segment_bytes is 2147483648; accepted: less than 2 GiB"),
        ({"when_full": "panic"}, "when_full is 'panic'; accepted: stop or overwrite"),
    ],
)
def test_options_that_cannot_be(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        SpoolOptions(**wrong)  # type: ignore[arg-type]


def test_the_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "spool").write_bytes(b"")
    with pytest.raises(SpoolFailed, match="cannot be opened"):
        Spool.open(tmp_path / "spool", files=OsFiles())


async def test_the_end_of_a_technique_is_durable_at_once(tmp_path: Path) -> None:
    """Commits are 1000 s apart, but for it."""
    async with started(tmp_path, SpoolOptions(commit_s=1000.0, reserve_bytes=0)) as (spool, changes):
        spool.append(block("a-1", 0, 10))
        await spool.synced("a-1", 10)
        spool.append(block("a-1", 10, 10))
        spool.append(block("b-1", 0, 10, EndReason.STOPPED))
        await changes.until(lambda: spool.durable("a-1") == 20 and spool.durable("b-1") == 10)
        assert spool.metrics.commits == 2
