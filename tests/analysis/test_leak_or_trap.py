"""Leak or trap, against the closed forms and figures of the domain note (sections 0.5, 7.2)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bridge.analysis.leak_in_rest import leak_from_rest, verdict_from_rest
from bridge.analysis.leak_or_trap import (
    CycleCharges,
    leak_for_ratio,
    predicted_discharge,
    ratio_with_leak,
    verdict_from_rates,
)
from tests.near import near

#: of a cell of 10 um2: uA/cm2 in A
UA_PER_CM2 = 1e-6 * 1e-7
VOLTS = 3.4


def cycle(current_a: float, charge_c: float, discharge_c: float, uncertainty_c: float = 5e-12) -> CycleCharges:
    """At one voltage throughout."""
    volts = VOLTS / current_a
    return CycleCharges(current_a, charge_c, discharge_c, volts * charge_c, volts * discharge_c, uncertainty_c)


def leaking(current_a: float, charge_c: float, leak_a: float) -> CycleCharges:
    return cycle(current_a, charge_c, charge_c * ratio_with_leak(current_a, leak_a))


def test_the_leak_that_alone_gives_35_percent() -> None:
    """(j - jl)/(j + jl) = 0.35 gives 28.9 uA/cm2, 1.25 TOhm at 3.6 V; at twice the rate it leaves 0.61."""
    leak = leak_for_ratio(60.0, 0.35)
    assert leak == near(28.9, abs=0.05)
    assert 3.6 / (leak * UA_PER_CM2) == near(1.25e12, rel=5e-3)
    assert ratio_with_leak(120.0, leak) == near(0.61, abs=2e-3)


@pytest.mark.parametrize("same_cell", [False, True])
def test_a_leak_is_told_by_the_second_rate(same_cell: bool) -> None:
    leak = 28.9 * UA_PER_CM2
    first = leaking(60 * UA_PER_CM2, 10.8e-9, leak)
    second = leaking(120 * UA_PER_CM2, 3.78e-9 if same_cell else 10.8e-9, leak)
    found = verdict_from_rates(first, second, same_cell=same_cell)
    assert found.verdict == "leak"
    assert found.leak_a == near(leak, rel=1e-3)
    assert found.leak_uncertainty_a is not None
    assert 0 < found.leak_uncertainty_a < 0.1 * leak
    assert found.resistance_ohm == near(VOLTS / leak, rel=1e-3)


def test_a_trap_is_told_by_the_second_rate() -> None:
    """Another fresh cell keeps as much again; the same cell gives all of the second charge back."""
    first = cycle(60 * UA_PER_CM2, 10.8e-9, 0.343 * 10.8e-9)
    for same_cell, second in (
        (False, cycle(120 * UA_PER_CM2, 10.8e-9, 0.343 * 10.8e-9)),
        (True, cycle(120 * UA_PER_CM2, 3.7e-9, 3.7e-9)),
    ):
        found = verdict_from_rates(first, second, same_cell=same_cell)
        assert found.verdict == "trap"
        assert found.returned_share == near(0.343, rel=1e-6)
        assert found.leak_a == near(0.0, abs=1e-15)
        assert found.resistance_ohm is None
        assert found.leak_uncertainty_a is not None
        assert found.leak_uncertainty_a < 0.05 * first.current_a


def test_the_note_s_two_pairs_of_ratios() -> None:
    first = cycle(6e-12, 10.8e-9, 0.349 * 10.8e-9)
    assert verdict_from_rates(first, cycle(12e-12, 10.8e-9, 0.604 * 10.8e-9), same_cell=False).verdict == "leak"
    first = cycle(6e-12, 10.8e-9, 0.343 * 10.8e-9)
    assert verdict_from_rates(first, cycle(12e-12, 10.8e-9, 0.343 * 10.8e-9), same_cell=False).verdict == "trap"


def test_in_the_same_cell_a_full_second_charge_tells_little() -> None:
    """Part of it refills what is not trapped: the trap gives 0.57 then, the leak 0.60. So less is charged."""
    first = cycle(6e-12, 10.8e-9, 0.343 * 10.8e-9)
    second = cycle(12e-12, 10.8e-9, 0.0)
    assert predicted_discharge(first, second, 0.0, 0.343, same_cell=True) / 10.8e-9 == near(0.568, abs=2e-3)
    assert verdict_from_rates(first, cycle(12e-12, 10.8e-9, 0.585 * 10.8e-9)).verdict == "undecided"


def test_half_a_leak_and_half_a_trap_is_neither() -> None:
    leak = 10 * UA_PER_CM2
    share = 0.6
    first = cycle(60 * UA_PER_CM2, 10.8e-9, share * 10.8e-9 * ratio_with_leak(60.0, 10.0))
    back = share * 10.8e-9 * ratio_with_leak(120.0, 10.0)
    found = verdict_from_rates(first, cycle(120 * UA_PER_CM2, 10.8e-9, back, 1e-12), same_cell=False, model_share=0.002)
    assert found.verdict == "undecided"
    assert "both together fit" in found.reason
    assert found.evidence["leak_if_both_a"] == near(leak, rel=0.02)
    assert found.evidence["returned_share_if_both"] == near(share, rel=0.02)
    assert found.leak_a is None


def test_charges_that_are_not_known_well_decide_nothing() -> None:
    first = leaking(6e-12, 10.8e-9, 2.89e-12)
    second = leaking(12e-12, 3.78e-9, 2.89e-12)
    found = verdict_from_rates(first, replace(second, uncertainty_c=1e-9))
    assert found.verdict == "undecided"
    assert "too close to tell" in found.reason


def test_where_nothing_is_missing_there_is_nothing_to_tell() -> None:
    found = verdict_from_rates(cycle(6e-12, 10.8e-9, 10.7e-9), cycle(12e-12, 10.7e-9, 10.7e-9))
    assert found.verdict == "undecided"
    assert "nothing is missing" in found.reason


# --- a rest ---------------------------------------------------------------------------------------------------------

#: a cell of constant dQ/dV: 10 nC/V
FARADS = 10e-9


def rested(leak_a: float, relaxation_v: float = 0.0, noise_v: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    time = np.arange(1.0, 901.0)
    voltage = 3.6 - leak_a * time / FARADS - relaxation_v * (1 - np.exp(-time / 100.0))
    return time, voltage + np.random.default_rng(7).normal(0, noise_v, 900)


def charged(leak_a: float) -> tuple[np.ndarray, np.ndarray]:
    """At 6 pA, to 3.6 V, with 10 mV of the current's own on top."""
    time = np.arange(1.0, 1801.0)
    return time, 3.61 + (6e-12 - leak_a) * (time - 1800.0) / FARADS


@pytest.mark.parametrize("noise_v", [0.0, 2e-4])
def test_a_leak_is_seen_in_a_rest(noise_v: float) -> None:
    leak = 2.89e-12
    found = leak_from_rest(*rested(leak, noise_v=noise_v), *charged(leak), 6e-12)
    assert found is not None
    assert found.goes_on
    assert found.leak_a == near(leak, rel=0.02)
    verdict = verdict_from_rest(found, leaking(6e-12, 10.8e-9, leak))
    assert verdict.verdict == "leak"
    assert verdict.leak_a == near(leak, rel=0.02)
    assert verdict.resistance_ohm == near(found.voltage_v / leak, rel=0.02)


def test_relaxation_dies_away_and_leaves_a_trap() -> None:
    found = leak_from_rest(*rested(0.0, relaxation_v=0.02), *charged(0.0), 6e-12)
    assert found is not None
    assert abs(found.leak_a) < 0.05e-12
    assert verdict_from_rest(found, cycle(6e-12, 10.8e-9, 0.343 * 10.8e-9)).verdict == "trap"


def test_a_leak_too_small_for_what_is_missing_is_neither() -> None:
    found = leak_from_rest(*rested(1e-12), *charged(1e-12), 6e-12)
    assert found is not None
    verdict = verdict_from_rest(found, cycle(6e-12, 10.8e-9, 0.2 * 10.8e-9))
    assert verdict.verdict == "undecided"
    assert "not all of what is missing" in verdict.reason


def test_a_rest_that_rises_leaks_nothing() -> None:
    found = leak_from_rest(*rested(-0.5e-12), *charged(0.0), 6e-12)
    assert found is not None
    assert found.leak_a < 0
    assert verdict_from_rest(found, cycle(6e-12, 10.8e-9, 0.3 * 10.8e-9)).verdict == "trap"


def test_too_few_samples_make_no_slope() -> None:
    time, voltage = rested(1e-12)
    assert leak_from_rest(time[::40], voltage[::40], *charged(1e-12), 6e-12) is None
    assert leak_from_rest(np.empty(0), np.empty(0), *charged(0.0), 6e-12) is None
    assert leak_from_rest(time, voltage, np.empty(0), np.empty(0), 6e-12) is None
    assert math.isfinite(voltage[-1])
