"""Contact lost and contact that comes back, against the domain note's numbers (sections 0.3, 4, 7.3)."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.analysis.health.contact import contact_gaps
from drivers.samples import EndReason
from drivers.techniques import Potentiostatic
from mocks.world import World
from tests.near import near

from .records import charged, step, watched


def test_fig8a_has_one_opening_at_150_s_and_no_end() -> None:
    record, _ = charged(World(cell="fig8a", seed=1), 5e-12, 200.0)
    (found,) = watched(record, step(5e-12))
    assert (found.kind, found.severity) == ("intermittent_contact", "warning")
    assert found.from_s == near(150.0, abs=0.1)
    (gap,) = contact_gaps(record[0], record[1], 5e-12, stray_f=100e-12, area_m2=1e-11)
    assert gap.closed
    assert gap.to_s - gap.from_s == near(0.5, abs=0.11)
    assert gap.open_c == near(2.5e-12, rel=0.15)  # 5 pA x 0.5 s
    assert gap.returned_c == near(2.5e-12, rel=0.25)
    assert abs(gap.lost_c) < 0.5e-12


@pytest.mark.parametrize(("current_a", "within_s"), [(5e-12, 5.2), (25e-12, 1.5), (125e-12, 0.4)])
def test_a_lost_contact_is_found_before_the_window_ends_the_step(current_a: float, within_s: float) -> None:
    """Compliance would take 12 s, 2.4 s, 0.48 s. The grace of 5 s, or 0.3 V on the lead, whichever is first."""
    world = World(cell="fig8b", seed=1, events=[{"kind": "open", "at_s": 60.0}])
    record, end = charged(world, current_a, 80.0)
    lost = watched(record, step(current_a), end=end)
    assert [found.kind for found in lost] == ["contact_lost"]
    assert lost[0].to_s - 60.0 <= within_s
    assert lost[0].evidence["returned_charge_c"] <= 100e-12 * 0.45  # what would empty into the cell
    (gap,) = contact_gaps(record[0], record[1], current_a, stray_f=100e-12, area_m2=1e-11)
    assert not gap.closed
    assert gap.returned_c == 0.0
    assert gap.lost_c == near(current_a * (record[0][-1] - 60.0), rel=0.1)


def test_a_step_that_one_sample_ended_was_not_ended_by_the_cell() -> None:
    world = World(cell="fig8b", seed=1, area_m2=5e-11, events=[{"kind": "open", "at_s": 60.02}])
    record, end = charged(world, 625e-12, 80.0, 1.0)
    assert end is EndReason.VOLTAGE_MAX
    (found,) = watched(record, step(625e-12, 1.0), area_m2=5e-11, end=end)
    assert found.kind == "contact_lost"
    assert "voltage_max" in found.text


def test_a_full_cell_ends_its_charge_and_an_empty_one_its_discharge_without_a_word() -> None:
    world = World(cell="fig8b", seed=1)
    charge, end = charged(world, 125e-12, 400.0, 0.5)
    assert end is EndReason.VOLTAGE_MAX
    assert watched(charge, step(125e-12, 0.5), end=end) == []
    low = World(cell="good", seed=2)
    first, _ = charged(low, 125e-12, 40.0)
    assert watched(first, step(125e-12)) == []
    terminals = low.terminals("smu")
    from mocks.world import CurrentDrive

    rows = []
    begin = terminals.now_ns
    terminals.set_drive(begin, CurrentDrive(-125e-12, 10.0))
    for k in range(1, 600):
        seen = terminals.measure(begin + (k - 1) * 10**8, 10**8)
        rows.append((0.1 * k, seen.voltage_v, seen.current_a))
        if seen.voltage_v <= 2.0:
            break
    time, voltage, current = np.array(rows).T
    assert voltage[-1] <= 2.0
    flags = np.zeros(len(time), np.uint32)
    assert watched((time, voltage, current, flags), step(-125e-12), end=EndReason.VOLTAGE_MIN) == []


def test_a_current_that_vanishes_at_a_set_voltage() -> None:
    time = 0.1 * np.arange(1, 301)
    current = 50e-12 * np.exp(-time / 60.0) + np.random.default_rng(1).normal(0.0, 2e-13, 300)
    current[200:] = np.random.default_rng(2).normal(0.0, 2e-13, 100)
    record = (time, np.full(300, 4.2), current, np.zeros(300, np.uint32))
    technique = Potentiostatic(voltage_v=4.2, duration_s=30.0, interval_s=0.1)
    (found,) = watched(record, technique)
    assert found.kind == "contact_lost"
    assert found.from_s == near(20.0, abs=0.2)
    current[215:] = 40e-12
    (back,) = watched(record, technique)
    assert back.kind == "intermittent_contact"


def test_one_disturbed_sample_is_nothing() -> None:
    record, _ = charged(World(cell="fig8b", seed=1), 5e-12, 30.0)
    for jump in (0.02, 0.5, 5.0, -0.02, -0.5, -5.0):
        voltage = record[1].copy()
        voltage[200] += jump
        assert watched((record[0], voltage, *record[2:]), step(5e-12)) == [], jump


def test_openings_in_quick_succession_are_each_told_and_none_is_lost() -> None:
    """The return of one is in the window that the slope before the next is taken from."""
    event = {"kind": "vibration", "mean_closed_s": 2.0, "mean_open_s": 0.4, "since": "drive"}
    record, end = charged(World(cell="fig8b", seed=5, events=[event]), 5e-12, 40.0)
    found = watched(record, step(5e-12), end=end)
    assert {f.kind for f in found} == {"intermittent_contact"}
    assert sum(f.severity == "warning" for f in found) >= 8


def test_a_last_bin_that_is_not_full_has_the_slope_of_the_others() -> None:
    """Silicon running empty, at 0.6 of the open lead's slope, until a limit ends the step within a bin of five."""
    time = 0.02 * np.arange(1, 1004)
    voltage = 3.2 - 0.001 * time - 0.6 * 0.14 * np.clip(time - 10.0, 0.0, None)
    record = (time, voltage, np.full(len(time), -14e-12), np.zeros(len(time), np.uint32))
    assert watched(record, step(-14e-12, 0.02), area_m2=5e-12, end=EndReason.VOLTAGE_MIN) == []
