"""Whatever a power cut leaves: all that was acknowledged, nothing that was not written, no gap, every bit.

The log writes to a disk in memory that knows what was synced. After every single change of it the power is cut, in
several ways: nothing, all, or any part of what was not synced is there, sector by sector and name by name. Some 4700
disks in all, each of which is recovered and read.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Mapping

import pytest

from bridge.transfer.spool.format import Record
from bridge.transfer.spool.log import SegmentLog

from .blocks import everything, indices, opened, record
from .memory_files import MemoryFiles

#: Of each moment: with what probability a sector that was not synced is there.
KEPT = (0.0, 1.0, *(0.5,) * 8, *(0.9,) * 6, *(0.1,) * 4)
STREAMS = ("a-1", "b-1")


class Scene:
    """Writes groups of records and remembers of what it was told that it is durable."""

    def __init__(self, files: MemoryFiles, kept: tuple[float, ...], seed: int = 1) -> None:
        self.cases = 0
        self.acknowledged = dict.fromkeys(STREAMS, 0)
        self.written = dict.fromkeys(STREAMS, 0)
        self.floor: Mapping[str, int] = dict.fromkeys(STREAMS, 0)
        self.rng = random.Random(seed)
        self.payloads: dict[tuple[str, int], bytes] = {}
        self._files = files
        self._kept = kept

    def run(self, log: SegmentLog, groups: int) -> None:
        for _ in range(groups):
            records = [self._next(stream) for stream in STREAMS for _ in range(self.rng.randrange(3))]
            attempts = 0
            while records:
                try:
                    count, reached = log.commit(records)
                except OSError:
                    attempts += 1
                    assert attempts < 20
                    continue
                records = records[count:]
                self.acknowledged |= reached

    def cut(self) -> None:
        for keep in self._kept:
            self.cases += 1
            self.check(self._files.after_power_cut(self.rng, keep))

    def check(self, found: MemoryFiles) -> None:
        log = opened(found)
        assert log.recovery.damage == []
        assert log.recovery.notes == []
        for stream in STREAMS:
            stored = everything(log, stream)
            got = indices(stored)
            first, after = (got[0], got[-1] + 1) if got else (self.floor[stream], self.floor[stream])
            assert got == list(range(first, after))
            assert first <= self.floor[stream]
            assert self.acknowledged[stream] <= max(after, self.floor[stream]) <= self.written[stream]
            assert all(self.payloads[stream, at] == payload for at, _, payload in stored)
            known = log.ranges().get(stream)
            assert known is None or (known.first_index, known.next_index, known.missing) == (first, after, ())
        log.close()
        assert found.open_descriptors == 0

    def _next(self, stream: str) -> Record:
        made = record(stream, self.written[stream], self.rng.choice((1, 7, 30)))
        self.written[stream] = made.next_index
        self.payloads[stream, made.first_index] = made.payload
        return made


def test_after_every_change_and_any_loss() -> None:
    files = MemoryFiles()
    scene = Scene(files, KEPT)
    log = opened(files)
    files.changed = scene.cut
    scene.run(log, 20)
    log.close()
    assert scene.cases > 1500
    files.changed = lambda: None
    assert log.segments >= 4
    assert indices(everything(log, "a-1")) == list(range(scene.written["a-1"]))


def test_a_closed_log_need_not_be_read_whole_after_a_power_cut() -> None:
    files = MemoryFiles()
    scene = Scene(files, ())
    log = opened(files)
    scene.run(log, 5)
    log.close()
    after = opened(files.after_power_cut(scene.rng, 0.0))
    assert after.recovery.scanned == 0
    assert after.recovery.records == len(scene.payloads)


def test_while_old_segments_are_let_go() -> None:
    files = MemoryFiles()
    scene = Scene(files, (0.0, 1.0, 0.5, 0.5, 0.5))
    log = opened(files, keep_s=0.0)
    files.changed = scene.cut
    for _ in range(4):
        scene.run(log, 5)
        scene.floor = dict(scene.acknowledged)
        log.release(scene.floor)
        log.tend()
    log.close()
    log.tend()
    files.changed = lambda: None
    assert log.segments == 0


def test_while_the_disk_refuses_to_sync() -> None:
    """Each sync in turn fails; what it was to make durable is lost for good, whatever the next one says."""
    cases = 0
    for failing in range(1, 60):
        files, syncs = MemoryFiles(), 0

        def fail(call: str, number: int, failing: int = failing) -> int:
            nonlocal syncs
            syncs += call in ("fdatasync", "fsync", "sync_folder")
            return errno.EIO if syncs == failing and "sync" in call else 0

        scene = Scene(files, (0.0, 0.5, 1.0))
        log = opened(files)
        files.fail, files.changed = fail, scene.cut
        scene.run(log, 6)
        log.close()
        cases += scene.cases
        if syncs < failing:
            break
    else:
        pytest.fail("the syncs never ended")
    assert failing > 10
    assert cases > 1000


def test_again_during_the_recovery() -> None:
    """The second power cut hits while what the first left is being repaired."""
    cases = 0
    first = MemoryFiles()
    scene = Scene(first, KEPT)
    found: list[MemoryFiles] = []
    first.changed = lambda: found.append(first.after_power_cut(scene.rng, 0.6))
    log = opened(first)
    moments: list[tuple[MemoryFiles, dict[str, int], dict[str, int]]] = []

    def note() -> None:
        disk = first.after_power_cut(scene.rng, 0.6)
        moments.append((disk, dict(scene.acknowledged), dict(scene.written)))

    first.changed = note
    scene.run(log, 8)
    first.changed = lambda: None
    log.close()
    for disk, acknowledged, written in moments:
        second = Scene(disk, (0.0, 0.5, 0.5, 1.0))
        second.acknowledged, second.written, second.payloads = acknowledged, written, scene.payloads
        disk.changed = second.cut
        opened(disk).close()
        cases += second.cases
    assert cases > 300


def test_a_log_without_the_sync_is_found_out() -> None:
    """The disk is worth something: without fdatasync, without the folder's, it loses what was acknowledged."""

    class Forgets(MemoryFiles):
        forgotten = ""

        def fdatasync(self, fd: int) -> None:
            if self.forgotten != "fdatasync":
                super().fdatasync(fd)

        def sync_folder(self, folder: object) -> None:
            if self.forgotten != "sync_folder":
                super().sync_folder(folder)  # type: ignore[arg-type]

    def lost(forgotten: str) -> None:
        files = Forgets()
        files.forgotten = forgotten
        scene = Scene(files, (0.0, 0.5))
        log = opened(files)
        files.changed = scene.cut
        scene.run(log, 5)

    checks: list[Callable[[], None]] = [lambda: lost("fdatasync"), lambda: lost("sync_folder")]
    for check in checks:
        with pytest.raises(AssertionError):
            check()
    lost("nothing")
