"""Resistance at the edge of a step: 130 Ohm cm2 give 6.5 mV at 50 uA/cm2 and 162 mV at 1.25 mA/cm2 (domain note, 3)."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.analysis.step_resistance import step_resistance
from tests.near import near

#: 130 Ohm cm2 on 10 um2
OHM = 1.3e9


def after(current_a: float, stray_f: float = 100e-12) -> tuple[np.ndarray, np.ndarray]:
    """A step from rest at 3.6 V, sampled every 100 ms: the lead charges with R C."""
    time = np.arange(0.1, 3.0, 0.1)
    return time, 3.6 + current_a * OHM * (1 - np.exp(-time / (OHM * stray_f)))


@pytest.mark.parametrize(("current_a", "drop_v"), [(5e-12, 6.5e-3), (125e-12, 0.1625)])
def test_the_drop_of_the_note_is_130_ohm_cm2(current_a: float, drop_v: float) -> None:
    time, voltage = after(current_a)
    assert voltage[-1] - 3.6 == near(drop_v, rel=1e-3)
    found = step_resistance(3.6, 0.0, time, voltage, current_a, delay_s=1.0, stray_f=100e-12)
    assert found is not None
    assert found.valid
    assert found.resistance_ohm * 1e-11 == near(130e-4, rel=1e-3)


def test_from_charge_to_discharge_the_change_of_current_is_twice_the_current() -> None:
    time, voltage = after(-10e-12)
    found = step_resistance(3.6, 5e-12, time, voltage, -5e-12, delay_s=1.0, stray_f=100e-12, noise_v=1e-4, rest_s=10.0)
    assert found is not None
    assert found.resistance_ohm == near(OHM, rel=1e-3)
    assert found.uncertainty_ohm == near(2**0.5 * 1e-4 / 10e-12)
    assert found.before_s == 10.0


def test_before_the_lead_has_settled_it_is_not_valid() -> None:
    time, voltage = after(5e-12)
    found = step_resistance(3.6, 0.0, time, voltage, 5e-12, delay_s=0.2, stray_f=100e-12)
    assert found is not None
    assert not found.valid
    assert "to settle" in found.reason


def test_a_delay_before_the_first_sample_becomes_that_sample_s() -> None:
    time, voltage = after(5e-12)
    found = step_resistance(3.6, 0.0, time, voltage, 5e-12, delay_s=0.01, stray_f=0.0)
    assert found is not None
    assert found.delay_s == near(0.1)


def test_a_voltage_that_goes_against_the_current_says_nothing_of_a_resistance() -> None:
    found = step_resistance(3.6, 0.0, np.array([1.0, 2.0]), np.array([3.5, 3.5]), 5e-12, delay_s=1.0, stray_f=0.0)
    assert found is not None
    assert not found.valid


def test_without_a_change_of_current_or_samples_there_is_none() -> None:
    time, voltage = after(5e-12)
    assert step_resistance(3.6, 5e-12, time, voltage, 5e-12, delay_s=1.0, stray_f=0.0) is None
    assert step_resistance(3.6, 0.0, np.empty(0), np.empty(0), 5e-12, delay_s=1.0, stray_f=0.0) is None
