"""The set points of a sweep and of a waveform, and what no waveform may be."""

from __future__ import annotations

import math

import pytest

from drivers.errors import InvalidValue
from drivers.potentiostats.staircase import set_points, step_s
from drivers.techniques import CurrentSequence, CyclicVoltammetry, Galvanostatic, VoltageSequence
from tests.near import near


def test_a_staircase_reaches_its_vertices() -> None:
    sweep = CyclicVoltammetry(begin_v=0, vertex1_v=0.01, vertex2_v=-0.005, rate_v_per_s=1, step_v=0.004)
    levels = list(set_points(sweep) or ())
    assert levels == near([0.0, 0.004, 0.008, 0.01, 0.006, 0.002, -0.002, -0.005, -0.001, 0.0], abs=1e-12)
    assert 0.01 in levels
    assert -0.005 in levels
    assert step_s(sweep) == near(0.004)


def test_a_leg_that_the_step_divides_has_no_sliver_at_its_end() -> None:
    sweep = CyclicVoltammetry(begin_v=0.1, vertex1_v=0.4, vertex2_v=0.1, rate_v_per_s=1, step_v=0.1)
    assert list(set_points(sweep) or ()) == near([0.1, 0.2, 0.3, 0.4, 0.3, 0.2, 0.1])


def test_a_waveform_is_its_own_set_points() -> None:
    wave = CurrentSequence(currents_a=[0, 1e-12, -1e-12], interval_s=0.5)  # type: ignore[arg-type]  # JSON gives lists
    assert wave.currents_a == (0.0, 1e-12, -1e-12)
    assert list(set_points(wave) or ()) == [0.0, 1e-12, -1e-12]
    assert step_s(wave) == 0.5
    assert set_points(Galvanostatic(current_a=0, duration_s=1)) is None


def test_what_is_no_waveform_is_refused() -> None:
    with pytest.raises(InvalidValue, match="currents_a has 0 values; accepted: 1 to 1000000"):
        CurrentSequence(currents_a=(), interval_s=0.1)
    with pytest.raises(InvalidValue, match=r"voltages_v\[1\] is nan; a finite number is needed"):
        VoltageSequence(voltages_v=(3.6, math.nan), interval_s=0.1)
    with pytest.raises(InvalidValue, match=r"interval_s is 0\.0; it must be greater than zero"):
        VoltageSequence(voltages_v=(3.6,), interval_s=0.0)
    with pytest.raises(InvalidValue, match=r"voltage_min_v 4\.2 is not below voltage_max_v 2"):
        CurrentSequence(currents_a=(0.0,), interval_s=0.1, voltage_min_v=4.2, voltage_max_v=2.0)
