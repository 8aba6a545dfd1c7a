"""Lead, contact and limits: what a source-measure instrument sees beside the cell."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.integrate import solve_ivp

from mocks.world import CurrentDrive, OpenDrive, VoltageDrive, World
from mocks.world.circuit import Load, Node, Tally
from mocks.world.wiring import CELL, FEEDTHROUGH
from tests.near import near

from .rig import NS, Rig


def test_an_open_lead_ramps_at_current_over_capacitance() -> None:
    world = World(noise=False)
    terminals = world.terminals("smu")
    world.wiring.set_relay(CELL, True)
    terminals.set_drive(0, CurrentDrive(5e-12, 4.2))
    readings = [terminals.measure(k * NS, NS) for k in range(90)]
    assert [r.voltage_end_v for r in readings[:10]] == near([0.05 * (k + 1) for k in range(10)])
    assert readings[3].voltage_v == near(0.175), "a reading is the mean over its interval"
    # 4.2 V are reached after 84 s, and then the source is at its limit and no current flows
    assert [r.compliance for r in readings[:83]] == [False] * 83
    assert readings[85].compliance
    assert readings[85].voltage_v == near(4.2)
    assert readings[85].current_a == 0.0
    assert readings[0].current_a == near(5e-12)


def test_an_event_from_now_on() -> None:
    rig = Rig("fig8a_nominal", stray_f=100e-12)
    rig.constant_current(50.0, seconds=600.0)
    before = rig.sample().voltage_end_v
    rig.world.events.add("open", at_s=1.0, for_s=4.0, since="now")
    voltages = [rig.sample(0.5).voltage_end_v - before for _ in range(20)]
    assert max(voltages[:2]) < 0.01
    assert voltages[2:10] == near([voltages[1] + 0.025 * (k + 1) for k in range(8)], abs=1e-9)
    assert abs(voltages[-1]) < 0.02


def test_contact_lost_at_run_time_on_the_instruments_timeline() -> None:
    rig = Rig("fig8a_nominal", stray_f=100e-12)
    rig.constant_current(50.0, seconds=600.0)
    before, charge = rig.sample().voltage_end_v, rig.world.cell.charge_c
    rig.world.events.contact_lost = True
    lost = [rig.sample(0.5).voltage_end_v for _ in range(8)]
    assert lost == near([before + 0.025 * (k + 1) for k in range(8)], abs=1e-9)
    assert rig.world.cell.charge_c == charge, "nothing flows into a cell without contact"
    rig.world.events.contact_lost = False
    after = [rig.sample(0.5).voltage_v for _ in range(6)]
    assert after[-1] == near(before, abs=0.02)
    # what the lead had gathered (20 pC) has gone into the cell, and what was sent since, less what charges the lead
    expected = 100e-12 * (lost[-1] - rig.terminals.node_voltage_v) + 5e-12 * 3.0
    assert rig.world.cell.charge_c - charge == near(expected, rel=1e-6)


def test_fig8a_spikes_by_25_millivolts_at_150_seconds_and_returns() -> None:
    voltages = {}
    for events in (True, False):
        rig = Rig("fig8a", stray_f=100e-12, preset_events=events)
        rig.sample(7.0)  # the event counts from the beginning of the charge, not of the world
        rig.drive(CurrentDrive(5e-12, 5.0))
        voltages[events] = [rig.sample(0.1).voltage_end_v for _ in range(1600)]
    difference = [a - b for a, b in zip(voltages[True], voltages[False], strict=True)]
    assert max(abs(d) for d in difference[:1500]) == 0.0
    assert difference[1504] == near(0.025, abs=0.003)
    assert max(difference) == difference[1504]
    assert abs(difference[1520]) < 0.002, "back on the same curve within a few RC"


def test_a_contact_resistance_of_20_gigaohms_shows_as_100_millivolts() -> None:
    event = {"kind": "resistance", "at_s": 150.0, "for_s": 30.0, "ohm": 20e9, "since": "drive"}
    rig = Rig("fig8a_nominal", events=[event])
    step = rig.constant_current(50.0, seconds=200.0)
    assert step.voltage_v[170.0] - step.voltage_v[150.0] == near(0.100, abs=0.03)
    assert step.voltage_v[185.0] - step.voltage_v[150.0] < 0.06


def test_a_short_empties_the_cell_and_shows_its_resistance() -> None:
    rig = Rig("fig8a_nominal", stray_f=100e-12)
    rig.constant_current(50.0, seconds=900.0)
    rig.world.events.short_ohm = 10e9
    rig.drive(CurrentDrive(0.0))
    rig.sample(600.0)
    assert abs(rig.sample(10.0).voltage_v) < 0.1
    rig.world.events.short_ohm = 1e3
    rig.sample(10.0)
    rig.drive(CurrentDrive(5e-12, 5.0))
    assert rig.sample(10.0).voltage_v == near(5e-9, abs=1e-6)
    rig.world.events.short_ohm = math.inf
    step = rig.constant_current(50.0, seconds=900.0)
    assert step.last_v > 2.0, "without its short it can be charged again"


def test_touching_passes_the_leads_charge_through_the_cell() -> None:
    rig = Rig("fig8a_nominal", precharge=True)
    rig.constant_current(50.0, seconds=900.0)
    ocv = rig.sample().voltage_end_v
    rig.drive(OpenDrive())
    rig.world.tip.retract()
    world = rig.world
    other = world.terminals("electrometer")
    charge = world.cell.charge_c
    assert other.measure(0, NS).voltage_v == 0.0, "an open lead without a source floats near 0"
    world.tip.touch()
    after = [other.measure((k + 1) * NS, NS).voltage_end_v for k in range(5)]
    assert after[-1] == near(ocv, abs=0.01)
    assert charge - world.cell.charge_c == near(1e-14 * after[-1] * 2, rel=0.6)


def test_a_precharged_lead_disturbs_the_cell_far_less() -> None:
    passed = {}
    for precharge in (False, True):
        rig = Rig("fig8a_nominal", stray_f=100e-12, precharge=precharge)
        rig.sample(10.0)
        passed[precharge] = abs(rig.world.cell.charge_c)
    assert passed[False] > 100e-12
    assert passed[True] < 1e-15


def test_potentiostat_holds_the_voltage_and_the_current_tapers() -> None:
    rig = Rig("fig8a_nominal", stray_f=100e-12)
    rig.drive(VoltageDrive(3.8, 20e-12))
    limited = rig.sample(1.0)
    assert limited.compliance
    assert limited.current_a == near(20e-12)
    readings = [rig.sample(10.0) for _ in range(400)]
    assert not readings[-1].compliance
    assert readings[-1].voltage_v == near(3.8)
    currents = [r.current_a for r in readings]
    assert all(a * (1 + 1e-9) >= b > 0 for a, b in pairwise(currents))
    assert currents[-1] < 1e-12


def test_potentiostat_without_contact_sees_no_current() -> None:
    rig = Rig("good")
    rig.world.tip.retract()
    rig.drive(VoltageDrive(3.8))
    rig.sample()
    reading = rig.sample()
    assert (reading.voltage_v, reading.current_a, reading.compliance) == (3.8, 0.0, False)


def test_source_at_its_voltage_limit_on_a_cell() -> None:
    rig = Rig("fig8a_nominal")
    rig.drive(CurrentDrive(125e-12, 3.5))
    readings = [rig.sample(1.0) for _ in range(900)]
    assert readings[-1].compliance
    assert readings[-1].voltage_end_v == near(3.5)
    assert 0 < readings[-1].current_a < 20e-12


def test_input_resistance_and_bias_current_are_felt() -> None:
    for resistance, bias in ((1e12, 0.0), (math.inf, 1e-12)):
        world = World(cell="fig8a_nominal", noise=False, stray_f=1e-14)
        terminals = world.terminals("smu", input_resistance_ohm=resistance, bias_current_a=bias)
        world.wiring.set_relay(CELL, True)
        world.tip.touch()
        terminals.measure(0, 10 * NS)
        before = world.cell.charge_c
        voltage_v = sum(terminals.measure((10 + n) * NS, NS).voltage_v for n in range(10)) / 10
        assert voltage_v > 2.0
        assert (world.cell.charge_c - before) / 10.0 == near(bias - voltage_v / resistance, rel=0.01)
        before = world.cell.charge_c
        terminals.set_drive(20 * NS, OpenDrive(connected=False))
        assert terminals.measure(20 * NS, 10 * NS).voltage_v == 0.0, (
            "with its relay open the instrument reads its own zero"
        )
        assert world.cell.charge_c == near(before, abs=1e-15)


def test_a_beam_flows_through_the_cell() -> None:
    rig = Rig("good")
    before = rig.world.cell.charge_c
    rig.world.chamber.beam_current_a = 10e-12
    reading = rig.sample(10.0)
    assert reading.current_a == near(20e-12), "ions and the electrons that they knock out"
    assert rig.world.cell.charge_c - before == near(200e-12, rel=0.02)


def test_a_loop_is_its_resistor() -> None:
    world = World(noise=False, loop_resistance_ohm=2e9)
    terminals = world.terminals("smu")
    world.wiring.set_relay(FEEDTHROUGH, True)
    terminals.set_drive(0, CurrentDrive(1e-12))
    terminals.measure(0, 10 * NS)
    assert terminals.measure(10 * NS, NS).voltage_v == near(2e-3)
    terminals.set_drive(11 * NS, VoltageDrive(1.0))
    assert terminals.measure(12 * NS, NS).current_a == near(0.5e-9)


def test_long_steps_agree_with_short_ones() -> None:
    """The integration is exact in the stiff part: a thousandth of the step gives the same curve."""
    ends = []
    for dt in (1.0, 0.01):
        rig = Rig("fig8a_nominal", stray_f=100e-12)
        touched = [rig.sample(dt).voltage_end_v for _ in range(round(10.0 / dt))]
        ends.append((touched[-1], rig.constant_current(50.0, seconds=10.0, dt=dt).last_v))
    assert ends[0][0] == near(ends[1][0], abs=1e-4), "the lead's charge has gone into the cell"
    assert ends[0][1] == near(ends[1][1], abs=10e-3)


def test_a_source_changes_over_at_its_limit_within_an_interval() -> None:
    world = World(noise=False)
    terminals = world.terminals("smu")
    terminals.set_drive(0, CurrentDrive(5e-12, 1.01))
    reading = [terminals.measure(k * NS, NS) for k in range(21)][-1]
    assert reading.voltage_end_v == 1.01
    assert reading.voltage_v == near(1.01 - 0.2 * 0.5 * 0.01)
    assert reading.current_a == near(5e-12 * 0.2)


def test_a_voltage_step_charges_the_lead_through_the_ammeter() -> None:
    world = World(noise=False)
    terminals = world.terminals("smu")
    terminals.set_drive(0, VoltageDrive(3.6))
    assert terminals.measure(0, NS).current_a == near(360e-12), "100 pF by 3.6 V within a second"
    assert terminals.measure(NS, NS).current_a == 0.0


def test_what_was_lived_is_not_lived_again() -> None:
    """The wiring may change while a conversion runs: the world has then gone further than the reading's start."""
    rig = Rig("fig8a_nominal")
    rig.drive(CurrentDrive(5e-12))
    rig.terminals.live_until(3 * NS)
    charge = rig.world.cell.charge_c
    reading = rig.terminals.measure(1 * NS, 1 * NS)
    assert rig.world.cell.charge_c == charge
    assert reading.current_a == near(5e-12)


def test_an_instrument_that_only_stands_by_leaves_the_cell_alone() -> None:
    """However far its own time has gone, and with nothing driven: neither its lead nor its time are the cell's."""
    rig = Rig("fig9_leak", stray_f=100e-12)
    idle = rig.world.terminals("idle", input_resistance_ohm=1e10)
    idle.live_until(10**6 * NS)
    rig.constant_current(60.0, seconds=900.0)
    alone = Rig("fig9_leak", stray_f=100e-12)
    alone.constant_current(60.0, seconds=900.0)
    assert rig.world.cell.charge_c == alone.world.cell.charge_c
    idle.live_until(2 * 10**6 * NS)
    assert rig.world.cell.charge_c == alone.world.cell.charge_c


def test_the_cell_lives_on_the_time_of_who_measures_it() -> None:
    rig = Rig("fig9_leak")
    rig.constant_current(60.0, seconds=900.0)
    rig.drive(OpenDrive())
    other = rig.world.terminals("electrometer")
    charge = rig.world.cell.charge_c
    voltage = rig.terminals.node_voltage_v
    readings = [other.measure(k * NS, NS) for k in range(100)]
    assert readings[0].voltage_v == near(voltage, abs=0.02)
    assert charge - rig.world.cell.charge_c == near(100.0 * voltage / 1.16e12, rel=0.02)


def test_charge_into_a_load_whose_force_rises_and_drifts() -> None:
    """Against the differential equation: dQ/dt = (V - emf - slope Q - drift t) / R."""
    load = Load(1e9, 3.0, slope_v_per_c=1e8, drift_v_per_s=-0.02)

    def current_a(time_s: float, charge_c: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return (3.5 - load.emf_v - load.slope_v_per_c * charge_c - load.drift_v_per_s * time_s) / load.resistance_ohm

    expected = solve_ivp(current_a, (0.0, 10.0), [0.0], rtol=1e-10, atol=1e-22).y[0, -1]
    node = Node(1e-12)
    node.voltage_v = 3.5
    tally = Tally()
    assert node.step(10.0, VoltageDrive(3.5), 0.0, load, tally) == near(expected, rel=1e-8)
    assert tally.coulombs == near(expected, rel=1e-8)
