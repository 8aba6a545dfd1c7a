"""Chunks stand for their samples: the same curve with them as without."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.analysis.chunks import CHUNK, chunk_of, measured
from bridge.analysis.envelope import Curve, Envelope
from bridge.transfer.codec import part
from bridge.transfer.overview import Overviews, whole_chunks
from drivers.samples import IMPEDANCE_COLUMNS, SAMPLE_COLUMNS, SampleBlock

COUNT = 6 * CHUNK + 300


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


@settings(max_examples=60)
@given(
    st.integers(0, 50),
    st.integers(1, 12),
    st.sampled_from([0.0, 0.1, 0.999, 1.0]),
    st.integers(0, COUNT - 1),
    st.integers(1, COUNT),
    st.integers(1, 8),
    st.integers(0, COUNT),
    st.sets(st.integers(0, 5)),
)
def test_a_curve_with_chunks_is_the_curve_of_the_samples(
    seed: int, techniques: int, blank: float, first: int, span: int, points: int, back: int, unknown: set[int]
) -> None:
    blocks = stream(seed, techniques, blank)
    after, charge_from = min(first + span, COUNT), max(0, first - back)
    of_samples, of_chunks = (Envelope(first, after, points, None, charge_from) for _ in range(2))
    for block in blocks:
        of_samples.add(block)
    position = 0
    for pieces in whole_chunks(blocks):
        begin = pieces[0].first_index
        record = chunk_of(pieces)
        assert record is not None
        if of_chunks.takes(begin) and begin // CHUNK not in unknown:
            for block in blocks:
                if position < block.next_index and block.first_index < begin:
                    of_chunks.add(part(block, 0, begin - block.first_index))
            of_chunks.add_chunks(measured(SAMPLE_COLUMNS), record)
            position = begin + CHUNK
    for block in blocks:
        if position < block.next_index:
            of_chunks.add(block)
    same(of_chunks.curve(), of_samples.curve())
    assert len(of_chunks.curve().index) <= points


def test_chunks_survive_their_writer_and_a_torn_end(tmp_path: Path) -> None:
    """What is damaged is left out, and everything else is there."""

    folder = tmp_path / "overview"
    blocks = stream(1, 3, 0.0)
    overviews = Overviews(folder)
    for block in blocks:
        overviews.note(block)
    overviews.close()
    known = Overviews(folder).read("s")
    assert known is not None
    assert [(column.name, column.unit) for column in known.columns] == [("voltage_v", "V"), ("current_a", "A")]
    assert known.chunks["first"].tolist() == [number * CHUNK for number in range(6)]
    expected = [chunk_of(pieces) for pieces in whole_chunks(blocks)]
    assert known.chunks.tobytes() == b"".join(record.tobytes() for record in expected if record is not None)
    path = folder / "s.overview"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content[:-5])
    left = Overviews(folder).read("s")
    assert left is not None
    assert len(left.chunks) == 4
    path.write_bytes(b"rubbish")
    assert Overviews(folder).read("s") is None
    assert Overviews(folder).read("nothing") is None


def test_other_columns_have_no_chunks(tmp_path: Path) -> None:

    folder = tmp_path / "overview"
    data = {column.name: np.zeros(CHUNK) for column in IMPEDANCE_COLUMNS}
    sweep = SampleBlock.of(IMPEDANCE_COLUMNS, data, stream="s", first_index=2 * CHUNK)
    first = part(stream(1, 1, 0.0)[0], 0, 5)
    assert chunk_of([first, sweep]) is None
    overviews = Overviews(folder)
    ordinary = SampleBlock.of(SAMPLE_COLUMNS, {c.name: np.zeros(2 * CHUNK) for c in SAMPLE_COLUMNS}, stream="s")
    for block in (ordinary, sweep):
        overviews.note(block)
    overviews.close()
    known = Overviews(folder).read("s")
    assert known is not None
    assert known.chunks["first"].tolist() == [0, CHUNK]


@pytest.mark.parametrize(("limit", "left"), [(10**6, ["a", "b", "c"]), (2500, ["b", "c"]), (0, ["c"])])
def test_the_oldest_files_go(tmp_path: Path, limit: int, left: list[str]) -> None:

    folder = tmp_path / "overview"
    folder.mkdir()
    for number, name in enumerate("abc"):
        (folder / f"{name}.overview").write_bytes(bytes(1000))
        os.utime(folder / f"{name}.overview", (number, number))
    overviews = Overviews(folder)
    overviews.note(SampleBlock.of(SAMPLE_COLUMNS, {c.name: np.zeros(1) for c in SAMPLE_COLUMNS}, stream="c"))
    overviews.tidy(limit)
    assert sorted(path.stem for path in folder.iterdir()) == left
    overviews.close()
