"""Chunks stand for their samples: the same curve with them as without."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.analysis.chunks import LARGE, SMALL, chunk_of, measured
from bridge.analysis.envelope import Curve, Envelope
from bridge.record.overview import Overviews, whole_chunks
from bridge.record.raw import merged
from bridge.transfer.codec import part
from drivers.samples import IMPEDANCE_COLUMNS, SAMPLE_COLUMNS, Column, SampleBlock

COUNT = 6 * LARGE + 300


def stream(seed: int, techniques: int, blank: float) -> list[SampleBlock]:
    """Techniques one after the other, each with a time of its own; a part of the samples has no current."""
    rng = np.random.default_rng(seed)
    edges = sorted({0, COUNT, *rng.integers(1, COUNT, techniques - 1).tolist()})
    blocks = []
    for number, (begin, end) in enumerate(pairwise(edges)):
        count = end - begin
        current = rng.normal(1e-11, 1e-12, count)
        current[rng.random(count) < blank] = np.nan
        data = {
            "time_s": np.cumsum(rng.uniform(0.01, 0.2, count)),
            "voltage_v": rng.normal(3.6, 0.1, count),
            "current_a": current,
            "flags": rng.integers(0, 1024, count),
        }
        start = 10**18 + number * 10**12
        whole = SampleBlock.of(SAMPLE_COLUMNS, data, stream="s", first_index=begin, start_time_ns=start)
        cuts = sorted({0, count, *rng.integers(0, count + 1, 6).tolist()})
        blocks += [part(whole, low, high) for low, high in pairwise(cuts)]
    return blocks


def same(one: Curve, other: Curve) -> None:
    assert (one.start_time_ns, one.missing, dict(one.units)) == (other.start_time_ns, other.missing, dict(other.units))
    for name in ("index", "count", "time_s", "flags"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
    for name in one.units:
        assert one.low[name].tobytes() == other.low[name].tobytes()
        assert one.high[name].tobytes() == other.high[name].tobytes()
    np.testing.assert_allclose(one.charge_c, other.charge_c, rtol=1e-9, atol=1e-22)


def taken(envelope: Envelope) -> list[tuple[int, int]]:
    """Where chunks begin that the envelope takes, and their size."""
    ranges = [(begin, end, size) for size in (SMALL, LARGE) for begin, end in envelope.takes(size)]
    return [
        (first, size)
        for begin, end, size in sorted(ranges)
        for first in range(-(-begin // size) * size, min(end, COUNT) - size + 1, size)
    ]


def fill(envelope: Envelope, blocks: list[SampleBlock], begin: int, end: int) -> None:
    for block in blocks if begin < end else ():
        if begin < block.next_index and block.first_index < end:
            envelope.add(part(block, 0, min(end - block.first_index, len(block))))


@settings(max_examples=40)
@given(
    st.integers(0, 50),
    st.integers(1, 12),
    st.sampled_from([0.0, 0.1, 0.999, 1.0]),
    st.integers(0, COUNT - 1),
    st.integers(1, COUNT),
    st.sampled_from([1, 2, 5, 6, 30, 100]),
    st.integers(0, COUNT),
    st.sets(st.integers(0, 5)),
)
def test_a_curve_with_chunks_is_the_curve_of_the_samples(
    seed: int, techniques: int, blank: float, first: int, span: int, points: int, back: int, unknown: set[int]
) -> None:
    blocks = stream(seed, techniques, blank)
    after, charge_from = min(first + span, COUNT), max(0, first - back)
    of_samples, of_chunks = (Envelope(first, after, points, None, charge_from, one_by_one=10) for _ in range(2))
    for block in blocks:
        of_samples.add(block)
    chunks = {size: whole_chunks(blocks, size) for size in (SMALL, LARGE)}
    position = 0
    for begin, size in taken(of_chunks):
        if begin // LARGE in unknown or begin < position:
            continue
        fill(of_chunks, blocks, position, begin)
        record = chunk_of(chunks[size][begin // size])
        assert record is not None
        of_chunks.add_chunks(measured(SAMPLE_COLUMNS), record, size)
        position = begin + size
    fill(of_chunks, blocks, position, COUNT)
    same(of_chunks.curve(), of_samples.curve())
    assert len(of_chunks.curve().index) <= points


def test_chunks_survive_their_writer_and_a_torn_end(tmp_path: Path) -> None:
    """What is damaged is left out, and everything else is there. Small ones are kept where blocks are."""
    folder = tmp_path / "overview"
    blocks = [part(block, at, at + 30) for block in stream(1, 3, 0.0) for at in range(0, len(block), 30)]
    overviews = Overviews(folder)
    for block in blocks:
        overviews.note(block)
    overviews.close()
    for size, count in ((LARGE, 6), (SMALL, 6 * LARGE // SMALL)):
        known = Overviews(folder).read("s", size, 0, COUNT)
        assert known is not None
        assert [(column.name, column.unit) for column in known.columns] == [("voltage_v", "V"), ("current_a", "A")]
        assert known.chunks["first"].tolist() == [number * size for number in range(count)]
        expected = [chunk_of(pieces) for pieces in whole_chunks(list(merged(blocks)), size)][:count]
        assert known.chunks.tobytes() == b"".join(record.tobytes() for record in expected if record is not None)
    some = Overviews(folder).read("s", SMALL, 65, 4 * SMALL)
    assert some is not None
    assert some.chunks["first"].tolist() == [2 * SMALL, 3 * SMALL]
    path = folder / f"s.{LARGE}.overview"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content[:-5])
    left = Overviews(folder).read("s", LARGE, 0, COUNT)
    assert left is not None
    assert len(left.chunks) == 4
    path.write_bytes(b"rubbish")
    assert Overviews(folder).read("s", LARGE, 0, COUNT) is None
    assert Overviews(folder).read("nothing", LARGE, 0, COUNT) is None


def test_few_blocks_are_read_rather_than_small_chunks(tmp_path: Path) -> None:
    overviews = Overviews(tmp_path)
    overviews.note(zeros(SAMPLE_COLUMNS, LARGE, 0))
    overviews.close()
    assert overviews.read("s", LARGE, 0, LARGE) is not None
    assert overviews.read("s", SMALL, 0, LARGE) is None


def test_other_columns_have_no_chunks(tmp_path: Path) -> None:
    assert chunk_of([zeros(SAMPLE_COLUMNS, 5, 0), zeros(IMPEDANCE_COLUMNS, LARGE, 5)]) is None
    overviews = Overviews(tmp_path / "overview")
    for block in (zeros(SAMPLE_COLUMNS, 2 * LARGE, 0), zeros(IMPEDANCE_COLUMNS, LARGE, 2 * LARGE)):
        overviews.note(block)
    overviews.close()
    known = overviews.read("s", LARGE, 0, 10 * LARGE)
    assert known is not None
    assert known.chunks["first"].tolist() == [0, LARGE]


def zeros(columns: tuple[Column, ...], count: int, first: int) -> SampleBlock:
    return SampleBlock.of(columns, {c.name: np.zeros(count) for c in columns}, stream="s", first_index=first)


@pytest.mark.parametrize(("limit", "left"), [(10**6, ["a", "b", "c"]), (2500, ["b", "c"]), (0, ["c"])])
def test_the_oldest_files_go(tmp_path: Path, limit: int, left: list[str]) -> None:

    folder = tmp_path / "overview"
    folder.mkdir()
    for number, name in enumerate("abc"):
        (folder / f"{name}.64.overview").write_bytes(bytes(1000))
        os.utime(folder / f"{name}.64.overview", (number, number))
    overviews = Overviews(folder)
    overviews.note(SampleBlock.of(SAMPLE_COLUMNS, {c.name: np.zeros(1) for c in SAMPLE_COLUMNS}, stream="c"))
    overviews.tidy(limit)
    assert sorted(path.name[0] for path in folder.iterdir()) == left
    overviews.close()
