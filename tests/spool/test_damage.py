"""Segments that something else has changed: cut anywhere, any byte flipped, pages of zeros, footers gone, nonsense."""

from __future__ import annotations

import random
from bisect import bisect_right
from itertools import accumulate

import google_crc32c
import hypothesis
from hypothesis import strategies as st

from bridge.transfer.spool.faults import FaultKind
from bridge.transfer.spool.log import SegmentLog
from bridge.transfer.spool.segment import Missing

from .blocks import everything, indices, opened, record
from .memory_files import MemoryFiles

FIRST, SECOND, THIRD = (f"{number:012}.seg" for number in (1, 2, 3))
STEP, COUNT = 5, 9
#: Where each record ends in a file that holds COUNT of them.
ENDS = list(accumulate((len(record("a-1", STEP * n, STEP)) for n in range(COUNT)), initial=32))[1:]


def disk(*, closed: bool, count: int = COUNT, together: int = 3) -> MemoryFiles:
    """One segment with records of five samples, durable in groups."""
    files = MemoryFiles()
    log = opened(files, segment_bytes=100_000)
    records = [record("a-1", STEP * n, STEP) for n in range(count)]
    for start in range(0, count, together):
        assert log.commit(records[start : start + together])[0] == len(records[start : start + together])
    if closed:
        log.close()
    return files.copy()


def whole(log: SegmentLog) -> set[int]:
    """The indices that are read, after which the log must say the same of itself."""
    read = indices(everything(log, "a-1"))
    assert read == sorted(set(read))
    if known := log.ranges().get("a-1"):
        gone = {index for first, after, _ in known.missing for index in range(first, after)}
        assert set(read) == set(range(known.first_index, known.next_index)) - gone
    return set(read)


def test_cut_at_every_offset_the_prefix_is_recovered() -> None:
    for closed in (False, True):
        files = disk(closed=closed, together=1)
        content = files.content(FIRST).rstrip(b"\0") if not closed else files.content(FIRST)
        for size in range(len(content)):
            files.overwrite(FIRST, content[:size])
            log = opened(files.copy())
            records = bisect_right(ENDS, size)
            found = everything(log, "a-1")
            assert 0 <= len(found) - records <= (not closed and records == COUNT - 1)  # a zero at the end was cut
            assert indices(found) == list(range(STEP * len(found)))
            assert log.recovery.damage == [] or size < 32


def test_every_byte_flipped_of_a_closed_segment() -> None:
    """One record is lost at most, it is reported as missing, and the file is kept when it is let go."""
    files, told = disk(closed=True), list[tuple[FaultKind, str]]()
    content = files.content(FIRST)
    rng = random.Random(1)
    seen = 0
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1 << rng.randrange(8)
        damaged = files.copy()
        damaged.overwrite(FIRST, bytes(flipped))
        told.clear()
        log = opened(damaged, told=told, keep_s=0.0)
        lost = set(range(STEP * COUNT)) - whole(log)
        hit = bisect_right(ENDS, position)
        if position >= 32 and hit < COUNT:
            assert lost == set(range(STEP * hit, STEP * hit + STEP))
            assert [kind for kind, _ in told] == [FaultKind.DAMAGE]
            assert f"a-1 {STEP * hit} to {STEP * hit + STEP}" in told[0][1]
            assert log.ranges()["a-1"].missing == (Missing(STEP * hit, STEP * hit + STEP),)
            seen += 1
        else:
            assert lost == set()
        if position % 97 == 0:
            log.release({"a-1": 1000})
            log.tend()
            left = damaged.names(log.folder)
            assert list(left) == ([f"{FIRST}.aside"] if position < ENDS[-1] else [])
    assert seen == ENDS[-1] - 32


def test_every_byte_flipped_of_an_open_segment() -> None:
    """As far as it was known to be durable the same holds; behind that nothing is invented."""
    files = disk(closed=False)
    content = files.content(FIRST).rstrip(b"\0")
    for position in range(len(content)):
        flipped = bytearray(files.content(FIRST))
        flipped[position] ^= 0x10
        damaged = files.copy()
        damaged.overwrite(FIRST, bytes(flipped))
        log = opened(damaged)
        lost = set(range(STEP * COUNT)) - whole(log)
        hit = bisect_right(ENDS, position)
        if position < 32:
            assert lost == set()
        elif hit < 6:  # the last three were written together
            assert lost == set(range(STEP * hit, STEP * hit + STEP))
            assert any("damaged" in text for text in log.recovery.damage)
        else:
            assert lost == set(range(STEP * hit, STEP * COUNT))
        first = log.ranges()["a-1"]
        log.close()
        again = opened(damaged)
        assert again.ranges()["a-1"] == first
        assert again.recovery.scanned == 0


def test_a_page_of_zeros_in_an_old_segment() -> None:
    files = MemoryFiles()
    log = opened(files, segment_bytes=20_000)
    for n in range(100):
        log.commit([record("a-1", STEP * n, STEP), record("b-1", STEP * n, STEP)])
    log.close()
    damaged = files.copy()
    content = bytearray(damaged.content(SECOND))
    content[4096:8192] = bytes(4096)
    damaged.overwrite(SECOND, bytes(content))
    told: list[tuple[FaultKind, str]] = []
    log = opened(damaged, told=told)
    lost = set(range(STEP * 100)) - whole(log)
    assert 0 < len(lost) <= STEP * 8
    assert len(indices(everything(log, "b-1"))) >= STEP * 92
    assert len(told) == 1
    assert "4" in told[0][1]


def test_footers_gone_the_segments_are_read_and_closed_again() -> None:
    files = MemoryFiles()
    log = opened(files)
    for n in range(40):
        log.commit([record("a-1", STEP * n, STEP)])
    log.close()
    expected = log.ranges()
    bare = files.copy()
    for name in files.names(log.folder):
        content = files.content(name)
        bare.overwrite(name, content[: content.rindex(b"\xf5PBr")])
    log = opened(bare)
    assert log.recovery.scanned == log.segments >= 4
    assert log.ranges() == expected
    assert indices(everything(log, "a-1")) == list(range(STEP * 40))
    again = opened(bare)
    assert again.recovery.scanned == 0
    assert again.ranges() == expected
    for name in files.names(log.folder):
        assert bare.content(name) == files.content(name)


def test_what_is_no_segment_is_left_alone_and_what_cannot_be_one_is_set_aside() -> None:
    files = disk(closed=True)
    for name in ("notes.txt", "1.seg", SECOND, THIRD, f"{4:012}.seg"):
        files._add(name, b"")
    files.overwrite(SECOND, b"nonsense" * 100)
    files.overwrite("notes.txt", b"mine")
    newer = bytearray(files.content(FIRST))
    newer[8] = 2  # a version; its checksum made right
    newer[28:32] = google_crc32c.value(bytes(newer[:28])).to_bytes(4, "little")
    files.overwrite(THIRD, bytes(newer))
    log = opened(files)
    assert sorted(files.names(log.folder)) == sorted([FIRST, f"{SECOND}.aside", f"{THIRD}.aside", "1.seg", "notes.txt"])
    assert log.recovery.set_aside == [f"{SECOND}.aside", f"{THIRD}.aside"]
    assert any("format 2; accepted: 1" in text for text in log.recovery.damage)
    assert len(whole(log)) == STEP * COUNT
    log.commit([record("a-1", STEP * COUNT, STEP)])
    assert f"{5:012}.seg" in files.names(log.folder)
    log.close()


@hypothesis.settings(max_examples=300)
@hypothesis.given(st.data())
def test_any_bytes_give_values_or_a_reported_damage(data: st.DataObject) -> None:
    """Whole nonsense, or a real segment with parts of it replaced, doubled or gone. The disk in memory refuses to read
    more than the file holds."""
    content = disk(closed=data.draw(st.booleans()), count=4).content(FIRST)[:4000]
    base = data.draw(st.sampled_from([b"", content, content.rstrip(b"\0")]))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(base)))
        end = data.draw(st.integers(start, min(len(base), start + 600)))
        piece = data.draw(st.one_of(st.binary(max_size=80), st.just(base[start:end] * 2), st.just(content[:700])))
        base = base[:start] + piece + base[end:]
    files = disk(closed=True, count=1)
    files.overwrite(FIRST, base)
    log = opened(files)
    whole_or_less = {stream: everything(log, stream) for stream in log.ranges()}
    log.close()
    for stored in whole_or_less.values():
        assert all(first <= after for first, after, _ in stored)
    again = opened(files)
    assert {stream: everything(again, stream) for stream in again.ranges()} == whole_or_less
