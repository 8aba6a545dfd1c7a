"""Small-signal impedance at the terminals (domain note, sections 0.6 and 6)."""

from __future__ import annotations

import math

import pytest

from mocks.world import World
from mocks.world.presets import SHEET_AREA_M2
from mocks.world.wiring import CELL, FEEDTHROUGH
from tests.near import near

from .rig import Rig


def sheet() -> Rig:
    return Rig("sheet", area_m2=SHEET_AREA_M2)


def test_sheet_cell_has_the_notes_impedance() -> None:
    terminals = sheet().terminals
    assert abs(terminals.impedance(1000.0)) == near(1181.0, abs=1.0)
    low = terminals.impedance(0.1)
    assert low.real == near(1860.0, abs=1.0)
    assert low.imag == near(-505.0, abs=1.0)


@pytest.mark.parametrize(
    ("short_ohm", "real", "imag", "phase_deg"),
    [(10.0, 9.95, -0.01, -0.08), (1e3, 661.0, -60.0, -5.2), (1e5, 1828.0, -486.0, -14.9)],
)
def test_a_shorted_sheet_cell(short_ohm: float, real: float, imag: float, phase_deg: float) -> None:
    rig = sheet()
    rig.world.events.short_ohm = short_ohm
    z = rig.terminals.impedance(0.1)
    assert z.real == near(real, rel=0.001)
    assert z.imag == near(imag, abs=max(1.0, abs(imag) * 0.01) if abs(imag) > 1 else 0.01)
    assert math.degrees(math.atan2(z.imag, z.real)) == near(phase_deg, abs=0.1)


@pytest.mark.parametrize(
    ("stray_f", "frequency_hz", "ohms"),
    [(100e-12, 1.0, 1.01e9), (100e-12, 10.0, 158e6), (100e-12, 100.0, 15.9e6), (1e-12, 10.0, 1.29e9)],
)
def test_a_nanobatterys_impedance_is_the_cables(stray_f: float, frequency_hz: float, ohms: float) -> None:
    rig = Rig("fig8a_nominal", stray_f=stray_f, cell_options={"diffusion_ohm_m2": 0.0})
    assert abs(rig.terminals.impedance(frequency_hz)) == near(ohms, rel=0.01)


def test_open_lead_and_loop() -> None:
    world = World(loop_resistance_ohm=1e9)
    terminals = world.terminals("smu", input_resistance_ohm=1e12)
    world.wiring.set_relay(CELL, True)
    assert terminals.impedance(10.0) == near(1 / (1e-12 + 2j * math.pi * 10.0 * 100e-12))
    world.wiring.set_relay(CELL, False)
    world.wiring.set_relay(FEEDTHROUGH, True)
    assert abs(terminals.impedance(1e-6)) == near(1e9, rel=0.01)


def test_a_shorted_cell_is_its_resistor() -> None:
    assert abs(Rig("fig10").terminals.impedance(0.01)) == near(10e9, rel=1e-3)


def test_direct_current_agrees_with_impedance() -> None:
    """The step in voltage 10 ms after a current step is the impedance of the fast part."""
    rig = Rig("fig8a_nominal", precharge=True)
    rest = rig.sample(0.01).voltage_end_v
    step = rig.constant_current(50.0, seconds=0.01, dt=0.001)
    assert (step.last_v - rest) / 5e-12 == near(1.3e9, rel=0.05)


def test_zero_frequency_is_refused() -> None:
    with pytest.raises(ValueError, match="frequency_hz must be above zero"):
        World().terminals("smu").impedance(0.0)
