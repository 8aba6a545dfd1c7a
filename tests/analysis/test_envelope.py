"""The envelope against what numpy says of all samples at once, however the blocks are cut."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.analysis.envelope import Curve, Envelope
from bridge.transfer.codec import part
from drivers.samples import SAMPLE_COLUMNS, SampleBlock
from tests.near import near

FIRST = 1000


def samples(count: int, seed: int = 0) -> SampleBlock:
    """Of a cell at pA: noise, some samples without a number, some flags."""
    rng = np.random.default_rng(seed)
    current = rng.normal(1e-11, 1e-12, count)
    current[rng.random(count) < 0.05] = np.nan
    data = {
        "time_s": np.cumsum(rng.uniform(0.01, 0.2, count)),
        "voltage_v": rng.normal(3.6, 0.1, count),
        "current_a": current,
        "flags": rng.integers(0, 1024, count),
    }
    return SampleBlock.of(SAMPLE_COLUMNS, data, stream="s", first_index=FIRST, start_time_ns=5)


def curve(block: SampleBlock, cuts: list[int], first: int, after: int, points: int, charge_from: int | None) -> Curve:
    envelope = Envelope(first, after, points, None, charge_from)
    for begin, end in zip([0, *cuts], [*cuts, len(block)], strict=True):
        envelope.add(part(block, begin, end))
    return envelope.curve()


@given(st.data())
def test_each_bucket_has_the_least_and_the_greatest_of_its_samples(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 200))
    block = samples(count, data.draw(st.integers(0, 5)))
    cuts = sorted(data.draw(st.lists(st.integers(0, count), max_size=8)))
    first = FIRST + data.draw(st.integers(0, count - 1))
    after = data.draw(st.integers(first + 1, FIRST + count))
    points = data.draw(st.integers(1, 50))
    got = curve(block, cuts, first, after, points, FIRST)
    assert len(got.index) <= points
    assert got.missing == []
    assert got.count.sum() == after - first
    bounds = [*got.index.tolist(), after]
    assert bounds[0] == first
    for bucket, (begin, end) in enumerate(pairwise(bounds)):
        rows = slice(begin - FIRST, end - FIRST)
        assert got.count[bucket] == end - begin
        assert got.time_s[bucket] == block["time_s"][begin - FIRST]
        assert got.flags[bucket] == np.bitwise_or.reduce(block["flags"][rows])
        for name in ("voltage_v", "current_a"):
            finite = block[name][rows][np.isfinite(block[name][rows])]
            for bound, of_all in ((got.low, np.min), (got.high, np.max)):
                assert bound[name][bucket] == of_all(finite) if len(finite) else math.isnan(bound[name][bucket])
        good = np.isfinite(block["current_a"][: rows.stop])
        charge = np.trapezoid(block["current_a"][: rows.stop][good], block["time_s"][: rows.stop][good])
        assert got.charge_c[bucket] == near(charge, rel=1e-9, abs=1e-24)


def test_a_bucket_of_one_sample_has_it_to_the_bit() -> None:
    values = np.array([-0.0, 5e-324, -1.7976931348623157e308, np.inf, 0.1 + 0.2, np.nan])
    block = SampleBlock.of(SAMPLE_COLUMNS, {name.name: values for name in SAMPLE_COLUMNS[:3]} | {"flags": [0] * 6})
    envelope = Envelope(0, 6, 6)
    envelope.add(block)
    got = envelope.curve()
    for bounds in (got.low, got.high):
        assert bounds["voltage_v"].tobytes() == values.tobytes()


def test_what_is_missing_is_said_and_not_bridged() -> None:
    block = samples(100)
    charge = curve(block, [], FIRST, FIRST + 100, 100, FIRST).charge_c
    envelope = Envelope(FIRST - 5, FIRST + 110, 1000, None, FIRST - 5)
    for begin, end in ((0, 40), (60, 100)):
        envelope.add(part(block, begin, end))
    got = envelope.curve()
    assert got.missing == [(FIRST - 5, FIRST), (FIRST + 40, FIRST + 60), (FIRST + 100, FIRST + 110)]
    assert got.index.tolist() == [*range(FIRST, FIRST + 40), *range(FIRST + 60, FIRST + 100)]
    assert got.charge_c[39] == charge[39]
    assert got.charge_c[40] == charge[39]
    assert got.charge_c[-1] == near(charge[39] + charge[99] - charge[60], rel=1e-9)


def test_charge_does_not_run_on_from_one_technique_to_the_next() -> None:
    block = samples(20)
    later = SampleBlock.of(
        SAMPLE_COLUMNS,
        {"time_s": [0.0, 1.0], "voltage_v": [1, 1], "current_a": [1e-9, 1e-9], "flags": [0, 0]},
        stream="s",
        first_index=FIRST + 20,
        start_time_ns=5 + 10**12,
    )
    envelope = Envelope(FIRST, FIRST + 22, 22, None, FIRST)
    for each in (block, later):
        envelope.add(each)
    got = envelope.curve()
    assert got.charge_c[20] == got.charge_c[19]
    assert got.charge_c[21] - got.charge_c[20] == near(1e-9, rel=1e-9)
    assert got.time_s[20] == 1000.0


@pytest.mark.parametrize("points", [1, 3, 7, 10])
def test_blocks_that_came_before_count_once(points: int) -> None:
    block = samples(10)
    whole, twice = (curve(block, cuts, FIRST, FIRST + 10, points, FIRST) for cuts in ([], [4]))
    envelope = Envelope(FIRST, FIRST + 10, points, None, FIRST)
    for begin, end in ((0, 6), (2, 8), (0, 10)):
        envelope.add(part(block, begin, end))
    for other in (twice, envelope.curve()):
        assert other.count.tolist() == whole.count.tolist()
        assert other.high["voltage_v"].tobytes() == whole.high["voltage_v"].tobytes()
        np.testing.assert_allclose(other.charge_c, whole.charge_c, rtol=1e-12, atol=0)
