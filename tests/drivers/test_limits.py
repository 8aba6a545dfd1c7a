"""The host's limits: what ends a technique, on which sample, whatever the blocks are."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.potentiostats.limits import OVERLOAD_SAMPLES, TAPER_SAMPLES, LimitWatch
from drivers.samples import SAMPLE_COLUMNS, EndReason, Flag, SampleBlock
from drivers.techniques import CyclicVoltammetry, Galvanostatic, Impedance, OpenCircuit, Potentiostatic, Technique
from tests.near import near


def samples(
    voltage: Any = 3.0, current: Any = 0.0, flags: Any = 0, time: Any = None, interval_s: float = 0.1
) -> SampleBlock:
    columns = np.broadcast_arrays(voltage, current, flags)
    count = columns[0].size
    times = interval_s * np.arange(1, count + 1) if time is None else time
    data = dict(zip(("voltage_v", "current_a", "flags"), (np.atleast_1d(c) for c in columns), strict=True))
    return SampleBlock.of(SAMPLE_COLUMNS, {"time_s": np.atleast_1d(times), **data})


def charge(**changes: Any) -> Galvanostatic:
    return Galvanostatic(
        **{"current_a": 5e-12, "duration_s": 1000.0, "voltage_min_v": 2.0, "voltage_max_v": 4.2, **changes}
    )


def test_voltage_limits_hold_in_the_direction_of_the_current() -> None:
    assert LimitWatch(charge()).check(samples([4.1, 4.19999999])) is None
    assert LimitWatch(charge()).check(samples([4.1, 4.2])) is EndReason.VOLTAGE_MAX
    assert LimitWatch(charge()).check(samples([1.9])) is None
    assert LimitWatch(charge(current_a=-5e-12)).check(samples([4.3, 2.1])) is None
    assert LimitWatch(charge(current_a=-5e-12)).check(samples([2.0])) is EndReason.VOLTAGE_MIN
    resting = charge(current_a=0.0)
    assert LimitWatch(resting).check(samples([1.9])) is EndReason.VOLTAGE_MIN
    assert LimitWatch(resting).check(samples([4.3])) is EndReason.VOLTAGE_MAX


def test_not_a_number_crosses_nothing() -> None:
    nan = float("nan")
    technique = Potentiostatic(
        voltage_v=4.2, duration_s=10.0, current_limit_a=1e-9, taper_current_a=1e-12, charge_limit_c=1.0
    )
    assert LimitWatch(technique).check(samples(nan, nan)) is None
    assert LimitWatch(charge()).check(samples([nan] * (OVERLOAD_SAMPLES - 1), nan)) is None


def test_the_first_crossing_decides() -> None:
    block = samples([3.0, 4.3, 3.0], flags=[0, 0, int(Flag.OVERLOAD)])
    assert LimitWatch(charge()).check(block) is EndReason.VOLTAGE_MAX
    block = samples([3.0, 3.0, 3.0, 4.3], flags=[int(Flag.OVERLOAD)] * OVERLOAD_SAMPLES + [0])
    assert LimitWatch(charge()).check(block) is EndReason.OVERLOAD


def test_duration_forgives_the_rounding_of_decimal_text() -> None:
    technique = OpenCircuit(duration_s=0.3, interval_s=0.1)
    assert 0.1 * 3 != 0.3
    assert LimitWatch(technique).check(samples([3.0, 3.0], time=[0.1, 0.2])) is None
    assert LimitWatch(technique).check(samples(3.0, time=[0.3 - 1e-10])) is EndReason.DURATION


@pytest.mark.parametrize(("times", "end"), [([0.1, 0.2, 0.24], None), ([0.1, 0.2, 0.26], EndReason.DURATION)])
def test_duration_ends_at_the_nearest_sample(times: list[float], end: EndReason | None) -> None:
    """Sample times jitter; one sample more than asked for would be current for an interval more."""
    watch = LimitWatch(OpenCircuit(duration_s=0.3, interval_s=0.1))
    assert watch.check(samples([3.0] * 3, time=times)) is end


def test_charge_counts_from_the_start_and_across_blocks() -> None:
    """12.5 uAh/cm2 at 50 uA/cm2 on 10 um2: 4.5 nC at 5 pA, 900 s exactly."""
    watch = LimitWatch(charge(charge_limit_c=4.5e-9))
    times = np.arange(1, 9001) * 0.1
    assert watch.check(samples(3.7, np.full(8999, 5e-12), time=times[:8999])) is None
    assert watch.charge_c == near(4.49950e-9, rel=1e-12)
    assert watch.check(samples(3.7, 5e-12, time=times[8999:])) is EndReason.CAPACITY
    assert watch.charge_c == near(4.5e-9, rel=1e-12)


def test_charge_of_a_discharge_is_negative_and_limited_by_its_size() -> None:
    watch = LimitWatch(charge(current_a=-5e-12, charge_limit_c=1e-12))
    assert watch.check(samples(3.7, -5e-12, time=[0.1])) is None
    assert watch.check(samples(3.7, -5e-12, time=[0.2])) is EndReason.CAPACITY
    assert watch.charge_c == near(-1e-12)


def test_a_late_first_sample_brings_no_charge_from_before() -> None:
    watch = LimitWatch(charge())
    watch.check(samples(3.7, 5e-12, time=[100.0]))
    assert watch.charge_c == 0.0


def test_charge_bridges_samples_without_a_number() -> None:
    watch = LimitWatch(charge())
    watch.check(samples(3.7, [1e-12, float("nan"), 3e-12], time=[0.1, 0.2, 0.3]))
    assert watch.charge_c == near(0.1e-12 + 0.4e-12)


def test_taper_needs_samples_in_a_row_also_across_blocks() -> None:
    technique = Potentiostatic(voltage_v=4.2, duration_s=100.0, taper_current_a=1e-12)
    watch = LimitWatch(technique)
    assert watch.check(samples(4.2, [5e-12, 1e-12, 5e-12, -0.5e-12, 0.5e-12])) is None
    assert TAPER_SAMPLES == 3
    assert watch.check(samples(4.2, 1e-12, time=[0.6])) is EndReason.TAPER


def test_current_limit_is_on_the_size() -> None:
    technique = CyclicVoltammetry(begin_v=0, vertex1_v=1, vertex2_v=0, rate_v_per_s=1, current_limit_a=1e-9)
    assert LimitWatch(technique).check(samples(0.5, [1e-9, -1e-9])) is None
    assert LimitWatch(technique).check(samples(0.5, -1.1e-9)) is EndReason.CURRENT_LIMIT


@pytest.mark.parametrize("technique", [charge(), Potentiostatic(voltage_v=4.2, duration_s=100.0)])
def test_overloads_in_a_row_end_a_run_and_single_ones_are_only_flagged(technique: Technique) -> None:
    over = int(Flag.OVERLOAD)
    watch = LimitWatch(technique)
    assert watch.check(samples(3.2, flags=[over] * (OVERLOAD_SAMPLES - 1))) is None
    assert watch.check(samples(3.2, flags=[0, over, over], time=[0.3, 0.4, 0.5])) is None
    assert watch.check(samples(3.2, flags=[over], time=[0.6])) is EndReason.OVERLOAD


def test_nothing_ends_a_spectrum() -> None:
    assert LimitWatch(Impedance()).check(samples(9e9, 9e9, int(Flag.OVERLOAD))) is None


def test_an_empty_block_says_nothing() -> None:
    assert LimitWatch(charge()).check(SampleBlock.of(SAMPLE_COLUMNS, {c.name: () for c in SAMPLE_COLUMNS})) is None


_TECHNIQUES: list[Technique] = [
    charge(charge_limit_c=3e-12),
    Potentiostatic(voltage_v=4.2, duration_s=2.0, taper_current_a=2e-12, charge_limit_c=3e-12, current_limit_a=9e-12),
    OpenCircuit(duration_s=2.0),
]


@given(
    technique=st.sampled_from(_TECHNIQUES),
    rows=st.lists(
        st.tuples(
            st.sampled_from([1.9, 3.0, 4.3, float("nan")]),
            st.sampled_from([-1e-12, 1e-12, 5e-12, 10e-12, float("nan")]),
            st.sampled_from([0, 0, 0, int(Flag.OVERLOAD)]),
        ),
        min_size=1,
        max_size=30,
    ),
    cuts=st.lists(st.integers(0, 30), max_size=5),
)
def test_blocks_of_any_size_give_the_same_first_reason(
    technique: Technique, rows: list[tuple[float, float, int]], cuts: list[int]
) -> None:
    voltage, current, flags = (np.array(column) for column in zip(*rows, strict=True))
    times = np.arange(1, len(rows) + 1) * 0.1
    whole = LimitWatch(technique).check(samples(voltage, current, flags, times))
    for bounds in (sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))}), range(len(rows) + 1)):
        watch, found = LimitWatch(technique), None
        for begin, end in pairwise(bounds):
            part = slice(begin, end)
            found = found or watch.check(samples(voltage[part], current[part], flags[part], times[part]))
        assert found is whole
