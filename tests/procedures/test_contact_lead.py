"""Charge through the contact, and how it is sensed, judged by the record of the mocks' world."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.errors import InvalidValue, Refused, RunFailed
from mocks.world import World
from tests.near import near

from .bench import Bench
from .test_contact import make_contact

#: C/m2, 12.5 uAh/cm2
CHARGED = 450.0


def charged(height_m: float = 0.41e-6, area_m2: float = 1e-11, **world: Any) -> Bench:
    bench = Bench(World(seed=1, cell="fig8a_nominal", area_m2=area_m2, **world))
    cell = bench.world.cell
    cell.charge_c = cell.reversible_c = cell._peak_c = CHARGED * area_m2
    bench.world.tip.retract(height_m)
    return bench


def gave_c(bench: Bench) -> float:
    return bench.world.tip.charge_c


async def test_a_floating_lead_empties_its_360_pc_into_the_cell() -> None:
    bench = charged(area_m2=2.5e-10, noise=False)
    ocv = bench.world.cell.open_circuit_voltage_v
    result = await make_contact(bench, test_current=0)
    assert result["contact_charge_c"] == near(-100e-12 * ocv, rel=0.02), "the cell itself sinks a little"
    assert gave_c(bench) == near(result["contact_charge_c"], rel=0.01)
    assert gave_c(bench) == near(-360e-12, rel=0.02)


async def test_a_precharged_lead_50_mv_away_costs_5_pc() -> None:
    bench = charged(area_m2=2.5e-10, noise=False)
    ocv = bench.world.cell.open_circuit_voltage_v
    result = await make_contact(bench, contact_voltage=ocv, tolerance="20 mV", test_current=0)
    assert result["precharged"] is True
    assert result["lead_voltage_v"] == near(ocv - 0.05, abs=3e-3)
    assert result["lead_capacitance_f"] == near(100e-12, rel=0.01)
    assert result["lead_capacitance_measured"] is True
    assert result["contact_charge_c"] == near(-5e-12, abs=0.4e-12)
    assert gave_c(bench) == near(result["contact_charge_c"], abs=0.1e-12)
    assert bench.world.tip.max_press_m <= 100e-9


@pytest.mark.parametrize("error_v", [-0.15, 0.0, 0.15])
async def test_a_voltage_known_within_the_tolerance_is_found_from_any_side(error_v: float) -> None:
    bench = charged(area_m2=2.5e-10)
    ocv = bench.world.cell.open_circuit_voltage_v
    result = await make_contact(bench, contact_voltage=ocv + error_v, tolerance="0.16 V")
    assert result["verdict"] == "contact"
    assert result["overshoot_m"] <= 50e-9 * 1.001
    assert result["ocv_v"] == near(ocv, abs=0.02)


async def test_something_else_than_the_cell_stops_the_approach() -> None:
    bench = charged()
    with pytest.raises(RunFailed, match=r"touches something, but no cell of 3\.9") as failure:
        await make_contact(bench, contact_voltage="3.9 V", tolerance="0.1 V")
    assert bench.world.tip.max_press_m <= 50e-9
    assert "stays where it is" in failure.value.hint
    assert bench.tip.record[-1] == "stop"
    assert not bench.smu.on


async def test_more_charge_than_allowed_is_refused_before_anything_moves() -> None:
    bench = charged()
    with pytest.raises(Refused, match="charge_limit_c is 100 pC") as refusal:
        await make_contact(bench, charge_limit="100 pC")
    assert "contact_voltage_v" in refusal.value.hint
    assert bench.tip.record == []


async def test_a_lead_that_does_not_follow_is_refused() -> None:
    bench = charged()
    bench.world.tip.touch()
    bench.world.events.contact_ohm = 1e12  # touches, but by a film that hides the cell's voltage
    with pytest.raises(Refused, match="the lead does not follow"):
        await make_contact(bench, contact_voltage="2.0 V", tolerance="10 mV", stray_f="10 pF")
    assert bench.tip.record == []


async def test_the_resistance_of_contact_and_cell() -> None:
    bench = charged(area_m2=1e-10)
    bench.world.tip.film_ohm = 1.5e9
    result = await make_contact(bench, cell_resistance="130 Mohm")
    truth = bench.world.tip.resistance_ohm
    assert result["ohmic_test"]["verdict"] == "ohmic"
    assert result["contact_resistance_ohm"] == near(truth, rel=0.03)
    assert result["contact_resistance_uncertainty_ohm"] < 0.02e9
    assert result["loop_resistance_ohm"] == near(truth + 0.13e9, rel=0.03)
    assert result["test_charge_c"] == near(10e-12)


async def test_a_contact_that_chatters_is_left_and_tried_again() -> None:
    bench = charged()
    bench.world.tip.firm_press_m = 1.0

    def on_progress(step: str) -> None:
        if step == "back off":
            bench.world.tip.firm_press_m = 0.0

    bench.on_progress = on_progress
    result = await make_contact(bench, contact_voltage="3.5 V", tolerance="0.2 V")
    assert result["verdict"] == "contact"
    # the clocks of tip and potentiostat run free of each other: whether the first touch is caught chattering is chance
    assert result["attempts"] == 1 + len(result["unstable"])
    assert all("opens and closes" in text for text in result["unstable"])
    assert result["overshoot_m"] <= 50e-9 * 1.001


async def test_chatter_that_does_not_end_is_given_up_and_drawn_back() -> None:
    bench = charged()
    bench.world.tip.firm_press_m = 1.0
    with pytest.raises(RunFailed, match="contact did not last, 3 times") as failure:
        await make_contact(bench)
    assert len(failure.value.detail["unstable"]) == 3
    assert bench.world.tip.gap_m > 300e-9
    assert not bench.world.tip.damaged
    assert not bench.smu.on
    assert len([note for note in bench.notes if "not stable" in note]) == 3


async def test_impedance_finds_an_empty_cell() -> None:
    bench = Bench(World(seed=1, area_m2=1e-10))
    bench.world.tip.retract(0.41e-6)
    result = await make_contact(bench, sense="impedance", max_travel="1 um", test_current=0)
    assert result["verdict"] == "contact"
    assert result["overshoot_m"] <= 50e-9 * 1.001
    assert bench.world.tip.max_press_m <= 101e-9


async def test_current_onset_is_for_bare_pads_only() -> None:
    bench = charged()
    with pytest.raises(InvalidValue, match="on a charged cell it would be a short"):
        await make_contact(bench, sense="current")
    with pytest.raises(InvalidValue, match=r"bias_v is 1 V; accepted: up to 0\.05 V"):
        await make_contact(bench, sense="current", pad="bare", bias="1 V")
    assert bench.smu.record == []


async def test_current_onset_on_a_bare_pad() -> None:
    bench = Bench(World(seed=1, cell="fig10"))  # nothing but 10 GOhm
    bench.world.tip.retract(0.41e-6)
    result = await make_contact(
        bench, sense="current", pad="bare", bias="50 mV", onset_current="3 pA", verify="2 s", test="12 s"
    )
    assert result["verdict"] == "contact"
    assert result["overshoot_m"] <= 50e-9 * 1.001
    assert result["contact_resistance_ohm"] == near(10e9, rel=0.05)


async def test_a_charged_cell_where_a_bare_pad_was_promised_gets_no_more_than_the_limit_for_a_moment() -> None:
    bench = charged(noise=False)
    with pytest.raises(RunFailed, match="a charged cell, no bare pad"):
        await make_contact(bench, sense="current", pad="bare")
    assert not bench.smu.on
    assert bench.world.tip.charge_magnitude_c < 600e-12
    assert bench.world.tip.max_press_m <= 101e-9


async def test_shrinking_steps_by_the_distance() -> None:
    bench = charged(30.01e-6)
    result = await make_contact(bench, distance="30 um", max_travel="31 um")
    assert result["verdict"] == "contact"
    moves = [-float(entry.split()[1]) for entry in bench.tip.record if entry != "stop"]
    assert moves[:40] == [near(500e-9)] * 40, "to 10 um"
    assert moves[40:80] == [near(200e-9)] * 40, "to 2 um"
    assert moves[80:] == [near(50e-9)] * len(moves[80:])
    assert len(moves[80:]) in (41, 42)


async def test_time_and_steps_end_it_too() -> None:
    bench = charged(20e-6)
    result = await make_contact(bench, max_steps=7)
    assert (result["verdict"], result["steps"]) == ("not found", 7)
    bench = charged(20e-6)
    result = await make_contact(bench, time_limit="3 s")
    assert result["verdict"] == "not found"
    assert result["approach_s"] <= 3.01
    assert bench.tip.record[-1] == "move 1e-06"


async def test_a_pad_that_drifts_and_is_inclined_is_found_without_damage() -> None:
    bench = charged()
    tip = bench.world.tip
    tip.drift_m_per_s = 0.5e-9  # 30 nm/min
    tip.pad_slope_x = 0.2
    tip.x_m = 1e-6
    tip.z_m = tip.pad_m[2] + 0.2e-6 + 0.41e-6
    result = await make_contact(bench)
    assert result["verdict"] == "contact"
    assert tip.touches == 1
    assert not tip.damaged
    assert tip.press_m <= 100e-9 + 0.5e-9 * 60
