"""The expected outputs of the domain note (section 7.2), row by row: 1 % in charge and time, 20 mV in voltage."""

from __future__ import annotations

import math

import pytest

from mocks.world import CurrentDrive, World
from mocks.world.cell import Cell
from mocks.world.presets import PRESETS, UAH_PER_CM2
from tests.near import near

from .rig import AREA_M2, NS, Rig, Step

MILLIVOLTS = 0.020
PERCENT = 0.01


def check_voltages(step: Step, expected: dict[float, float]) -> None:
    for second, voltage in expected.items():
        assert step.voltage_v[second] == near(voltage, abs=MILLIVOLTS), f"at {second} s"


def test_fig8a_charges_to_the_shelf_in_900_seconds() -> None:
    step = Rig("fig8a").constant_current(50.0, seconds=900.0)
    assert step.uah_per_cm2 == near(12.5, rel=PERCENT)
    assert step.charge_c == near(4.5e-9, rel=PERCENT)
    check_voltages(step, {10: 2.687, 60: 3.051, 149: 3.263, 300: 3.446, 450: 3.522, 600: 3.571, 899: 3.643})


def test_fig8a_with_the_nominal_anode_is_lower() -> None:
    step = Rig("fig8a_nominal").constant_current(50.0, seconds=900.0)
    check_voltages(step, {10: 2.583, 60: 2.948, 149: 3.098, 300: 3.282, 450: 3.412, 600: 3.490, 899: 3.572})


def test_fig8b_reaches_4_2_volts_near_the_theoretical_capacity() -> None:
    step = Rig("fig8b").constant_current(1250.0, until_above_v=4.2, dt=0.1)
    assert step.seconds == near(303.5, rel=PERCENT)
    assert step.uah_per_cm2 == near(105.4, rel=PERCENT)
    check_voltages(step, {30: 3.562, 60: 3.735, 150: 3.846, 250: 4.037, 300: 4.190})


def test_fig8b_with_a_nominal_anode_and_less_resistance_ends_on_plated_lithium() -> None:
    rig = Rig("fig8b", cell_options={"anode_c_per_m2": 65.3 * UAH_PER_CM2, "interface_ohm_m2": 20e-4})
    step = rig.constant_current(1250.0, until_above_v=4.2, dt=0.1)
    assert step.seconds == near(301.2, rel=PERCENT)
    assert step.uah_per_cm2 == near(104.6, rel=PERCENT)


def reversibility(rig: Rig, ua_per_cm2: float, seconds: float) -> tuple[Step, Step, float]:
    charge = rig.constant_current(ua_per_cm2, seconds=seconds)
    discharge = rig.constant_current(-ua_per_cm2, until_below_v=2.0)
    return charge, discharge, discharge.charge_c / -charge.charge_c


def test_fig9_gives_a_third_back() -> None:
    charge, discharge, ratio = reversibility(Rig("fig9"), 60.0, 1800.0)
    assert charge.uah_per_cm2 == near(30.0, rel=PERCENT)
    assert charge.last_v == near(3.693, abs=MILLIVOLTS)
    assert discharge.seconds == near(617.0, rel=PERCENT)
    assert discharge.uah_per_cm2 == near(10.28, rel=PERCENT)
    assert ratio == near(0.343, rel=PERCENT)


@pytest.mark.parametrize(("teraohms", "expected"), [(1.2, 0.363), (1.1, 0.326), (1.16, 0.349)])
def test_a_leak_looks_the_same_in_one_cycle(teraohms: float, expected: float) -> None:
    rig = Rig("fig9_leak", cell_options={"leak_ohm_m2": teraohms * 1e12 * AREA_M2})
    assert reversibility(rig, 60.0, 1800.0)[2] == near(expected, rel=PERCENT)


def test_twice_the_rate_tells_a_leak_from_a_trap() -> None:
    assert reversibility(Rig("fig9_leak"), 120.0, 900.0)[2] == near(0.604, rel=PERCENT)
    assert reversibility(Rig("fig9"), 120.0, 900.0)[2] == near(0.343, rel=PERCENT)


def test_rest_after_charge_tells_a_leak_from_a_trap() -> None:
    falls = {}
    for cell in ("fig9_leak", "fig9"):
        rig = Rig(cell)
        rig.constant_current(60.0, seconds=1800.0)
        rig.drive(CurrentDrive(0.0))
        rig.sample(10.0)
        begin = rig.sample(1.0).voltage_v
        rig.sample(119.0)
        falls[cell] = (begin - rig.sample(1.0).voltage_v) / 2.0
    # The note's 3 mV/min holds near 3.6 to 3.7 V; this cell is at 3.59 V, where the curve begins to fall.
    assert 2.5e-3 < falls["fig9_leak"] < 6e-3
    assert abs(falls["fig9"]) < 0.5e-3


@pytest.mark.parametrize(("current_a", "voltage_v"), [(5e-12, 0.050), (10e-12, 0.100), (-5e-12, -0.050), (0.0, 0.0)])
def test_fig10_is_a_resistor_of_10_gigaohms(current_a: float, voltage_v: float) -> None:
    rig = Rig("fig10", stray_f=100e-12)
    rig.drive(CurrentDrive(current_a))
    rig.sample(10.0)
    voltages = [rig.sample().voltage_v for _ in range(60)]
    assert voltages == near([voltage_v] * 60, abs=1e-4)


def test_good_cell_loses_5_percent_in_150_cycles() -> None:
    rig = Rig("good")

    def go(ua_per_cm2: float, near_v: float, limit_v: float) -> float:
        """Seconds to the limit after a rest; the samples come faster near the end."""
        rig.drive(CurrentDrive(0.0))
        rig.sample(1800.0)
        up = ua_per_cm2 > 0
        seconds = 0.0
        for voltage_v, dt in ((near_v, 2.0), (limit_v, 0.05)):
            limit = {"until_above_v": voltage_v} if up else {"until_below_v": voltage_v}
            seconds += rig.constant_current(ua_per_cm2, dt=dt, **limit).seconds
        return seconds

    go(1000.0, 4.19, 4.2)
    discharged, efficiency = [], []
    for _ in range(151):
        discharged.append(go(-1000.0, 2.6, 2.0))
        efficiency.append(discharged[-1] / go(1000.0, 4.19, 4.2))
    assert rig.world.cell.cycles == 151
    # A little above the note's 0.950: diffusion takes its part of the voltage, and less of it in a shorter discharge.
    assert discharged[150] / discharged[0] == near(0.950, abs=0.003)
    assert sum(efficiency[1:]) / 150 == near(1.0, abs=0.001)


def test_good_cell_traps_a_twentieth_at_first_only() -> None:
    rig = Rig("good")
    # Anode and rate are such that nothing but the trap is lost.
    first = rig.constant_current(50.0, seconds=1800.0)
    out = rig.constant_current(-50.0, until_below_v=2.0)
    again = rig.constant_current(50.0, seconds=out.seconds)
    out_again = rig.constant_current(-50.0, until_below_v=2.0)
    assert -out.charge_c / first.charge_c == near(0.945, abs=0.01)
    assert -out_again.charge_c / again.charge_c == near(1.0, abs=0.01)


def test_area_scales_current_and_charge_but_not_voltage() -> None:
    voltages = []
    for area in (1e-11, 5e-11):
        world = World(cell="fig8a", area_m2=area, noise=False, stray_f=1e-14)
        terminals = world.terminals("smu")
        world.wiring.set_relay(3, True)
        world.tip.touch()
        terminals.set_drive(0, CurrentDrive(0.5 * area))
        voltages.append([terminals.measure(k * NS, NS).voltage_v for k in range(140)])
    assert voltages[0] == near(voltages[1], abs=1e-3)


def test_900_seconds_cost_about_900_evaluations_of_the_model() -> None:
    """At some 20 us each that is far more than a thousand times real time, on any machine that can run the tests."""
    rig = Rig("fig8a")
    rig.constant_current(50.0, seconds=900.0)
    assert rig.world.cell.evaluations <= 1000
    rig.drive(CurrentDrive(0.0))
    before = rig.world.cell.evaluations
    rig.sample(3600.0)
    assert rig.world.cell.evaluations - before <= 200


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_can_be_used(name: str) -> None:
    rig = Rig(name)
    assert abs(rig.sample().voltage_v) < 4.3


def test_unknown_cell_is_refused_with_the_names() -> None:
    with pytest.raises(ValueError, match=r"no cell named 'fig7'.*fig8a"):
        World(cell="fig7")


def test_hysteresis_is_forgotten_at_rest_with_its_own_time() -> None:
    cell = Cell(PRESETS["fig8b"], AREA_M2)
    assert cell.branch == 0.0
    cell.step(cell.parameters.hysteresis_rest_s, 0.0, 0.0)
    assert cell.branch == near(0.5 * (1 - math.exp(-1)))
