"""The other detectors, and that what is found does not depend on how the samples are cut."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.analysis.health.detector import Situation
from bridge.analysis.health.watch import HealthWatch
from drivers.samples import EndReason, Flag
from drivers.techniques import Galvanostatic, OpenCircuit, Potentiostatic
from mocks.world import World
from tests.near import near

from .records import Record, charged, step, watched

FAULTS = [
    {"kind": "short", "at_s": 31.234, "ohm": 10e9},
    {"kind": "short", "at_s": 31.234, "ohm": 300e9},
    {"kind": "open", "at_s": 31.234},
    {"kind": "vibration", "at_s": 5.0, "mean_closed_s": 4.0, "mean_open_s": 0.3},
]


@pytest.mark.parametrize("fault", FAULTS)
def test_blocks_may_be_cut_anywhere(fault: dict[str, float]) -> None:
    record, end = charged(World(cell="fig8b", seed=7, events=[fault]), 5e-12, 60.0)
    record[3][400:403] |= int(Flag.OVERLOAD)
    whole = watched(record, step(5e-12), end=end)
    assert whole
    ordered = sorted(whole, key=lambda found: (found.next_index, found.kind, found.severity))
    for cuts in ((1,), (2, 3, 5, 7), (50,), (333, 1)):
        cut = watched(record, step(5e-12), end=end, cuts=cuts)
        assert sorted(cut, key=lambda found: (found.next_index, found.kind, found.severity)) == ordered, cuts


def test_fast_samples_are_judged_as_means_wherever_they_are_cut() -> None:
    rng = np.random.default_rng(3)
    time = 1e-3 * np.arange(1, 30_001)
    voltage = 3.5 + 1e-3 * time + rng.normal(0.0, 6e-4, len(time))
    voltage[20_000:] += 0.05 * (time[20_000:] - time[20_000])
    record = (time, voltage, np.full(len(time), 5e-12), np.zeros(len(time), np.uint32))
    whole = watched(record, step(5e-12, 1e-3))
    assert [found.kind for found in whole] == ["contact_lost"]
    assert whole[0].from_s == near(20.0, abs=0.15)
    assert watched(record, step(5e-12, 1e-3), cuts=(7, 1, 640)) == whole


@pytest.mark.parametrize(
    ("current_a", "ohm", "within_s"), [(5e-12, 10e9, 0.8), (5e-12, 1e9, 0.4), (125e-12, 10e9, 0.8), (5e-12, 100e9, 3.8)]
)
def test_a_short_that_comes(current_a: float, ohm: float, within_s: float) -> None:
    world = World(cell="fig8b", seed=1, events=[{"kind": "short", "at_s": 60.0, "ohm": ohm}])
    record, _ = charged(world, current_a, 70.0)
    found = watched(record, step(current_a))
    assert found[0].kind == "short"
    assert found[0].to_s - 60.0 <= within_s
    if "resistance_ohm" in found[0].evidence:
        assert found[0].evidence["resistance_ohm"] == near(ohm, rel=0.35)
    assert found[0].charge_c < 0.1 * 4.5e-9  # of the charge of Cell-1, or of the note's budget of a second at 125 pA


@pytest.mark.parametrize("current_a", [5e-12, 10e-12, 125e-12])
def test_fig10_stands_still(current_a: float) -> None:
    """Domain note 7.2: 5 pA make 50 mV, 10 pA 100 mV; 125 pA make 1.25 V, which is no cell's either."""
    record, _ = charged(World(cell="fig10", seed=1), current_a, 20.0)
    found = watched(record, step(current_a))
    assert found[0].kind == "short"
    assert found[0].evidence["resistance_ohm"] == near(10e9, rel=0.02)
    assert found[0].to_s < 7.0


def test_two_currents_tell_a_resistor_from_a_cell() -> None:
    watch = HealthWatch()
    flags = np.zeros(20, np.uint32)
    time = 0.5 * np.arange(1, 21)
    first = (time, np.full(20, 3.75), np.full(20, 125e-12), flags)
    assert watched(first, step(125e-12, 0.5), watch=watch) == []  # 30 GOhm: looks like a plateau
    second = (time[:1], np.array([-0.75]), np.array([-25e-12]), flags[:1])
    found = watched(second, step(-25e-12, 0.5), watch=watch, end=EndReason.VOLTAGE_MIN)
    assert [f.kind for f in found] == ["short"]
    assert found[0].evidence["resistance_ohm"] == near(30e9, rel=1e-6)
    cell = (time[:1], np.array([3.72]), np.array([-25e-12]), flags[:1])
    watched(first, step(125e-12, 0.5), watch=watch)
    assert watched(cell, step(-25e-12, 0.5), watch=watch) == []


def test_a_charged_cell_that_shows_nothing_at_rest() -> None:
    watch = HealthWatch()
    record, _ = charged(World(cell="fig8b", seed=1), 5e-12, 60.0)
    assert watched(record, step(5e-12), watch=watch) == []
    time = 0.1 * np.arange(1, 101)
    rest = (time, np.full(100, 0.02), np.zeros(100), np.zeros(100, np.uint32))
    found = watched(rest, OpenCircuit(duration_s=10.0), watch=watch)
    assert found[0].kind == "short"
    assert watched(rest, OpenCircuit(duration_s=10.0))[0].kind == "window"  # a cell that never held more may be fresh


def test_a_leak_in_a_rest_is_told_from_relaxation() -> None:
    """Domain note 7.2: a leak of 29 uA/cm2 takes about 3 mV/min near 3.6 V."""
    flags = np.zeros(400, np.uint32)
    rng = np.random.default_rng(1)
    time = np.arange(1.0, 401.0)
    charge = (time, 3.5 + 60e-12 / 60e-9 * 1e-1 * time / 10 + rng.normal(0, 2e-5, 400), np.full(400, 6e-12), flags)
    for fall, kinds in (
        (-50e-6 * time, ["partial_short"]),
        (0.03 * np.exp(-time / 100.0), []),
        (-8e-6 * time, []),  # silicon's own hysteresis
    ):
        watch = HealthWatch()
        assert watched(charge, step(6e-12, 1.0), watch=watch) == []
        rest = (time, 3.6 + fall + rng.normal(0, 2e-5, 400), np.zeros(400), flags)
        found = watched(rest, OpenCircuit(duration_s=400.0, interval_s=1.0), watch=watch)
        assert [f.kind for f in found] == kinds
        if found:
            assert found[0].evidence["slope_v_per_s"] == near(-50e-6, rel=0.05)


def flat(seconds: float, current_a: float, interval_s: float = 0.1) -> Record:
    time = interval_s * np.arange(1, round(seconds / interval_s) + 1)
    return time, 3.5 + 1e-3 * time, np.full(len(time), current_a), np.zeros(len(time), np.uint32)


def test_overload_is_marked_and_then_stays() -> None:
    record = flat(30.0, 5e-12)
    record[3][100] = int(Flag.OVERLOAD)
    assert watched(record, step(5e-12)) == []
    record[3][150:] = int(Flag.OVERLOAD)
    stays, marked = watched(record, step(5e-12))  # of one block the gravest comes first
    assert (marked.kind, marked.severity, stays.severity) == ("overload", "warning", "error")
    assert marked.from_s == near(15.1, abs=0.01)
    assert marked.to_s == near(15.2, abs=0.01)
    assert (marked.first_index, marked.next_index) == (150, 152)
    assert stays.delay_s == near(10.0, abs=0.2)


def test_the_range_counts_where_the_device_has_no_flag() -> None:
    watch = HealthWatch()
    watch.begin(Situation(technique=step(99e-12), range_a=100e-12, area_m2=1e-11))
    found = watch.add(*flat(3.0, 99e-12))
    assert [f.kind for f in found] == ["overload"]


def test_a_source_that_drifts() -> None:
    time, voltage, current, flags = flat(600.0, 20e-12, 1.0)
    current = current + 1e-12 * np.random.default_rng(1).standard_normal(600)
    assert watched((time, voltage, current, flags), step(20e-12, 1.0)) == []
    current += np.clip(time - 200.0, 0.0, 100.0) * 8e-14
    (found,) = watched((time, voltage, current, flags), step(20e-12, 1.0))
    assert found.kind == "drift"
    assert found.evidence["deviation_a"] == near(8e-12, rel=0.1)
    assert 300.0 <= found.to_s <= 420.0


def test_the_hard_window() -> None:
    time = 0.1 * np.arange(1, 101)
    voltage = np.full(100, 4.2)
    technique = Potentiostatic(voltage_v=4.2, duration_s=10.0)
    voltage[50] = 4.5
    record = (time, voltage, np.full(100, 1e-12), np.zeros(100, np.uint32))
    assert watched(record, technique) == []
    voltage[80:] = 4.31
    (found,) = watched(record, technique)
    assert found.kind == "window"
    assert found.evidence["limit_v"] == 4.3
    assert found.delay_s == near(0.2, abs=0.01)


def test_without_a_cell_a_resistor_is_none_of_its_business() -> None:
    record, _ = charged(World(cell="fig10", seed=1), 5e-12, 20.0)
    watch = HealthWatch()
    technique = Galvanostatic(current_a=5e-12, duration_s=20.0, voltage_min_v=-10.0, voltage_max_v=10.0)
    watch.begin(Situation(technique=technique, cell=False))
    assert watch.add(*record) == []


def test_a_charge_beyond_what_was_planned() -> None:
    watch = HealthWatch()
    watch.begin(Situation(technique=step(5e-12, 1.0), area_m2=1e-11, planned_c=2.5e-10))
    found = watch.add(*flat(80.0, 5e-12, 1.0))
    assert [f.kind for f in found] == ["partial_short"]
    assert found[0].to_s == 61.0  # the first sample after 1.2 x 50 s


def test_a_short_at_a_set_voltage_is_no_contact_that_comes_back() -> None:
    time = 0.1 * np.arange(1, 301)
    technique = Potentiostatic(voltage_v=4.2, duration_s=30.0)
    current = 50e-12 * np.exp(-time / 60.0)
    current[150:] += 360e-12  # 4.2 V across 11.7 GOhm
    record = (time, np.full(300, 4.2), current, np.zeros(300, np.uint32))
    (found,) = watched(record, technique)
    assert found.kind == "short"
    assert found.evidence["resistance_ohm"] == near(4.2 / 360e-12, rel=0.05)
    assert found.delay_s < 0.8
    current[150:] -= 360e-12
    current[100:150] = 0.0
    assert [f.kind for f in watched(record, technique)] == ["intermittent_contact"]
