"""The planner against the numbers of the domain note: sections 0, 1.1, 1.4, 2 and 4."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.procedures.planner import PROCEDURE, PlannedRun, check_all, require, worst
from drivers.errors import InvalidValue, Refused
from mocks.world import World
from tests.near import near

from .bench import KEITHLEY_2450, KEITHLEY_6430, Bench, limited


async def plan(bench: Bench | None = None, **values: Any) -> dict[str, Any]:
    bench = bench or Bench(World())
    result = await PROCEDURE.run(bench, PROCEDURE.parse(values))
    assert bench.smu.record == []  # nothing was sent to the instrument
    return result


def check(result: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [c for c in result["checks"] if c["name"] == name]
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("density", "area", "current_a"),
    [
        ("50 uA/cm2", "10 um2", 5e-12),
        ("50 uA/cm2", "20 um2", 10e-12),
        ("60 uA/cm2", "10 um2", 6e-12),
        ("1.25 mA/cm2", "10 um2", 125e-12),
        ("1.25 mA/cm2", "50 um2", 625e-12),
    ],
)
async def test_currents_of_the_field(density: str, area: str, current_a: float) -> None:
    result = await plan(current_density=density, area=area)
    assert result["current_a"] == near(current_a)


@pytest.mark.parametrize(("density", "area"), [("50 uA/cm2", "20 um2"), ("60 uA/cm2", "16.7 um2")])
async def test_the_unshielded_tip_needs_a_larger_cell(density: str, area: str) -> None:
    """Section 0.2: its floor of 10 pA, not the feedthrough's 1 pA, is what the full circuit delivers."""
    result = await plan(current_density=density, area="10 um2")
    assert result["verdict"] == "no-go"
    assert result["worst_lead"] == "manipulator"
    assert f"an area of {area} or more" in check(result, "route floor")["remedy"]
    assert "a shielded tip (1 pA)" in check(result, "route floor")["remedy"]
    enough = await plan(current_density=density, area=area)
    assert check(enough, "route floor")["ok"]
    assert enough["verdict"] == "go"
    shielded = await plan(current_density=density, area="10 um2", leads="feedthrough, shielded-tip")
    assert shielded["verdict"] == "go"


async def test_a_measured_floor_goes_before_the_papers() -> None:
    result = await plan(current="5 pA", route_floor="4 pA")
    assert check(result, "route floor")["ok"]
    assert "its noise test" in check(result, "route floor")["text"]


async def test_an_instrument_that_cannot() -> None:
    """Section 2.1: a 2450 neither resolves 5 pA nor leaves it in the cell: 10 GOhm takes 360 pA at 3.6 V."""
    result = await plan(Bench(World(), KEITHLEY_2450), current="5 pA", voltage_max="3.6 V", leads="feedthrough")
    assert result["verdict"] == "no-go"
    assert not check(result, "range")["ok"]
    assert "360 pA" in check(result, "leakage")["text"]
    assert any("6430" in remedy for remedy in result["remedies"])


@pytest.mark.parametrize(
    ("current", "ramp_v_per_s", "text"), [("5 pA", 0.05, "12 s"), ("125 pA", 1.25, "0.48 s"), ("5 nA", 50.0, "0.012 s")]
)
async def test_a_lost_contact_is_a_ramp(current: str, ramp_v_per_s: float, text: str) -> None:
    bench = Bench(World(), limited(KEITHLEY_6430, current_ranges=()))
    found = check(await plan(bench, current=current), "contact loss")
    assert found["value"] == near(ramp_v_per_s)
    assert text in found["text"]


async def test_the_input_that_is_needed() -> None:
    """Section 0.5: at 5 pA and 3.6 V the input must be near 1e14 Ohm; 1 TOhm takes 3.6 pA."""
    result = await plan(
        Bench(World(), limited(KEITHLEY_6430, input_resistance_ohm=1e12)), current="5 pA", voltage_max="3.6 V"
    )
    leak = check(result, "leakage")
    assert leak["ok"] is False
    assert "3.6 pA" in leak["text"]
    assert "72 TOhm or more" in leak["text"]


async def test_charge_time_and_what_the_anode_holds() -> None:
    """Section 1.4: 12.5 uAh/cm2 at 50 uA/cm2 is 4.5 nC in 900 s; 105 uAh/cm2 is more than 80 nm of silicon hold."""
    first = await plan(current_density="50 uA/cm2", area="10 um2", capacity="12.5 uAh/cm2")
    assert first["charge_c"] == near(4.5e-9)
    assert first["duration_s"] == near(900.0)
    assert check(first, "charge")["ok"]
    second = await plan(current_density="1.25 mA/cm2", area="10 um2", capacity="115 uAh/cm2")
    assert check(second, "charge")["ok"] is None
    assert "N/P 0.57" in check(second, "charge")["text"]
    assert second["verdict"] == "go"  # a warning, not a refusal


async def test_what_the_beam_has_killed_is_not_counted() -> None:
    """Section 1.1: 25 nm on each side of 5 x 2 um leave 3.5 % less, of 5 x 0.1 um half."""
    wide = await plan(current_density="50 uA/cm2", length="5 um", width="2 um", damage_depth="25 nm")
    assert 1 - wide["area_m2"] / 10e-12 == near(0.0348, rel=0.01)
    thin = await plan(current_density="50 uA/cm2", length="5 um", width="0.1 um", damage_depth="25 nm")
    assert 1 - thin["area_m2"] / 0.5e-12 == near(0.505, rel=0.01)


async def test_the_same_checks_refuse_a_run() -> None:
    bench = Bench(World())
    planned = PlannedRun(current_a=5e-12, area_m2=1e-11, lead=worst(["feedthrough", "manipulator"]))
    with pytest.raises(Refused, match="stable from 10 pA") as caught:
        require(check_all(bench.smu, planned), device="smu")
    assert "20 um2" in caught.value.hint
    require(check_all(bench.smu, PlannedRun(current_a=125e-12, area_m2=1e-11, lead=planned.lead)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "no current given; exactly one of current_a"),
        ({"current": "2 nA", "current_density": "50 uA/cm2", "area": "10 um2"}, "current_a is 2 nA, but 50 uA/cm2 on"),
        ({"current_density": "50 uA/cm2"}, "needs area_m2"),
        ({"c_rate": 1.0}, "c_rate needs capacity_ah"),
        ({"current": "5 pA", "length": "5 um"}, "length_m and width_m go together"),
        ({"current": "5 pA", "length": "40 nm", "width": "1 um", "damage_depth": "25 nm"}, "nothing is left"),
        ({"current": "-5 pA"}, "accepted: more than 0 A"),
        ({"current": "5 pA", "leads": "moon"}, "leads has 'moon'; accepted: feedthrough"),
        ({"current": "5 pA", "leads": " "}, "leads is empty"),
        ({"current": "5 pA", "voltage_min": "4.3 V"}, "not below voltage_max_v"),
    ],
)
async def test_what_is_not_a_plan(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        await plan(**values)
    assert message in caught.value.message
