"""The ohmic test, on voltages of which the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.analysis.contact_proof import Floats, Proof, judge, levels
from tests.near import near

CURRENT_A, COUNT, INTERVAL_S, LEAD_F = 5e-12, 20, 0.1, 100e-12
NOISE_V = 20e-6


def answer(resistance_ohm: float, cell_f: float, seed: int = 0, fine: int = 200) -> Floats:
    """Of a lead of `LEAD_F` beside a resistance in series with a cell of `cell_f`, by small steps of time."""
    rng = np.random.default_rng(seed)
    lead_v = cell_v = 3.6
    dt = INTERVAL_S / fine
    seen = []
    for current in levels(CURRENT_A, COUNT):
        for _ in range(fine):
            through = (lead_v - cell_v) / resistance_ohm
            lead_v += (current - through) * dt / LEAD_F
            cell_v += through * dt / cell_f
        seen.append(lead_v)
    return np.array(seen) + NOISE_V * rng.standard_normal(4 * COUNT)


@pytest.mark.parametrize(("resistance_ohm", "cell_f"), [(1.3e9, 1.0), (1.3e9, 1e-8), (0.5e9, 1e-9), (2e9, 1e-7)])
def test_the_resistance_comes_back_within_its_uncertainty(resistance_ohm: float, cell_f: float) -> None:
    errors = []
    for seed in range(20):
        test = judge(answer(resistance_ohm, cell_f, seed), CURRENT_A, COUNT, INTERVAL_S, LEAD_F, NOISE_V)
        assert test.verdict is Proof.OHMIC, test.reason
        errors.append((test.resistance_ohm - resistance_ohm) / test.uncertainty_ohm)
    assert np.std(errors) == near(1.0, abs=0.45)
    assert abs(np.mean(errors)) * test.uncertainty_ohm < 0.02 * resistance_ohm


def test_an_open_lead_is_its_own_capacitance() -> None:
    lead = 3.6 + np.cumsum(levels(CURRENT_A, COUNT)) * INTERVAL_S / LEAD_F
    test = judge(lead, CURRENT_A, COUNT, INTERVAL_S, LEAD_F, NOISE_V)
    assert test.verdict is Proof.OPEN
    assert test.capacitance_f == near(LEAD_F, rel=0.01)


def test_too_much_resistance_does_not_settle() -> None:
    test = judge(answer(50e9, 1.0), CURRENT_A, COUNT, INTERVAL_S, LEAD_F, NOISE_V)
    assert test.verdict is Proof.OPEN


def test_one_that_rectifies_is_not_ohmic() -> None:
    currents = np.array(levels(CURRENT_A, COUNT))
    voltage = 3.6 + np.where(currents > 0, 1e9, 8e9) * currents
    test = judge(voltage, CURRENT_A, COUNT, INTERVAL_S, LEAD_F, NOISE_V, 1.0)
    assert test.verdict is not Proof.OHMIC


def test_one_that_opens_now_and_then_scatters() -> None:
    voltage = answer(1.3e9, 1.0)
    voltage[30:34] += 0.02
    test = judge(voltage, CURRENT_A, COUNT, INTERVAL_S, LEAD_F, NOISE_V)
    assert test.verdict is Proof.NOT_OHMIC
    assert "opens and closes" in test.reason


def test_no_charge_remains() -> None:
    assert abs(sum(levels(CURRENT_A, COUNT))) < 1e-24
    with pytest.raises(ValueError, match="at least eight"):
        judge(np.zeros(12), CURRENT_A, 3, INTERVAL_S, LEAD_F)
