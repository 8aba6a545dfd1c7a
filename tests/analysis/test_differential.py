"""dQ/dV on records whose answer is known, and LiCoO2's peak on the mock of an anodeless cell."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.analysis.differential import BIN_SIGMAS, differential_capacity, voltage_noise
from drivers.errors import InvalidValue
from mocks.world import CurrentDrive
from tests.near import near
from tests.world.rig import Rig


def logistic(noise_v: float = 0.0, points: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """A charge whose dQ/dV is a bell at 3.9 V on top of 1 nC/V: (voltage, charge)."""
    voltage = np.linspace(3.6, 4.2, points)
    charge = 1e-9 * (voltage - 3.6) + 4e-9 / (1 + np.exp(-(voltage - 3.9) / 0.01))
    return voltage + np.random.default_rng(3).normal(0, noise_v, points) if noise_v else voltage, charge


@pytest.mark.parametrize("rising", [True, False])
def test_a_bell_is_found_where_it_is_and_as_high(rising: bool) -> None:
    voltage, charge = logistic()
    if not rising:
        voltage, charge = voltage[::-1], charge[-1] - charge[::-1]
    found = differential_capacity(voltage, charge, rising=rising, bin_v=2e-3)
    assert found.peak is not None
    assert found.peak[0] == near(3.9, abs=1e-3)
    assert found.peak[1] == near(1e-9 + 4e-9 / 0.04, rel=0.03)
    assert found.dq_dv_c_per_v.sum() * found.bin_v == near(charge[-1] - charge[0] if rising else charge[-1], rel=0.02)
    assert found.smoothing_v == near(6e-3)


def test_bins_are_at_least_five_sigma_of_the_noise() -> None:
    voltage, charge = logistic(noise_v=1e-3)
    assert voltage_noise(voltage) == near(1e-3, rel=0.05)
    found = differential_capacity(voltage, charge, rising=True)
    assert found.bin_v >= BIN_SIGMAS * 0.95e-3
    assert found.peak is not None
    assert found.peak[0] == near(3.9, abs=5e-3)
    with pytest.raises(InvalidValue, match="at least 5 sigma"):
        differential_capacity(voltage, charge, rising=True, bin_v=1e-3)


def test_noise_is_not_made_larger_by_a_step_or_a_spike() -> None:
    voltage, _ = logistic(noise_v=1e-3)
    voltage[2000:] += 0.3
    voltage[1000] += 1.0
    assert voltage_noise(voltage) == near(1e-3, rel=0.05)


def test_a_plateau_and_a_record_without_a_span_do_no_harm() -> None:
    flat = differential_capacity(np.full(100, 3.9), np.linspace(0, 1e-9, 100), rising=True)
    assert len(flat.voltage_v) == 0
    assert flat.peak is None
    stairs = differential_capacity(np.repeat(np.linspace(3.6, 4.0, 50), 4), np.linspace(0, 1e-9, 200), rising=True)
    assert np.isfinite(stairs.dq_dv_c_per_v).all()


def test_licoo2_peaks_near_3_9_v_on_the_mock_of_an_anodeless_cell() -> None:
    """C/10 of 0.69 mAh/cm2; the note has the peak at 3.90 to 3.93 V against lithium, where its table is flattest."""
    rig = Rig("sheet", area_m2=1e-5, precharge=True)
    current = 69.1e-6 * 0.1
    rig.drive(CurrentDrive(current, 10.0))
    voltage = np.array([reading.voltage_end_v for reading in rig.samples(590, 60.0)])
    charge = current * 60.0 * np.arange(1.0, len(voltage) + 1)
    found = differential_capacity(voltage, charge, rising=True)
    assert found.peak is not None
    assert 3.895 <= found.peak[0] <= 3.93
