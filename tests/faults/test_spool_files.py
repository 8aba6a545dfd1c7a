"""Rows 14 to 16: files of samples that were damaged, have lost their index, or hold a large backlog, at the start."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.transfer import codec
from bridge.transfer.spool import OsFiles, SpoolOptions
from bridge.transfer.spool.format import Kind, Record
from bridge.transfer.spool.log import SegmentLog
from tests.spool.blocks import block

from .archive import Archive, acknowledged, archived, fault_told
from .conftest import RigMaker
from .disk import segments

#: begins every record, and the footer, which is the last one
MAGIC = b"\xf5PBr"
BACKLOG = "pstat-backlog"


def without_footer(path: Path) -> bytes:
    """What is in the file of a daemon that was killed."""
    content = path.read_bytes()
    return content[: content.rindex(MAGIC)]


def torn_tail(path: Path) -> None:
    """Killed in the middle of a write: half of a record behind the others."""
    content = without_footer(path)
    last = content[content.rindex(MAGIC) :]
    path.write_bytes(content + last[: len(last) // 2])


def flipped_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)


def zeroed_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:8192] = bytes(4096)
    path.write_bytes(content)


def flipped_byte_without_footer(path: Path) -> None:
    path.write_bytes(without_footer(path))
    flipped_byte(path)


async def test_14_a_torn_tail(path: RigMaker, tmp_path: Path) -> None:
    """14. The daemon was killed in the middle of a write. The torn end is cut off at the start; nobody has to know,
    since nothing of it was ever told to be durable."""
    async with path("pstat", with_daemon=False) as rig:
        async with rig.running():
            await rig.measured(duration_s="100 s")
        (segment,) = segments(tmp_path / "state")
        torn_tail(segment)
        async with rig.running():
            recovery = rig.daemon.streams.spool.recovery
            assert (recovery.scanned, recovery.torn_bytes > 0, recovery.damage) == (1, True, [])
            blocks = await archived(rig)
            assert (blocks.missing, blocks.replayed) == (0, blocks.received)
            assert (await rig.lab.faults())["open"] == []
            await rig.check(quiet="what was torn was never durable")


@pytest.mark.parametrize("damage", [flipped_byte, flipped_byte_without_footer, zeroed_page])
async def test_14_damage_in_an_old_segment(path: RigMaker, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """14. A byte, or a page, of an old file has changed. Whoever asks for its samples gets all the others and is told
    which are missing; the user sees a fault that says which; the file is kept."""
    async with path("pstat", with_daemon=False) as rig:
        async with rig.running():
            await rig.measured(duration_s="300 s")
        (segment,) = segments(tmp_path / "state")
        assert segment.stat().st_size > 10_000
        damage(segment)
        async with rig.running(), rig.lab.complete_samples(recorder="archive") as blocks:
            archive = Archive()
            await archive.fill(blocks)
            (name,) = archive.streams
            kept, heard = archive.streams[name].rows, rig.recorder.streams[name].rows
            assert 0 < blocks.missing < len(heard) / 2, "no more than what lay there"
            assert blocks.missing == len(heard) - len(kept)
            assert all(repr(row) == repr(heard[index]) for index, row in kept.items())
            gone = sorted(heard.keys() - kept.keys())
            (described,) = [one for one in await rig.lab.request("streams") if one["stream"] == name]
            assert described["missing"] == [[gone[0], gone[-1] + 1, ""]]
            fault = await fault_told(rig, "disk_damage")
            assert segment.name in fault["text"]
            await acknowledged(rig, "disk_damage")
            assert segment.exists(), "for whoever wants to know why"
            await rig.measured()
            await rig.check()


async def test_15_the_index_is_gone(path: RigMaker, tmp_path: Path) -> None:
    """15. The index of the files, which lies in their footers, is gone. It is made again at the start; the user sees
    nothing, and the start after that needs no second look."""
    async with path("pstat", with_daemon=False) as rig:
        for _ in range(2):
            async with rig.running():
                await rig.measured()
        names = segments(tmp_path / "state")
        before = [name.read_bytes() for name in names]
        for name in names:
            name.write_bytes(without_footer(name))
        async with rig.running():
            assert rig.daemon.streams.spool.recovery.scanned == len(names) == 2
            assert [name.read_bytes() for name in names] == before
            blocks = await archived(rig)
            assert (blocks.missing, blocks.replayed) == (0, blocks.received)
            assert (await rig.lab.faults())["open"] == []
            await rig.check(quiet="made again")


def backlog(folder: Path, megabytes: int) -> int:
    """Samples of an earlier daemon, in files of 8 MB; the last one has no footer. Returns how many there are."""
    log = SegmentLog(folder, SpoolOptions(segment_bytes=8_000_000, reserve_bytes=0), OsFiles(), lambda kind, text: None)
    count, size = 0, 2000
    while log.bytes_on_disk <= megabytes * 1_000_000:
        payload = codec.encode(block(BACKLOG, count, size))
        log.commit([Record(Kind.BLOCK, BACKLOG, count, count + size, payload, time.time_ns())])
        count += size
    log.close()
    last = segments(folder.parent)[-1]
    last.write_bytes(without_footer(last))
    return count


async def test_16_a_backlog_at_the_start(path: RigMaker, tmp_path: Path) -> None:
    """16. An earlier daemon has left 30 MB that a recorder has not (a gigabyte would only take longer: no more than the
    last file is read at the start). The daemon is ready at once; new samples do not wait for the old ones; each
    stream comes in order."""
    count = backlog(tmp_path / "state" / "spool", 30)
    async with path("pstat") as rig:
        recovery = rig.daemon.streams.spool.recovery
        assert (recovery.scanned, recovery.damage) == (1, [])
        assert recovery.segments >= 4
        run = await rig.measuring()
        archive, drained, meanwhile = Archive(), 0, 0
        async with rig.lab.complete_samples(recorder="archive") as blocks:
            while drained < count:
                came = await anext(blocks)
                if came.stream == BACKLOG:
                    assert came.first_index == drained
                    assert came["voltage_v"].tobytes() == block(BACKLOG, drained, len(came))["voltage_v"].tobytes()
                    drained = came.next_index
                else:
                    meanwhile += len(came)
                    archive.add(came)
            await run.abort()
            await archive.fill(blocks)
        assert blocks.missing == 0
        assert meanwhile > 10, "new samples did not wait until the old ones had come"
        archive.takes_the_place_of(rig.recorder)
        await rig.check(quiet="nothing is wrong")
