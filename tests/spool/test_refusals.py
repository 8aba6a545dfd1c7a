"""The n-th call of the disk fails, for every n, once or from there on; afterwards everything is as it should be."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from bridge.transfer.spool.faults import FaultKind, SpoolFailed
from bridge.transfer.spool.format import Record

from .blocks import everything, indices, opened, record
from .memory_files import MemoryFiles

TOTAL = 30
Fail = Callable[[str, int], int]


def groups() -> list[list[Record]]:
    return [[record("a-1", 3 * n, 3), record("b-1", 3 * n, 3)] for n in range(TOTAL // 3)]


def session(files: MemoryFiles, told: list[tuple[FaultKind, str]], patience: int = 200) -> dict[str, int]:
    """Opened, written, read, tended and closed; what the disk refuses is tried again. Returns what is durable."""
    reached: dict[str, int] = {}
    log = opened(files, told=told)
    for records in groups():
        while records:
            patience -= 1
            assert patience
            try:
                count, now = log.commit(records)
            except OSError:
                continue
            reached |= now
            records = records[count:]
        log.tend()
    log.close()
    return reached


def once(number: int, code: int) -> Fail:
    return lambda call, at: code if at == number else 0


def number_of_calls() -> int:
    files = MemoryFiles()
    session(files, [])
    return files.calls


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_each_call_fails_once(code: int) -> None:
    calls = number_of_calls()
    assert calls > 50
    for number in range(1, calls + 1):
        files = MemoryFiles()
        files.fail = once(number, code)
        try:
            reached = session(files, [])
        except SpoolFailed:
            assert number < 4  # the folder cannot be made or read
            continue
        assert reached == {"a-1": TOTAL, "b-1": TOTAL}
        assert files.open_descriptors == 0
        files.fail = lambda call, at: 0
        again = opened(files)
        assert again.recovery.damage == []
        for stream in reached:
            assert indices(everything(again, stream)) == list(range(TOTAL))
        again.close()


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_the_disk_fails_for_a_while_from_each_call_on(code: int) -> None:
    """Writes, syncs and new files fail ten times; reading goes on."""
    for number in range(4, number_of_calls(), 3):
        files = MemoryFiles()
        refused = 0

        def fail(call: str, at: int, number: int = number) -> int:
            nonlocal refused
            if at < number or refused >= 10 or call in ("read", "size", "open", "close", "names", "free"):
                return 0
            refused += 1
            return code

        files.fail = fail
        assert session(files, []) == {"a-1": TOTAL, "b-1": TOTAL}
        assert files.open_descriptors == 0
        again = opened(files.copy())
        assert indices(everything(again, "a-1")) == list(range(TOTAL))
        assert again.recovery.damage == []


def test_each_call_of_the_recovery_fails() -> None:
    """Nothing is lost for the next start, whatever this one could not do."""
    files = MemoryFiles()
    log = opened(files)
    for records in groups():
        while records:
            records = records[log.commit(records)[0] :]
    torn = files.copy()  # the last segment is open
    counting = torn.copy()
    opened(counting)
    for number in range(1, counting.calls + 1):
        disk = torn.copy()
        disk.fail = once(number, errno.EIO)
        try:
            first = opened(disk)
        except SpoolFailed:
            assert number < 4
            continue
        assert disk.open_descriptors == 0
        assert first.recovery.notes or first.recovery.damage or first.recovery.segments == 2
        disk.fail = lambda call, at: 0
        again = opened(disk)
        assert indices(everything(again, "b-1")) == list(range(TOTAL))
    log.close()


def test_a_segment_whose_sync_failed_is_left() -> None:
    files, told = MemoryFiles(), list[tuple[FaultKind, str]]()
    log = opened(files, told=told)
    log.commit([record("a-1", 0, 3)])
    files.fail = lambda call, at: errno.EIO if call == "fdatasync" else 0
    with pytest.raises(OSError, match="Input/output"):
        log.commit([record("a-1", 3, 3)])
    files.fail = lambda call, at: 0
    assert indices(everything(log, "a-1")) == [0, 1, 2]
    log.commit([record("a-1", 3, 3)])
    assert log.segments == 2
    assert [kind for kind, _ in told] == [FaultKind.SYNC]
    assert "000000000001.seg" in told[0][1]
    assert "EIO" in told[0][1]
    assert indices(everything(log, "a-1")) == list(range(6))
    log.close()


def test_a_record_that_did_not_fit_is_cut_and_written_again_into_the_same_segment() -> None:
    files = MemoryFiles()
    log = opened(files)
    log.commit([record("a-1", 0, 3)])
    length = len(record("a-1", 0, 3))
    files.fail = once(files.calls + 1, errno.ENOSPC)
    with pytest.raises(OSError, match="No space"):
        log.commit([record("a-1", 3, 3)])
    assert len(files.content("000000000001.seg")) == 32 + length
    log.commit([record("a-1", 3, 3)])
    assert log.segments == 1
    assert indices(everything(log, "a-1")) == list(range(6))
    log.close()


def test_a_folder_that_cannot_be_read_is_an_error_of_ours() -> None:
    files = MemoryFiles()
    files.fail = lambda call, at: errno.EACCES if call == "names" else 0
    with pytest.raises(SpoolFailed, match=r"cannot be opened: Permission denied \(EACCES\)"):
        opened(files)


def test_a_segment_that_cannot_be_read_is_said_and_tried_again() -> None:
    files = MemoryFiles()
    session(files, [])
    log = opened(files)
    files.fail = lambda call, at: errno.EIO if call == "read" else 0
    with pytest.raises(SpoolFailed, match="samples of a-1 cannot be read"):
        log.read("a-1", 0, 1000)
    files.fail = lambda call, at: 0
    assert indices(everything(log, "a-1")) == list(range(TOTAL))
    assert files.open_descriptors == 0
