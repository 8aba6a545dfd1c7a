"""Charge, crossings and overshoot against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bridge.analysis.capacity import ChargeCounter, ah, find_crossing, integrate, overshoot
from drivers.errors import InvalidValue
from tests.near import near


def test_5_pa_for_10_s_on_an_irregular_grid() -> None:
    inner = np.sort(np.random.default_rng(1).uniform(0, 10, 200))
    time = np.concatenate(([0.0], inner, [10.0]))
    charge = integrate(time, np.full(202, 5e-12), period_s=1.0)
    assert charge.charge_c == near(5.0e-11, rel=1e-15)
    assert ah(charge.charge_c) == near(1.3889e-14, rel=1e-5)
    assert charge.discharge_c == 0.0


def test_blocks_give_the_same_sum_as_one_piece() -> None:
    rng = np.random.default_rng(2)
    time = np.cumsum(rng.uniform(0.05, 0.15, 10_000))
    current = rng.normal(5e-12, 1e-12, 10_000)
    whole = integrate(time, current)
    counter = ChargeCounter(0.1)
    for part in np.array_split(np.arange(10_000), 137):
        counter.add(time[part], current[part])
    steps = np.diff(time) * (current[1:] + current[:-1]) / 2
    assert counter.charge.net_c == near(math.fsum(steps.tolist()), rel=1e-15)
    assert whole.net_c == near(counter.charge.net_c, rel=1e-15)


def test_small_charges_are_not_lost_beside_a_large_one() -> None:
    """10 000 times 1e-17 C after 1 C: a plain sum would not move at all."""
    counter = ChargeCounter(1.0)
    counter.add(np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    first = counter.charge.charge_c
    counter.add(np.array([1.0]), np.array([1e-14]))
    for index in range(1, 10_001):
        counter.add(np.array([1.0 + index * 1e-3]), np.array([1e-14]))
    assert counter.charge.charge_c - first == near(1e-13, rel=5e-3)


def test_charge_and_discharge_are_told_apart_within_an_interval() -> None:
    charge = integrate(np.array([0.0, 1.0]), np.array([3.0, -1.0]), period_s=1.0)
    assert charge.charge_c == near(0.75 * 3 / 2)
    assert charge.discharge_c == near(0.25 * 1 / 2)
    assert charge.net_c == near(1.0)


def test_edges_without_a_sample_hold_the_nearest_current() -> None:
    """A step of 10 s whose first reading comes after 0.5 s and whose last comes 0.5 s before its end."""
    time = np.arange(0.5, 10.0, 1.0)
    charge = integrate(time, np.full(10, 2e-12), start_s=0.0, end_s=10.0)
    assert charge.charge_c == near(2e-11, rel=1e-15)
    assert integrate(time, np.full(10, 2e-12)).charge_c == near(1.8e-11, rel=1e-15)


def test_a_gap_is_reported_and_not_bridged() -> None:
    time = np.array([0.0, 1.0, 2.0, 12.0, 13.0])
    charge = integrate(time, np.full(5, 1e-12))
    assert [(gap.from_s, gap.to_s) for gap in charge.gaps] == [(2.0, 12.0)]
    assert charge.charge_c == near(3e-12)
    assert charge.gap_c == near(1e-11)


def test_readings_without_a_number_leave_a_gap_when_there_are_many() -> None:
    current = np.full(20, 1e-12)
    current[5:12] = math.nan
    charge = integrate(np.arange(20.0), current)
    assert [(gap.from_s, gap.to_s) for gap in charge.gaps] == [(4.0, 12.0)]
    current[5:12] = [1e-12, math.nan, 1e-12, math.nan, math.nan, 1e-12, 1e-12]
    assert integrate(np.arange(20.0), current).charge_c == near(1.9e-11)


def test_time_that_goes_back_is_an_error() -> None:
    with pytest.raises(InvalidValue, match="time goes back from 2 s to 1 s"):
        integrate(np.array([0.0, 2.0, 1.0]), np.ones(3), period_s=1.0)


def test_crossing_is_interpolated_and_raw() -> None:
    time, voltage = np.array([0.0, 1.0, 2.0]), np.array([4.0, 4.15, 4.25])
    crossing = find_crossing(time, voltage, 4.17, rising=True)
    assert crossing is not None
    assert crossing.raw_s == 2.0
    assert crossing.time_s == near(1.2)
    assert find_crossing(time, voltage, 4.3, rising=True) is None


def test_crossing_downward_over_a_reading_without_a_number() -> None:
    crossing = find_crossing(np.arange(4.0), np.array([2.4, math.nan, 2.3, 1.9]), 2.0, rising=False)
    assert crossing is not None
    assert crossing.time_s == near(2.75)


def test_a_limit_already_crossed_at_the_start_has_nothing_to_interpolate() -> None:
    crossing = find_crossing(np.array([0.5, 1.0]), np.array([4.3, 4.4]), 4.2, rising=True)
    assert crossing is not None
    assert crossing.time_s == crossing.raw_s == 0.5


@pytest.mark.parametrize(("period", "worst"), [(0.1, 0.3e-3), (1.0, 3e-3), (10.0, 30e-3)])
def test_overshoot_of_a_slope_of_3_mv_per_s(period: float, worst: float) -> None:
    time = np.arange(10.0) * period
    found = overshoot(time, 4.2 + 3e-3 * (time - time[-1]), 4.2, rising=True, period_s=period, latency_s=0.0)
    assert found is not None
    assert found.worst_v == near(worst, rel=1e-6)
    assert found.observed_v == 0.0


def test_overshoot_counts_the_latency_and_what_was_seen() -> None:
    time, voltage = np.array([0.0, 1.0, 2.0]), np.array([2.2, 2.1, 1.9])
    found = overshoot(time, voltage, 2.0, rising=False, period_s=1.0, latency_s=0.5)
    assert found is not None
    assert found.slope_v_per_s == near(0.2)
    assert found.worst_v == near(0.3)
    assert found.observed_v == near(0.1)


def test_overshoot_of_one_sample_is_not_known() -> None:
    assert overshoot(np.array([1.0]), np.array([4.0]), 4.2, rising=True, period_s=1.0, latency_s=0.0) is None
