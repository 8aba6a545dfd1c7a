"""Yield, groups, patterns, stacks, and the least time."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.analysis.sheet import stacks, statistics
from bridge.analysis.sheet.bound import Touchdown, lower_bound, plan_s
from bridge.analysis.sheet.patterns import find_patterns
from tests.near import near


def plane(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    r, c = np.divmod(np.arange(rows * columns), columns)
    return r, c


@pytest.mark.parametrize(
    ("channels", "eis_s", "hours", "rate"),
    [(1, 2, 1.39, None), (1, 8, 3.06, None), (1, 20, 6.39, None), (8, 2, 0.174, 5760), (8, 8, 0.382, 2618),
     (8, 20, 0.799, 1252), (16, 2, 0.0875, 11429), (16, 8, 0.193, 5195), (16, 20, 0.403, 2484), (64, 2, 0.022, 45000),
     (64, 8, 0.049, 20455), (64, 20, 0.102, 9783)],
)  # fmt: skip
def test_the_domain_notes_table_of_throughput(channels: int, eis_s: float, hours: float, rate: float | None) -> None:
    seconds = plan_s(1000, channels, move_s=1, ocv_s=2, eis_s=eis_s)
    assert seconds / 3600 == near(hours, rel=0.012)
    if rate is not None:
        assert 1000 / seconds * 3600 == near(rate, rel=1e-3)


def test_stack_yield_of_the_domain_note() -> None:
    assert stacks.stack_yield(0.98, 6) == near(0.886, abs=5e-4)
    assert stacks.stack_yield(0.995, 6) == near(0.970, abs=5e-4)


def test_matched_stacks_are_more_alike_than_random_ones() -> None:
    chance = np.random.default_rng(1)
    values = np.column_stack([chance.normal(1181, 30, 100), chance.normal(0.35, 1e-6, 100)])
    values[7] = np.nan
    groups, told = stacks.match(values, 6)
    assert told["stacks"] == len(groups) == 16
    assert told["left_over"] == 3
    assert told["spread"][0] < 0.35 * told["spread_at_random"][0]
    members = [cell for group in groups for cell in group]
    assert len(set(members)) == 96
    assert 7 not in members


def test_the_bound_is_the_busiest_resource() -> None:
    two = [Touchdown("a", 1.0, 0.5, {"p": 3.0}), Touchdown("b", 1.0, 0.5, {"p": 3.0})] * 5
    bound = lower_bound(two)
    assert bound.seconds == near(1.5 + 30.0)
    assert bound.limited_by == "channel p"
    assert bound.by_resource["head a"] == near(5 * 4.5)
    apart = [Touchdown("a", 1.0, 0.5, {"p": 3.0, "q": 2.0})] * 4
    assert lower_bound(apart).limited_by == "head a"
    assert lower_bound(apart).seconds == near(4 * 4.5)
    alone = [Touchdown("a", 1.0, 0.5, {"p": 3.0, "q": 3.0}, terminal_s=2.0, lead_s=2.0)] * 4
    assert lower_bound(alone).seconds == near(4 * 5.5)
    switched = [
        Touchdown("a", 0.1, 0.0, {"p": 1.0}, route_s={"r": 1.0}),
        Touchdown("b", 0.1, 0.0, {"p": 1.0}, route_s={"s": 1.0}),
    ]
    bound = lower_bound(switched, switching_s=0.2, exclusive_routes=True)
    assert (bound.limited_by, bound.seconds) == ("multiplexer", near(2.3))


def test_yield_interval_is_exact() -> None:
    assert statistics.yield_interval(0, 10) == (0.0, near(0.3085, abs=1e-4))
    assert statistics.yield_interval(10, 10) == (near(0.6915, abs=1e-4), 1.0)
    low, high = statistics.yield_interval(98, 100)
    assert (low, high) == (near(0.9296, abs=1e-4), near(0.9976, abs=1e-4))
    assert statistics.yield_interval(0, 0) == (0.0, 1.0)


def test_groups_have_their_own_yield() -> None:
    rows, _ = plane(3, 10)
    passed = np.ones(30, bool)
    passed[10:15] = False
    tested = np.ones(30, bool)
    tested[29] = False
    found = statistics.by_group(rows, passed, tested, {"ocv_v": np.arange(30.0)})
    assert [g["yield"] for g in found] == [1.0, 0.5, 1.0]
    assert found[2]["tested"] == 9
    assert found[1]["ocv_v_median"] == 14.5


def test_a_site_that_reads_high_is_seen_beside_its_neighbours() -> None:
    """Slow changes over the sheet are no bias; a probe's own offset is."""
    rows, columns = plane(20, 32)
    sites = columns % 8 + 1
    chance = np.random.default_rng(2)
    values = 1181 + 40 * np.sin(columns / 15) + chance.normal(0, 3, 640) + np.where(sites == 5, 12.0, 0.0)
    bias = {b["site"]: b for b in statistics.site_bias(sites, statistics.neighbour_residual(rows, columns, values))}
    assert bias[5]["bias"] == near(12.0, rel=0.15)
    assert bias[5]["z"] > 15
    assert abs(bias[1]["bias"]) < 1.5


def test_an_outlier_among_its_neighbours_and_in_the_sheet() -> None:
    rows, columns = plane(12, 12)
    values = np.random.default_rng(3).normal(0.35, 1e-3, 144) + 0.05 * rows / 12
    values[30] += 0.02  # inside the sheet's spread, and nothing like its neighbours
    values[100] = 0.0
    residual = statistics.neighbour_residual(rows, columns, values)
    found = np.flatnonzero(statistics.outliers(values, residual))
    assert {30, 100} <= set(found.tolist())
    assert len(found) <= 4


def patterns(fails: set[tuple[int, int]], rows: int = 40, columns: int = 40, sites: int = 8) -> list[dict[str, object]]:
    r, c = plane(rows, columns)
    failed = np.array([(a, b) in fails for a, b in zip(r.tolist(), c.tolist(), strict=True)])
    return find_patterns(r, c, c % sites + 1, failed, np.ones(len(r), bool))


def scattered(count: int, seed: int = 0) -> set[tuple[int, int]]:
    chance = np.random.default_rng(seed)
    return {(int(a), int(b)) for a, b in chance.integers(0, 40, (count, 2))}


def test_scattered_failures_make_no_pattern() -> None:
    assert sum(len(patterns(scattered(40, seed))) for seed in range(25)) <= 1


def test_a_streak_along_the_web() -> None:
    found = patterns(scattered(20) | {(9, c) for c in range(12, 24)})[0]
    assert (found["kind"], found["rows"]) == ("streak along the web", [9, 9])
    assert found["columns"] == [12, 23]


def test_a_rollers_pitch() -> None:
    found = [p for p in patterns(scattered(20) | {(30, c) for c in range(2, 40, 5)}) if p["kind"] == "repeated pitch"]
    assert [(p["row"], p["pitch_columns"], p["first_column"]) for p in found] == [(30, 5, 2)]


def test_an_edge_a_column_a_blob_and_a_site() -> None:
    edge = {(0, c) for c in range(0, 40, 3)} | {(39, c) for c in range(1, 40, 3)}
    assert "edge" in {p["kind"] for p in patterns(scattered(10) | edge)}
    assert ("column", 17) in {(p["kind"], p.get("column")) for p in patterns({(r, 17) for r in range(0, 40, 2)})}
    blob = {(r, c) for r in range(20, 24) for c in range(20, 24)}
    assert patterns(scattered(15) | blob)[0]["kind"] == "cluster"
    site = {(int(r), int(c)) for r, c in np.random.default_rng(5).integers(0, 40, (60, 2)) if c % 8 == 2}
    site |= {(r, 8 * ((r * 7) % 5) + 2) for r in range(0, 40, 2)}
    assert ("site", 3) in {(p["kind"], p.get("site")) for p in patterns(site)}


def test_nothing_tested_is_no_pattern() -> None:
    assert patterns(set()) == []
    assert statistics.summarise(np.array([np.nan]))["median"] is None
