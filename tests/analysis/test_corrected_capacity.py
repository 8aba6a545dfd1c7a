"""Raw and corrected capacity, against the note's figures for an open contact (domain note, sections 0.3 and 3)."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.analysis.corrected_capacity import Known, corrected
from bridge.analysis.health.contact import ContactGap, contact_gaps
from mocks.world import CurrentDrive, World
from tests.near import near

#: 100 pF of cable, its value in doubt by 10 %
LEAD = Known(stray_f=100e-12, stray_uncertainty_f=5e-12)


def gap(seconds: float, current_a: float, excess_v: float, returned_c: float, *, closed: bool = True) -> ContactGap:
    return ContactGap(
        150.0, 150.0 + seconds, 150, 150 + int(seconds), current_a * seconds, returned_c, excess_v, closed
    )


def test_reconnection_dumps_c_dv_into_the_cell() -> None:
    """5 pA for 12 s ramp the lead by 0.6 V: 60 pC, 1.3 % of 4.5 nC, come back when it closes, and nothing is lost."""
    found = corrected(
        4.5e-9,
        charging=True,
        current_a=5e-12,
        duration_s=900.0,
        voltage_change_v=0.0,
        interval_s=1.0,
        gaps=[gap(12.0, 5e-12, 0.6, 60e-12)],
        known=LEAD,
    )
    assert (found.raw_c, found.open_c, found.returned_c) == (4.5e-9, near(60e-12), near(60e-12))
    assert found.returned_c / found.raw_c == near(0.0133, rel=1e-2)
    assert found.corrected_c == near(4.5e-9)
    assert (found.gaps, found.open_s) == (1, 12.0)


def test_a_contact_that_stays_open_takes_its_charge_along() -> None:
    found = corrected(
        4.5e-9,
        charging=True,
        current_a=5e-12,
        duration_s=900.0,
        voltage_change_v=1.0,
        interval_s=1.0,
        gaps=[gap(12.0, 5e-12, 0.6, 0.0, closed=False)],
        known=LEAD,
    )
    assert found.stray_c == near(100e-12)
    assert found.corrected_c == near(4.5e-9 - 60e-12 - 100e-12)


@pytest.mark.parametrize(("charging", "into_the_cell"), [(True, 10.8e-9 - 1.8e-9), (False, 10.8e-9 + 1.8e-9)])
def test_a_leak_takes_from_a_charge_and_adds_to_a_discharge(charging: bool, into_the_cell: float) -> None:
    known = Known(leak_a=1e-12, leak_uncertainty_a=0.1e-12)
    found = corrected(
        10.8e-9,
        charging=charging,
        current_a=6e-12,
        duration_s=1800.0,
        voltage_change_v=0.0,
        interval_s=1.0,
        known=known,
    )
    assert found.corrected_c == near(into_the_cell)
    assert found.leak_uncertainty_c == near(0.18e-9)
    assert found.uncertainty_c == near(np.hypot(0.18e-9, 3e-12))


def test_on_a_discharge_the_lead_gives_its_charge_too() -> None:
    found = corrected(
        3.7e-9, charging=False, current_a=6e-12, duration_s=617.0, voltage_change_v=-1.7, interval_s=1.0, known=LEAD
    )
    assert found.stray_c == near(170e-12)
    assert found.corrected_c == near(3.53e-9)
    assert found.leak_uncertainty_c is None
    assert found.uncertainty_c == near(np.hypot(3e-12, 2 * 5e-12 * 1.7))


def test_the_correction_is_the_charge_that_the_mock_s_cell_took() -> None:
    """A contact that is open for 8 s in a charge: what the world says went into the cell, without and with the gap."""
    world = World(
        cell="fig8a",
        noise=False,
        preset_events=False,
        events=[{"kind": "open", "at_s": 100.0, "for_s": 8.0, "since": "drive"}],
    )
    world.wiring.set_relay(3, True)
    world.tip.touch()
    terminals = world.terminals("smu")
    current = 5e-12
    terminals.set_drive(0, CurrentDrive(current, 10.0))
    second = 1_000_000_000
    first_v = terminals.measure(0, second).voltage_end_v
    before_c = world.cell.charge_c
    voltage = np.array([terminals.measure(k * second, second).voltage_end_v for k in range(1, 300)])
    time = np.arange(2.0, 301.0)
    gaps = contact_gaps(time, voltage, current, stray_f=world.stray_f, area_m2=1e-11)
    assert len(gaps) == 1
    assert gaps[0].to_s - gaps[0].from_s == near(8.0, abs=1.0)
    found = corrected(
        current * 299.0,
        charging=True,
        current_a=current,
        duration_s=299.0,
        voltage_change_v=float(voltage[-1]) - first_v,
        interval_s=1.0,
        gaps=gaps,
        known=Known(stray_f=world.stray_f),
    )
    took = world.cell.charge_c - before_c
    assert found.corrected_c == near(took, abs=found.uncertainty_c)
    assert abs(found.raw_c - took) > 3 * abs(found.corrected_c - took)
