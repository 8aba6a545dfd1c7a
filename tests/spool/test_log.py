"""Segments in their order, their index, their age, and readers in other threads."""

from __future__ import annotations

import threading
from pathlib import Path

from bridge.transfer.spool.coverage import Coverage
from bridge.transfer.spool.files import OsFiles
from bridge.transfer.spool.format import Kind, Record
from bridge.transfer.spool.log import SegmentLog
from bridge.transfer.spool.options import SpoolOptions
from bridge.transfer.spool.segment import Index, segment_name, segment_number

from .blocks import FOLDER, everything, indices, opened, record
from .memory_files import MemoryFiles


def write(log: SegmentLog, stream: str, first: int, after: int, step: int = 5) -> None:
    for index in range(first, after, step):
        log.commit([record(stream, index, step)])


def test_order_across_9_to_10_and_99_to_100_and_over_restarts() -> None:
    files = MemoryFiles()
    for start in range(0, 525, 35):  # the log is opened anew every seven records
        log = opened(files, segment_bytes=10)
        write(log, "a-1", start, start + 35)
        log.close()
    assert len(files.names(FOLDER)) == 105
    assert sorted(files.names(FOLDER))[-1] == segment_name(105)
    for _ in range(2):
        before = {name: files.content(name) for name in files.names(FOLDER)}
        log = opened(files)
        assert indices(everything(log, "a-1", 900)) == list(range(525))
        assert log.ranges()["a-1"] == (0, 525, (), "a")
        log.close()
        assert {name: files.content(name) for name in files.names(FOLDER)} == before, "a restart changes nothing"


def test_numbers_are_not_used_again_while_a_file_of_that_number_is_there() -> None:
    files = MemoryFiles()
    log = opened(files, segment_bytes=10)
    write(log, "a-1", 0, 50)
    log.close()
    files.rename(FOLDER / segment_name(10), FOLDER / f"{segment_name(10)}.aside")
    log = opened(files)
    write(log, "a-1", 50, 55)
    assert segment_name(11) in files.names(FOLDER)
    log.close()


def test_names_of_segments() -> None:
    assert segment_number("000000000010.seg") == 10
    for name in ("10.seg", "000000000010.seg.aside", "00000000001x.seg", "0000000000010.seg", ""):
        assert segment_number(name) is None


def test_a_segment_is_closed_when_it_is_old() -> None:
    files, now = MemoryFiles(), [0]
    options = SpoolOptions(segment_s=600.0, reserve_bytes=0)
    log = SegmentLog(FOLDER, options, files, lambda kind, text: None, monotonic_ns=lambda: now[0])
    write(log, "a-1", 0, 10)
    now[0] = 599 * 10**9
    log.tend()
    write(log, "a-1", 10, 20)
    assert log.segments == 1
    now[0] = 600 * 10**9
    log.tend()
    assert opened(files).recovery.scanned == 0
    write(log, "a-1", 20, 30)
    assert log.segments == 2
    log.close()


def test_what_is_kept_longer_than_recorders_need_it() -> None:
    files, wall_ns = MemoryFiles(), 10**18
    options = SpoolOptions(segment_bytes=10, keep_s=100.0, reserve_bytes=0)
    log = SegmentLog(FOLDER, options, files, lambda kind, text: None, wall_ns=lambda: wall_ns)
    for n in range(10):
        log.commit([record("a-1", 5 * n, 5, wall_ns=wall_ns - 10**9 * (200 - 20 * n))])
    log.close()
    log.release({"a-1": 45})
    log.tend()
    # of nine that nobody needs, those are kept that are younger than 100 s
    assert log.ranges()["a-1"].first_index == 30
    log.release({"a-1": 0})
    log.tend()
    assert indices(everything(log, "a-1")) == list(range(30, 50))


def test_a_segment_between_others_may_go() -> None:
    """One stream that nobody fetches holds its own segments, not those of the others."""
    files = MemoryFiles()
    log = opened(files, segment_bytes=10, keep_s=0.0)
    write(log, "a-1", 0, 10)
    write(log, "old-1", 0, 5)
    write(log, "a-1", 10, 30)
    log.commit([record("a-1", 30, 5)])
    log.close()
    log.release({"a-1": 35})
    log.tend()
    assert list(log.ranges()) == ["old-1"]
    assert indices(everything(log, "old-1")) == list(range(5))


def test_reading_begins_near_the_index() -> None:
    """Of a segment of 2 MB a little is read."""
    files = MemoryFiles()
    log = opened(files, segment_bytes=10_000_000)
    for n in range(400):
        log.commit([record("a-1", 100 * n, 100), record("b-1", 100 * n, 100)])
    log.close()
    disk = _Counting(files)
    log = opened(disk)
    for index in (0, 1, 99, 100, 101, 20_000, 39_999):
        disk.bytes_read = 0
        stored = log.read("b-1", index, 1)
        assert [each[:2] for each in stored] == [(index // 100 * 100, index // 100 * 100 + 100)]
        assert disk.bytes_read < 600_000
    assert log.read("b-1", 40_000, 1) == []


class _Counting(MemoryFiles):
    def __init__(self, other: MemoryFiles) -> None:
        super().__init__()
        self.bytes_read = 0
        for name in other.names(FOLDER):
            self._add(name, other.content(name))

    def read(self, fd: int, size: int, position: int) -> bytes:
        data = super().read(fd, size, position)
        self.bytes_read += len(data)
        return data


def test_readers_in_other_threads_see_what_is_durable_while_it_is_written_and_let_go(tmp_path: Path) -> None:
    log = opened(OsFiles(), tmp_path, segment_bytes=20_000, keep_s=0.0)
    done, failures = threading.Event(), list[BaseException]()

    def follow() -> None:
        try:
            position = 0
            while position < 4000:
                known = log.next_index("a-1")
                stored = log.read("a-1", position, 5000)
                assert stored or known <= position
                for first, after, _ in stored:
                    assert first == position
                    position = after
                indices(stored)
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=follow) for _ in range(3)]
    for reader in readers:
        reader.start()
    write(log, "a-1", 0, 4000, 20)
    for reader in readers:
        reader.join(60)
    done.set()
    log.close()
    assert failures == []
    log.release({"a-1": 4000})
    log.tend()
    assert log.segments == 0
    assert list(tmp_path.iterdir()) == []


def test_records_of_kinds_that_are_not_known_are_passed_over_and_kept() -> None:
    files = MemoryFiles()
    log = opened(files)
    log.commit([record("a-1", 0, 5), Record(77, "a-1", 5, 5, b"of a later version"), record("a-1", 5, 5)])
    log.commit([Record(Kind.GAP, "a-1", 10, 12, "\N{DEGREE SIGN}".encode())])
    assert indices(everything(log, "a-1")) == list(range(10))
    again = opened(files.copy())
    assert again.recovery.records == 4
    assert again.ranges()["a-1"].missing[0].reason == "\N{DEGREE SIGN}"
    log.close()


def test_an_index_begins_before_what_is_looked_for() -> None:
    index = Index()
    for n in range(100):
        index.note(Record(Kind.BLOCK, "a", 10 * n, 10 * n + 10, bytes(30_000)), 1000 * n + 32)
    entries = index.describe("a")
    assert len(entries) == 2 * 34
    for wanted in range(0, 1000, 7):
        assert index.begin("a", wanted) <= 1000 * (max(0, wanted - 1) // 10) + 32
        assert index.begin("a", wanted) >= 1000 * (wanted // 10 - 4) + 32
    assert index.begin("b", 5) == 32


def test_coverage() -> None:
    covered = Coverage([(10, 20), (30, 40), (20, 25), (5, 5)])
    assert list(covered) == [(10, 25), (30, 40)]
    covered.add(24, 31)
    assert list(covered) == [(10, 40)]
    covered.remove(15, 20)
    assert list(covered) == [(10, 15), (20, 40)]
    assert covered.missing(0, 50) == [(0, 10), (15, 20), (40, 50)]
    assert covered.missing(12, 15) == []
    assert Coverage().missing(3, 4) == [(3, 4)]
    assert not Coverage()


def test_what_is_in_two_segments_is_read_once_and_stays_when_the_first_goes() -> None:
    """As after a sync that failed and a power cut: the tail is in the file that was left and in the next one."""
    one, other = MemoryFiles(), MemoryFiles()
    log = opened(one)
    write(log, "a-1", 0, 20)
    log.close()
    log = opened(other, segment_bytes=10)
    write(log, "b-1", 0, 5)
    log.close()
    log = opened(other)
    write(log, "a-1", 10, 35)
    log.close()
    one._add(segment_name(2), other.content(segment_name(2)))
    log = opened(one, keep_s=0.0)
    assert indices(everything(log, "a-1")) == list(range(35))
    assert log.ranges()["a-1"] == (0, 35, (), "a")
    log.release({"a-1": 20})
    log.tend()
    assert log.ranges()["a-1"] == (10, 35, (), "a")
    assert indices(everything(log, "a-1")) == list(range(10, 35))
