"""Each cause of a noisy path is told by its own mark, and by no other's."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.analysis.noise import NoiseResult, NoiseSpec, assess_noise
from bridge.analysis.noise_advice import Advice, Burst, advise, compare
from bridge.analysis.spectrum import spectrum
from bridge.analysis.statistics import Floats
from tests.near import near

PA = 1e-12
RATE = 10.0
T = np.arange(3000) / RATE


def noise(std_pa: float = 0.05, seed: int = 3) -> Floats:
    """1 pA with white noise of `std_pa` on averages of a second."""
    result: Floats = 1.0 + np.random.default_rng(seed).normal(size=len(T)) * std_pa * np.sqrt(RATE)
    return result


def judge(
    values_pa: Floats, *, time: Floats = T, integration_s: float | None = 0.1, fast: Burst | None = None
) -> tuple[NoiseResult, list[Advice]]:
    spec = NoiseSpec(current_a=PA, tolerance_a=0.1 * PA, duration_s=300.0, settle_s=0.0, integration_s=integration_s)
    result = assess_noise(time, values_pa * PA, np.zeros(len(time), np.uint32), spec)
    return result, advise(result, fast)


def causes(values_pa: Floats) -> list[str]:
    return [advice.cause for advice in judge(values_pa)[1]]


def burst(*lines: tuple[float, float], seed: int = 1) -> Burst:
    """Ten seconds at 400 samples/s with lines (Hz, pA rms) as they are; the judged record integrates over 100 ms."""
    time = np.arange(4000) / 400.0
    values = np.random.default_rng(seed).normal(size=len(time))
    for frequency_hz, rms_pa in lines:
        values += rms_pa * np.sqrt(2) * np.sin(2 * np.pi * frequency_hz * time)
    return Burst(spectrum(time, values * PA), None, 0.1)


def triboelectric(at_s: float, height_pa: float) -> Floats:
    result: Floats = np.where(at_s <= T, height_pa * np.exp(-(T - at_s) / 20.0), 0.0)
    return result


@pytest.mark.parametrize("seed", range(20))
def test_a_quiet_path_needs_no_advice(seed: int) -> None:
    assert causes(noise(seed=seed)) == []


def test_white_noise_alone_has_no_cause_that_the_record_shows() -> None:
    """Too much of it fails, but no advice is invented for it."""
    result, advice = judge(noise(0.3))
    assert not result.passed
    assert [a.cause for a in advice if a.cause != "leakage or offset"] == []


def test_mains_through_the_air() -> None:
    """150 pA rms of mains, 54 dB down by integration over whole cycles, leave 0.3 pA in the readings (domain 2.2)."""
    (advice,) = judge(noise(), fast=burst((50.0, 150.0)))[1]
    assert advice.cause == "mains pick-up"
    assert "150 pA at 50 Hz" in advice.evidence
    assert advice.share == near(3.0, rel=0.02)
    assert "Shield" in advice.action


def test_mains_that_integration_takes_off_is_no_cause() -> None:
    assert judge(noise(), fast=burst((50.0, 5.0)))[1] == []


def test_mains_by_a_conductor_is_distorted() -> None:
    (advice,) = judge(noise(), fast=burst((60.0, 100.0), (120.0, 30.0), (180.0, 40.0)))[1]
    assert advice.cause == "ground loop"
    assert "at 180 Hz" in advice.evidence


def test_mains_in_the_record_itself() -> None:
    """At 7 samples/s 50 Hz shows at 1 Hz."""
    time = np.arange(2100) / 7.0
    values = 1.0 + 0.3 * np.random.default_rng(0).normal(size=2100) + np.sin(2 * np.pi * 50.0 * time)
    (advice,) = judge(values, time=time)[1]
    assert advice.cause == "mains pick-up"
    assert "706 fA at 50 Hz (rms) in the record" in advice.evidence


def test_a_steady_drift() -> None:
    assert causes(noise() + 1e-3 * T)[0] == "drift"


def test_a_drift_that_dies_away() -> None:
    advice = judge(noise() + 2.0 * np.exp(-T / 60.0))[1]
    assert advice[0].cause == "not settled"
    assert "dies away" in advice[0].evidence


def test_a_cable_that_moves() -> None:
    values = noise() + triboelectric(80.0, 3.0) + triboelectric(210.0, -4.0)
    advice = judge(values)[1]
    assert advice[0].cause == "cable movement"
    assert "2 steps" in advice[0].evidence


def test_an_offset_is_told_as_one() -> None:
    (advice,) = judge(noise() + 0.2)[1]
    assert advice.cause == "leakage or offset"
    assert "203 fA off" in advice.evidence
    assert advice.share == near(2.0, rel=0.02)


def test_mains_that_sampling_hides_is_not_taken_for_an_offset_alone() -> None:
    """Point samples at 10/s fold 50 Hz onto the mean: the record cannot tell, and says so."""
    time = np.arange(3000) / 10.0
    result, advice = judge(noise() + 0.2, time=time, integration_s=None)
    assert result.spectrum.lines[0].seen_at_hz == 0.0
    assert "mains folded onto the mean" in [a.cause for a in advice]


def test_a_line_that_all_routes_share_comes_by_the_ground() -> None:
    shared = {50.0: 10 * PA, 150.0: PA}
    (advice,) = compare({"a": shared, "b": {50.0: 12 * PA}})
    assert advice.cause == "ground loop"
    assert "10 pA through a, 12 pA through b" in advice.evidence
    assert compare({"a": shared, "b": {}}) == []
    assert compare({"a": shared, "b": {50.0: 80 * PA}}) == []
    assert compare({"a": shared}) == []
