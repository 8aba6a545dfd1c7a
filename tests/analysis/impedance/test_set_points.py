"""A sine of set points: what is fitted, and what the staircase adds, against circuits whose answer is known exactly."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.analysis.impedance.images import Sampling, without_images
from bridge.analysis.impedance.kramers_kronig import Complexes, Floats
from bridge.analysis.impedance.lock_in import Waveform, highest_hz, tone, waveform
from drivers.errors import InvalidValue
from tests.near import near

OHM, FARAD = 1e9, 100e-12


def test_whole_periods_of_as_many_steps_as_there_is_time_for() -> None:
    wave = waveform(0.5, 0.1, 2, 1)
    assert (wave.steps, wave.step_s) == (20, near(0.1))
    assert waveform(0.3, 0.1, 2, 1).step_s >= 0.1
    assert waveform(1e-3, 0.1, 2, 1).steps == 100
    points = wave.set_points(3e-12)
    assert len(points) == 61
    assert points[0] == 0.0
    assert points[1] == near(3e-12)
    assert sum(points[1:]) == near(0.0, abs=1e-24), "no net charge"
    assert highest_hz(0.1) == near(0.625)
    with pytest.raises(InvalidValue, match=r"accepted: up to 0\.625 Hz"):
        waveform(0.7, 0.1, 2, 1)


def test_drift_does_not_look_like_a_phase() -> None:
    wave = Waveform(0.1, 40, 3, 1)
    n = np.arange(len(wave.set_points(1.0)))
    angle = 2 * np.pi * (n - 1) / 40
    drift = 3.6 + 4e-4 * n - 1e-6 * n**2
    values = 2e-3 * np.cos(angle - 0.4) + drift
    found = tone(wave, values)
    assert found.phasor == near(2e-3 * np.exp(-0.4j), rel=1e-9)
    assert found.sigma < 1e-12
    assert found.slope_per_s == near((4e-4 - 2e-6 * 100.5) / wave.step_s, rel=1e-6)


def test_sigma_is_the_scatter_of_many_tries() -> None:
    wave = Waveform(0.1, 40, 2, 0)
    rng = np.random.default_rng(3)
    clean = np.array(wave.set_points(1.0))
    tries = [tone(wave, clean + 0.05 * rng.normal(size=len(clean))) for _ in range(400)]
    scatter = np.sqrt(np.mean([abs(t.phasor - 1) ** 2 for t in tries]))
    assert np.mean([t.sigma for t in tries]) == near(scatter, rel=0.08)


def test_a_record_that_is_cut_or_holed_is_no_tone() -> None:
    wave = Waveform(0.1, 40, 2, 0)
    with pytest.raises(InvalidValue, match=r"80 samples at 0\.1 Hz; 81 were asked for"):
        tone(wave, np.zeros(80))
    holed = np.zeros(81)
    holed[5] = np.nan
    with pytest.raises(InvalidValue, match="1 samples at"):
        tone(wave, holed)


def stepped(wave: Waveform, from_s: float, integration_s: float) -> Floats:
    """Voltage of R beside C under the waveform, as a converter reads it: by the exact exponentials of each step."""
    tau, t, volts, read = OHM * FARAD, wave.step_s, 0.0, []
    for amperes in wave.set_points(1e-11):
        final = amperes * OHM
        mean = tau / integration_s * (np.exp(-from_s / tau) - np.exp(-(from_s + integration_s) / tau))
        read.append(final + (volts - final) * mean)
        volts = final + (volts - final) * np.exp(-t / tau)
    return np.array(read)


@pytest.mark.parametrize("integration", [0.2, 0.6, 0.99])
def test_images_are_divided_out(integration: float) -> None:
    """Without that the worst point is 1 to 6 % off (of a resistor behind nothing it would be right)."""
    frequency = np.geomspace(0.6, 0.06, 11)
    raw: list[complex] = []
    samplings = []
    for f in frequency:
        wave = waveform(float(f), 0.1, 2, 1)
        length = integration * wave.step_s
        from_s = wave.step_s - length
        raw.append(tone(wave, stepped(wave, from_s, length)).phasor / 1e-11)
        samplings.append(Sampling(wave.step_s, from_s, length))
    truth = OHM / (1 + 2j * np.pi * frequency * OHM * FARAD)
    seen: Complexes = np.array(raw)
    assert np.abs(seen / truth - 1).max() > 0.01
    found = without_images(frequency, seen, samplings, sources_current=True)
    assert np.abs(found / truth - 1).max() < 1e-3


def test_a_bare_resistor_stays_what_it_is() -> None:
    frequency = np.array([0.5, 0.2, 0.1])
    samplings = [Sampling(1 / (f * 20), 0.5 / (f * 20), 0.4 / (f * 20)) for f in frequency]
    z = np.full(3, 1e5 + 0j)
    for sources_current in (True, False):
        found = without_images(frequency, z, samplings, sources_current=sources_current)
        assert found == near(z, rel=2e-4)
