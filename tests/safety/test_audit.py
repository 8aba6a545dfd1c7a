"""The audit: on disk before the act, one sync for many, a chain that shows where it was touched."""

from __future__ import annotations

import asyncio
import errno
import itertools
import json
import math
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.safety.acts import act_of_call
from bridge.safety.audit import Audit, shortened
from bridge.safety.audit_chain import CURRENT, GENESIS, closed_files, line_of, record_of, verify
from bridge.safety.audit_log import AuditLog
from drivers.errors import AuditFailed, MoveFailed

ACT = act_of_call("stage", "stage", "move_by", {"x_m": 1e-6}, by="alice")


class Disk:
    """Counts syncs, can hold them up, and can fail them."""

    def __init__(self) -> None:
        self.syncs = 0
        self.fail: set[int] = set()
        self.error = errno.EIO
        self.gate = threading.Event()
        self.gate.set()

    def sync(self, fd: int) -> None:
        assert self.gate.wait(30)
        self.syncs += 1
        if self.syncs in self.fail:
            raise OSError(self.error, os.strerror(self.error))
        os.fsync(fd)


def clock_ns() -> Callable[[], int]:
    ticks = itertools.count(1)
    return lambda: next(ticks)


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
async def audit(tmp_path: Path, disk: Disk) -> AsyncIterator[Audit]:
    audit = Audit(tmp_path, clock_ns(), sync=disk.sync)
    await audit.open()
    yield audit
    disk.gate.set()
    await audit.close()


def records(folder: Path) -> list[dict[str, Any]]:
    files = [*closed_files(folder), folder / CURRENT]
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


async def test_an_intent_is_on_disk_when_it_returns_and_has_an_outcome(tmp_path: Path, audit: Audit) -> None:
    number = await audit.intent(ACT, lease="ab12", fence=7, rules=["tip-clear", "touch-alarm"])
    (intent,) = records(tmp_path)
    assert (intent["kind"], intent["act"], intent["by"], intent["fence"]) == ("intent", "stage.move_by", "alice", 7)
    assert intent["arguments"] == {"x_m": 1e-6}
    assert intent["previous"] == GENESIS
    await audit.outcome(number, MoveFailed("it ended elsewhere", device="stage", position={"x_m": math.nan}))
    outcome = records(tmp_path)[-1]
    assert (outcome["of"], outcome["done"], outcome["error"]["error"]) == (number, False, "MoveFailed")
    assert outcome["previous"] == intent["hash"]
    assert verify(tmp_path).ok
    assert audit.head == (2, outcome["hash"])


async def test_acts_that_come_together_share_a_sync(tmp_path: Path, audit: Audit, disk: Disk) -> None:
    before = disk.syncs
    numbers = await asyncio.gather(*(audit.intent(ACT) for _ in range(100)))
    assert sorted(numbers) == list(range(1, 101))
    assert disk.syncs - before <= 2
    assert verify(tmp_path).records == 100


async def test_a_note_waits_for_nothing(tmp_path: Path, audit: Audit, disk: Disk) -> None:
    disk.gate.clear()
    noted = audit.note("emergency_stop", by="alice", reason="smoke")
    await asyncio.sleep(0)
    assert not noted.done()
    disk.gate.set()
    assert await noted == 1
    assert records(tmp_path)[0]["reason"] == "smoke"


async def test_who_gives_up_waiting_leaves_the_record_whole(tmp_path: Path, audit: Audit, disk: Disk) -> None:
    disk.gate.clear()
    waiting = asyncio.create_task(audit.intent(ACT))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    disk.gate.set()
    await audit.intent(ACT)
    assert verify(tmp_path).records == 2


async def test_it_goes_on_where_it_ended(tmp_path: Path) -> None:
    for _ in range(3):
        audit = Audit(tmp_path, clock_ns())
        await audit.open()
        await audit.intent(ACT)
        await audit.close()
    found = verify(tmp_path)
    assert (found.ok, found.records, found.first_seq, found.last_seq) == (True, 3, 1, 3)


async def test_files_are_closed_at_a_size_and_the_chain_goes_through(tmp_path: Path) -> None:
    audit = Audit(tmp_path, clock_ns(), max_bytes=2000)
    await audit.open()
    for _ in range(40):
        await audit.intent(ACT)
    await audit.close()
    assert len(closed_files(tmp_path)) > 5
    found = verify(tmp_path)
    assert found.ok
    assert found.records == 40 + len(closed_files(tmp_path))
    closed_files(tmp_path)[0].unlink()
    later = verify(tmp_path)
    assert later.ok
    assert later.first_seq > 1


def test_closed_files_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (2, 10, 999_999, 1_000_000):
        (tmp_path / f"audit-{number:06d}.jsonl").touch()
    (tmp_path / "audit-notes.jsonl").touch()
    assert [path.name for path in closed_files(tmp_path)] == [
        "audit-000002.jsonl",
        "audit-000010.jsonl",
        "audit-999999.jsonl",
        "audit-1000000.jsonl",
    ]


# --- a disk that fails -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
async def test_an_act_that_could_not_be_written_is_refused_and_the_next_one_is_not(
    tmp_path: Path, audit: Audit, disk: Disk, error: int
) -> None:
    await audit.intent(ACT)
    disk.error = error
    disk.fail = {disk.syncs + 1}
    with pytest.raises(AuditFailed, match=os.strerror(error)):
        await audit.intent(ACT)
    await audit.intent(ACT)
    found = verify(tmp_path)
    assert found.ok, found.broken
    assert [one["kind"] for one in records(tmp_path)] == ["intent", "intent", "failed", "intent"]
    assert len(closed_files(tmp_path)) == 1


async def test_a_disk_that_goes_on_failing_is_told_each_time_and_nothing_is_lost(
    tmp_path: Path, audit: Audit, disk: Disk
) -> None:
    await audit.intent(ACT)
    disk.fail = set(range(disk.syncs + 1, disk.syncs + 8))
    for _ in range(4):
        with pytest.raises(AuditFailed):
            await audit.intent(ACT)
    disk.fail = set()
    await audit.intent(ACT)
    found = verify(tmp_path)
    assert found.ok, found.broken
    assert records(tmp_path)[-1]["kind"] == "intent"


async def test_a_note_that_could_not_be_written_is_logged(
    audit: Audit, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.fail = {disk.syncs + 1}
    noted = audit.note("emergency_stop", by="alice")
    await asyncio.wait([noted])
    await asyncio.sleep(0)
    assert "not in the audit" in caplog.text


async def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    audit = Audit(tmp_path / "file" / "audit")
    with pytest.raises(AuditFailed):
        await audit.open()


# --- after a crash, and after a hand ---------------------------------------------------------------------------------


def written(folder: Path, count: int = 4) -> bytes:
    log = AuditLog(folder, clock_ns())
    log.open()
    log.append([{"kind": "intent", "act": f"stage.move_{number}"} for number in range(count)])
    log.close()
    return (folder / CURRENT).read_bytes()


def test_a_torn_last_line_is_set_aside_wherever_it_is_cut(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole")
    last = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    for cut in range(last + 1, len(whole)):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / CURRENT).write_bytes(whole[:cut])
        log = AuditLog(folder, clock_ns())
        opening = log.open()
        log.append([{"kind": "intent"}])
        log.close()
        assert opening.torn is not None
        assert opening.torn.read_bytes() == whole[last:cut]
        assert not opening.damaged
        found = verify(folder)
        assert found.ok, found.broken
        assert [one["kind"] for one in records(folder)] == ["intent", "intent", "intent", "torn", "intent"]


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    whole = written(tmp_path)
    for position in range(len(whole) - 1):
        touched = bytearray(whole)
        touched[position] ^= 0x01
        (tmp_path / CURRENT).write_bytes(touched)
        assert not verify(tmp_path).ok, f"byte {position}, {chr(whole[position])!r}"


def test_a_line_that_was_taken_out_put_in_or_swapped_is_found(tmp_path: Path) -> None:
    lines = written(tmp_path).splitlines(keepends=True)
    forged, _ = line_of({"kind": "intent", "by": "eve"}, 2, json.loads(lines[0])["hash"])
    for touched in (
        [lines[0], *lines[2:]],
        [lines[0], lines[2], lines[1], lines[3]],
        [lines[0], lines[1], *lines[1:]],
        [lines[0], forged, *lines[2:]],
        [lines[0], b"\n", *lines[1:]],
    ):
        (tmp_path / CURRENT).write_bytes(b"".join(touched))
        found = verify(tmp_path)
        assert CURRENT in found.broken
        assert found.records >= 1


def test_an_end_that_was_cut_off_shows_by_the_hash_that_was_kept_elsewhere(tmp_path: Path) -> None:
    lines = written(tmp_path).splitlines(keepends=True)
    kept = verify(tmp_path).last_hash
    (tmp_path / CURRENT).write_bytes(b"".join(lines[:-1]))
    assert verify(tmp_path).ok
    assert verify(tmp_path).last_hash != kept


def test_a_damaged_file_is_closed_as_it_is_and_told(tmp_path: Path) -> None:
    whole = bytearray(written(tmp_path))
    whole[10] ^= 0x01
    (tmp_path / CURRENT).write_bytes(whole)
    log = AuditLog(tmp_path, clock_ns())
    opening = log.open()
    log.append([{"kind": "intent"}])
    log.close()
    assert "line 1" in opening.damaged
    (closed,) = closed_files(tmp_path)
    assert closed.read_bytes() == whole
    assert json.loads((tmp_path / CURRENT).read_text().splitlines()[0])["kind"] == "damaged"
    assert "audit-000001.jsonl, line 1" in verify(tmp_path).broken


# --- what stands in it -----------------------------------------------------------------------------------------------

_VALUE = st.none() | st.integers() | st.floats() | st.text(max_size=12)
_VALUES = _VALUE | st.lists(_VALUE, max_size=3) | st.dictionaries(st.text(max_size=5), _VALUE, max_size=3)


@given(st.dictionaries(st.text(max_size=5), _VALUES, max_size=3))
def test_whatever_a_client_says_is_one_line_that_reads_back(fields: dict[str, Any]) -> None:
    kept = {str(name): shortened(value) for name, value in fields.items()}
    line, digest = line_of(kept, 1, GENESIS)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert line.isascii()
    assert record_of(line[:-1])["hash"] == digest


@pytest.mark.parametrize(
    "reason", ['"}\n{"kind":"outcome","done":true}', "\r\n", "\x00\x1b[31m", "\ud800", "é", "x" * 10_000]
)
async def test_no_text_forges_a_line(tmp_path: Path, audit: Audit, reason: str) -> None:
    await audit.record("take_over", by="eve", reason=reason)
    await audit.record("take_over", by="eve", reason="after it")
    assert verify(tmp_path).records == 2
    assert (tmp_path / CURRENT).read_bytes().count(b"\n") == 2
    assert max(map(len, (tmp_path / CURRENT).read_bytes().splitlines())) < 4000


async def test_what_has_no_json_form_is_told_as_text(tmp_path: Path, audit: Audit) -> None:
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    await audit.record("odd", one=object(), many=list(range(1_000_000)), big=10**5000, deep=deep, loop=audit)
    (odd,) = records(tmp_path)
    assert "object" in odd["one"]
    assert odd["many"][-1] == "... 1000000 in all"


def test_a_line_of_another_hand_is_no_record() -> None:
    for line in (
        b"",
        b"[]",
        b"{}",
        b'{"seq":"1"}',
        b"\xff",
        b"[" * 100_000,
        b'{"seq":1,"seq":1}',
        b'{"seq": 1}',
        b"NaN",
    ):
        with pytest.raises(ValueError, match="it "):
            record_of(line)
