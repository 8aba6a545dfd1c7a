"""Spectra against the numbers of the domain note, section 6 (and 4 for shorts)."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.analysis.impedance.circuit import DEFAULT_CIRCUIT, fit_circuit, parse_circuit
from bridge.analysis.impedance.kramers_kronig import Complexes, Floats, lin_kk
from bridge.analysis.impedance.lead import (
    OpenLead,
    cable_verdict,
    corner_hz,
    open_lead_of,
    without_lead,
)
from bridge.analysis.impedance.signature import signature
from bridge.analysis.impedance.steadiness import steadiness
from bridge.analysis.impedance.sweep import frequencies, sweep_time_s
from drivers.errors import InvalidValue
from tests.near import near

#: seven decades, 71 points
F = np.logspace(6, -1, 71)


def sheet_cell(f: Floats) -> Complexes:
    """The note's mock cell of 0.1 cm2."""
    omega = 2j * np.pi * f
    arcs = 750 / (1 + omega * 750 * 0.98e-9) + 600 / (1 + omega * 600 * 0.2e-6)
    return np.asarray(5 + arcs + 400 * (1 - 1j) / np.sqrt(omega.imag), dtype=np.complex128)


def nanobattery(f: Floats) -> Complexes:
    """10 um2: 500 MOhm and 1.5 fF of LiPON, 800 MOhm and 0.2 pF of interfaces."""
    omega = 2j * np.pi * f
    return np.asarray(500e6 / (1 + omega * 500e6 * 1.5e-15) + 800e6 / (1 + omega * 800e6 * 2e-13), dtype=np.complex128)


def noisy(z: Complexes, share: float, seed: int = 1, below_hz: float = np.inf) -> Complexes:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=len(z)) + 1j * rng.normal(size=len(z))
    return np.asarray(np.where(below_hz > F, z * (1 + share * noise), z), dtype=np.complex128)


def test_the_mock_cell() -> None:
    z = sheet_cell(np.array([1e3, 0.1]))
    assert abs(z[0]) == near(1181, rel=1e-3)
    assert z[1] == near(1860 - 505j, rel=1e-3)


# --- Kramers-Kronig --------------------------------------------------------------------------------------------------


def test_perfect_data_with_the_published_constant_and_with_ours() -> None:
    published = lin_kk(F, sheet_cell(F), c=0.85, fewest_a_decade=0)
    assert published.elements == 15
    assert published.max == near(0.025, rel=0.02)
    ours = lin_kk(F, sheet_cell(F))
    assert ours.elements == 33
    assert ours.max < 0.001  # the note has 0.08 %
    assert ours.verdict == "pass"


@pytest.mark.parametrize("seed", range(5))
def test_ordinary_noise_passes(seed: int) -> None:
    """0.3 % of noise leaves about 0.7 % at most."""
    found = lin_kk(F, noisy(sheet_cell(F), 0.003, seed))
    assert found.verdict == "pass"
    assert 0.004 < found.max < 0.013


@pytest.mark.parametrize("seed", range(5))
def test_noise_at_low_frequencies_fails(seed: int) -> None:
    found = lin_kk(F, noisy(sheet_cell(F), 0.1, seed, below_hz=1.0))
    assert found.verdict == "fail"
    assert found.max > 0.08  # the note has 11.8 %


def test_a_contact_event_fails() -> None:
    z = sheet_cell(F)
    z[30:34] *= 1.3
    found = lin_kk(F, z)
    assert found.verdict == "fail"
    assert found.max == near(0.15, rel=0.25)
    assert "3% at most are accepted" in found.reason


def test_a_slow_drift_is_not_seen_by_it_but_by_the_repeated_point() -> None:
    """+15 % over the sweep leaves 1.3 % (1.7 % in the note) at most, 10 % pass: it is no test for that."""
    z = sheet_cell(F) * (1 + 0.15 * np.linspace(0, 1, len(F)))
    assert lin_kk(F, z).max < 0.018
    assert lin_kk(F, sheet_cell(F) * (1 + 0.10 * np.linspace(0, 1, len(F)))).verdict == "pass"
    again = complex(sheet_cell(F)[0] * 1.15)
    drifted = steadiness(float(F[0]), complex(z[0]), again, 3.6, 3.59)
    assert not drifted.steady
    assert drifted.change == near(0.15)
    assert "changed by 15.00%" in drifted.text
    assert "-10 mV" in drifted.text
    assert steadiness(1e6, 100 + 0j, 101 + 0j).steady


@pytest.mark.parametrize("decades", [1.5, 2, 4, 6])
@pytest.mark.parametrize("corner", [0.0, 0.3, 0.7, 1.0])
def test_one_arc_is_no_fault(decades: float, corner: float) -> None:
    """A nanobattery beside its cable is one arc; the rule of the paper alone fails it on perfect data."""
    f = np.geomspace(1e3, 1e3 / 10**decades, round(10 * decades) + 1)
    arc = np.asarray(1.3e9 / (1 + 1j * f / (1e3 / 10 ** (decades * corner))), dtype=np.complex128)
    assert lin_kk(f, arc).max < 0.005
    if (decades, corner) == (4, 0.7):
        assert lin_kk(f, arc, fewest_a_decade=0).verdict == "fail"


def test_too_few_points_say_nothing() -> None:
    assert lin_kk(F[:6], sheet_cell(F)[:6]).verdict == "inconclusive"


# --- the cable -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("farads", "at_1_hz", "at_10_hz", "at_100_hz"),
    [(100e-12, 1.01e9, 158e6, 15.9e6), (1e-12, 1.30e9, 1.29e9, 975e6)],
)
def test_what_a_lead_leaves_of_a_nanobattery(farads: float, at_1_hz: float, at_10_hz: float, at_100_hz: float) -> None:
    f = np.array([1.0, 10.0, 100.0])
    z = 1 / (1 / nanobattery(f) + OpenLead(farads).admittance(f))
    assert np.abs(z) == near(np.array([at_1_hz, at_10_hz, at_100_hz]), rel=0.01)


def test_the_corner() -> None:
    assert corner_hz(500e6, 100e-12) == near(3.2, rel=0.01)


def test_the_cable_is_called_one() -> None:
    f = frequencies(1e4, 0.1, 10)
    z = 1 / (1 / nanobattery(f) + OpenLead(100e-12).admittance(f))
    known = cable_verdict(f, z, OpenLead(100e-12))
    assert known.above_hz == near(0.79, rel=0.05)
    assert "this is the cable" in known.text
    unknown = cable_verdict(f, z, None)
    assert unknown.above_hz is not None
    assert unknown.above_hz < 20
    assert unknown.capacitance_f == near(100e-12, rel=0.01)
    ordinary = cable_verdict(F, sheet_cell(F), None)
    assert ordinary.above_hz is None


def test_the_open_lead_is_measured_and_taken_off() -> None:
    f = frequencies(100.0, 0.1, 10)
    truth, lead = nanobattery(f), OpenLead(100e-12, 1e-14)
    open_spectrum = np.asarray(1 / lead.admittance(f), dtype=np.complex128)
    measured_lead = open_lead_of(f, open_spectrum)
    assert measured_lead.capacitance_f == near(100e-12, rel=1e-3)
    assert measured_lead.conductance_s == near(1e-14, rel=0.01)
    corrected = without_lead(f, 1 / (1 / truth + lead.admittance(f)), OpenLead(100e-12, 1e-14, error=0.01))
    believed = ~corrected.cable
    assert corrected.z_ohm[believed] == near(truth[believed], rel=1e-6)
    assert f[believed].max() < 30.0  # above it a hundredth of the lead is more than a fifth of the cell
    assert corrected.cable[f > 30].all()


# --- shorts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("short_ohm", "z_low", "phase_deg"),
    [(10.0, 9.95 - 0.01j, -0.08), (1e3, 661 - 60j, -5.2), (100e3, 1828 - 486j, -14.9)],
)
def test_shorts_beside_the_sheet_cell(short_ohm: float, z_low: complex, phase_deg: float) -> None:
    z = 1 / (1 / sheet_cell(F) + 1 / short_ohm)
    assert abs(z[-1] - z_low) <= 0.006 * abs(z_low)
    assert np.degrees(np.angle(z[-1])) == near(phase_deg, abs=0.1)
    found = signature(F, z)
    assert found.kind == ("short" if short_ohm == 10 else "cell")
    if short_ohm == 10:
        assert found.resistance_ohm == near(9.95, rel=1e-3)


def test_an_open_lead() -> None:
    assert signature(F, np.asarray(1 / OpenLead(100e-12).admittance(F))).kind == "open"


# --- circuits --------------------------------------------------------------------------------------------------------


def test_a_fit_with_intervals() -> None:
    """With the arc of LiPON (217 kHz) well inside the range all parameters come out, within their intervals."""
    f = np.logspace(7, -1, 81)
    rng = np.random.default_rng(1)
    z = sheet_cell(f) * (1 + 0.003 * (rng.normal(size=81) + 1j * rng.normal(size=81)))
    found = fit_circuit(f, z, "R0-p(R1,C1)-p(R2,C2)-W1")
    truth = {"R0": 5, "R1": 750, "C1": 0.98e-9, "R2": 600, "C2": 0.2e-6, "W1": 400}
    for parameter in found.parameters:
        assert parameter.value == near(truth[parameter.name], rel=0.02), parameter.name
        assert parameter.low - parameter.sigma < truth[parameter.name] < parameter.high + parameter.sigma
    assert found.residual == near(0.003 * np.sqrt(2), rel=0.2)
    assert found.warnings == ()


def test_an_arc_that_is_not_seen_whole_is_flagged() -> None:
    """With 1 MHz the arc at 217 kHz is above no third; with 500 kHz it is."""
    f = np.logspace(np.log10(5e5), -1, 68)
    found = fit_circuit(f, sheet_cell(f), "R0-p(R1,C1)-p(R2,C2)-W1")
    assert any("the arc of R1 has its peak at 2.17e+05 Hz" in text for text in found.warnings)


def test_the_default_circuit_finds_its_own_start() -> None:
    """The note's own trial came out with R0 = 44 and R1 = 733; logarithms and two starts find 5 and 750."""
    found = fit_circuit(F, sheet_cell(F), DEFAULT_CIRCUIT)
    assert found.residual < 1e-4
    for name, value in {"R0": 5, "R1": 750, "R2": 600, "W1": 400, "CPE1_0": 0.98e-9, "CPE2_1": 1.0}.items():
        assert found.value(name) == near(value, rel=2e-3), name
    assert found.warnings == ()


def test_what_the_data_do_not_tell_has_an_interval_that_says_so() -> None:
    """Up to 100 kHz a series resistance of 5 Ohm before an arc of 750 Ohm at 217 kHz cannot be seen."""
    f = np.logspace(5, -1, 61)
    z = noisy(sheet_cell(F), 0.003)[F <= 1.001e5]
    found = fit_circuit(f, z, "R0-p(R1,C1)-p(R2,C2)-W1")
    series = next(p for p in found.parameters if p.name == "R0")
    assert series.high > 2 * series.low
    assert series.low < 5 < series.high or series.sigma > 5
    assert any("above a third of the highest frequency" in text for text in found.warnings)


def test_what_is_no_circuit() -> None:
    with pytest.raises(InvalidValue, match="circuit is 'R0-p"):
        parse_circuit("R0-p(R1,C1)", [1.0, 2.0])
    with pytest.raises(InvalidValue, match="cannot tell 4 parameters"):
        fit_circuit(F[:2], sheet_cell(F)[:2], "R0-p(R1,C1)-W1")


# --- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("per_decade", "periods", "overhead_s", "seconds"),
    [(10, 3, 0.05, (2.2, 4.0, 17.6, 149, 1463)), (6, 2, 0.02, (0.56, 1.25, 7.0, 63.6, 628))],
)
def test_the_time_of_a_sweep(per_decade: float, periods: float, overhead_s: float, seconds: tuple[float, ...]) -> None:
    found = [
        sweep_time_s(frequencies(1e6, lowest, per_decade), periods, overhead_s) for lowest in (100, 10, 1, 0.1, 0.01)
    ]
    assert found == near(seconds, rel=0.01)


def test_the_lowest_decade_is_nearly_all_of_it() -> None:
    assert sweep_time_s(frequencies(1e6, 0.1, 10), 3, 0.0) == near(145.9, rel=0.001)
