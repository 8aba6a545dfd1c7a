"""Cycling against the presets of the world's cell (domain.md, section 7.2) and every way of ending."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from bridge.procedures.cycle import Cycle
from bridge.procedures.registry import find
from drivers.errors import DeviceLost, InvalidValue, Refused, RunFailed
from drivers.potentiostats.polling import Reading
from drivers.samples import Flag, SampleBlock
from drivers.techniques import Technique
from mocks.world import World
from tests.near import near

from .bench import KEITHLEY_2450, KEITHLEY_6430, Bench, limited

PROCEDURE = find("cycle")
AREA = "10 um2"


def on_cell(preset: str = "good", **options: Any) -> Bench:
    """A bench whose tip is on the pad."""
    world = World(cell=preset, noise=False, preset_events=False, **options)
    world.tip.touch()
    return Bench(world)


async def cycle(bench: Bench, **values: Any) -> dict[str, Any]:
    return await PROCEDURE.run(bench, PROCEDURE.parse({"route": "cell", "area": AREA, **values}))


def areal(value: float) -> float:
    """uAh/cm2 in Ah/m2."""
    return value * 1e-2


async def test_fig8b_charges_in_303_5_s_to_105_4_uah_per_cm2() -> None:
    bench = on_cell("fig8b")
    result = await cycle(bench, current_density="1.25 mA/cm2", interval="0.5 s")
    charge = result["cycles"][0]["steps"][0]
    assert charge["end"] == "voltage_max"
    assert charge["duration_interpolated_s"] == near(303.5, rel=0.01)
    by_time = 125e-12 * charge["duration_interpolated_s"] / 3600
    assert charge["charge_interpolated_ah"] == near(by_time, rel=1e-6)
    assert charge["charge_interpolated_ah"] < charge["charge_ah"] < by_time + 125e-12 * 0.5 / 3600
    assert result["charge_ah_per_m2"] == near(areal(105.4), rel=0.01)
    assert result["settings"]["current_a"] == near(125e-12)
    assert result["voltage_max_v"] == near(4.2, abs=0.02)
    assert 2.0 - result["cycles"][0]["steps"][1]["overshoot"]["worst_v"] <= result["voltage_min_v"] <= 2.0
    assert any("more than the anode's 65.3 uAh/cm2" in note for note in result["notes"])
    json.dumps(result, allow_nan=False)


async def test_fig8a_stops_at_12_5_uah_per_cm2_after_900_s() -> None:
    bench = on_cell("fig8a")
    result = await cycle(bench, current_density="50 uA/cm2", capacity_limit_ah_per_m2="12.5 uAh/cm2", interval="1 s")
    charge = result["cycles"][0]["steps"][0]
    assert charge["end"] == "capacity"
    assert charge["duration_interpolated_s"] == near(900, rel=1e-3)
    assert charge["charge_interpolated_ah"] == near(1.25e-12, rel=1e-9)
    assert charge["voltage_end_v"] == near(3.643, abs=0.02)
    assert result["settings"]["current_a"] == near(5e-12)


async def test_fig9_discharges_a_third_of_what_went_in() -> None:
    bench = on_cell("fig9", stray_f=1e-15)
    result = await cycle(bench, current_density="60 uA/cm2", time_limit="30 min", interval="1 s", rest=0)
    charge, discharge = result["cycles"][0]["steps"]
    assert (charge["end"], discharge["end"]) == ("duration", "voltage_min")
    assert result["charge_ah_per_m2"] == near(areal(30.0), rel=0.01)
    assert charge["voltage_end_v"] == near(3.693, abs=0.02)
    assert discharge["duration_s"] == near(617, rel=0.01)
    assert result["discharge_ah_per_m2"] == near(areal(10.28), rel=0.01)
    assert result["coulombic_efficiency"] == near(0.343, abs=0.005)


async def test_the_lead_s_own_charge_is_told_apart() -> None:
    """100 pF over 1.7 V is 0.17 nC: 28 s of a discharge at 6 pA that the cell did not give."""
    result = await cycle(
        on_cell("fig9"), current_density="60 uA/cm2", time_limit="30 min", interval="1 s", rest=0, stray_f="100 pF"
    )
    discharge = result["cycles"][0]["steps"][1]
    lead = 100e-12 * (discharge["voltage_start_v"] - discharge["voltage_end_v"]) / 3600
    assert discharge["charge_ah"] - discharge["charge_into_cell_ah"] == near(lead, rel=1e-6)
    assert 0.1e-9 < lead * 3600 < 0.2e-9


async def test_two_cycles_with_the_cell_disconnected_in_every_rest() -> None:
    bench = on_cell("good")
    in_rest: list[bool] = []
    bench.on_progress = lambda step: in_rest.append(bench.smu.on) if step == "rest" else None
    result = await cycle(bench, current_density="1 mA/cm2", cycles=2, interval="1 s", rest="20 s")
    assert bench.step_names == [
        "route cell",
        *("charge", "rest", "discharge", "rest", "charge", "rest", "discharge"),
        "done",
    ]
    assert in_rest
    assert not any(in_rest)
    assert [c["cycle"] for c in result["cycles"]] == [1, 2]
    assert result["completed"] is True
    assert result["charge_ah"] == near(sum(c["charge_ah"] for c in result["cycles"]))
    assert 0.85 < result["cycles"][1]["coulombic_efficiency"] <= 1.01
    fractions = [fraction for _, fraction, _ in bench.steps if fraction is not None]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert bench.smu.record[-1] == "off"


async def test_in_a_rest_the_cell_is_off_even_if_the_driver_has_left_it_on() -> None:
    bench = on_cell("good")
    in_rest: list[bool] = []
    begun: dict[str, float] = {}

    def on_progress(step: str) -> None:
        begun.setdefault(step, bench.smu.clock.monotonic())
        if step == "rest":
            in_rest.append(bench.smu.on)

    bench.on_progress = on_progress
    run = bench.smu.run

    async def forgets(technique: Technique) -> AsyncGenerator[SampleBlock, None]:
        async for block in run(technique):
            yield block
        bench.smu.on = True

    bench.smu.run = forgets  # type: ignore[method-assign]
    await cycle(bench, current="100 pA", interval="1 s", time_limit="5 s", rest="10 s")
    assert in_rest
    assert not any(in_rest)
    assert begun["discharge"] - begun["rest"] == near(10.0, rel=1e-3)


async def test_overshoot_is_computed_and_bounds_what_was_seen() -> None:
    bench = on_cell("fig8b")
    result = await cycle(bench, current_density="1.25 mA/cm2", interval="1 s", latency="0 s")
    found = result["cycles"][0]["steps"][0]["overshoot"]
    assert found["slope_v_per_s"] == near(3e-3, rel=0.3)
    assert found["worst_v"] == near(found["slope_v_per_s"] * 1.0)
    assert 0 <= found["observed_v"] <= found["worst_v"] * 1.01


async def test_charge_after_the_last_sample_is_bounded_by_interval_and_latency() -> None:
    result = await cycle(on_cell("fig8b"), current="125 pA", interval="1 s", latency="0.5 s", rest=0)
    step = result["cycles"][0]["steps"][0]
    assert step["charge_after_last_sample_at_most_ah"] == near(125e-12 * 1.5 / 3600)


async def test_interpolated_charge_does_not_depend_on_the_sampling_interval() -> None:
    charges = []
    for interval in ("0.5 s", "3 s"):
        result = await cycle(on_cell("fig8b"), current_density="1.25 mA/cm2", interval=interval)
        charges.append(result["cycles"][0]["steps"][0]["charge_interpolated_ah"])
    assert charges[0] == near(charges[1], rel=2e-3)


async def test_charge_from_a_c_rate() -> None:
    result = await cycle(on_cell("fig8b"), c_rate=10, reference_capacity="11.5 pAh", interval="1 s")
    assert result["settings"]["current_a"] == near(115e-12)
    assert result["settings"]["c_rate"] == 10


async def test_a_cell_may_be_discharged_first() -> None:
    result = await cycle(on_cell(), current="100 pA", start_with="discharge", interval="1 s", time_limit="20 s", rest=0)
    assert [step["kind"] for step in result["cycles"][0]["steps"]] == ["discharge", "charge"]


async def test_abort_in_a_step_and_in_a_rest_leaves_the_cell_off() -> None:
    for where in ("charge", "rest"):
        bench = on_cell()
        reached = asyncio.Event()
        bench.on_progress = lambda step, where=where, reached=reached: reached.set() if step == where else None  # type: ignore[misc]
        task = asyncio.create_task(cycle(bench, current="100 pA", interval="1 s", time_limit="30 s", rest=1e6))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not bench.smu.on
        assert bench.smu.record[-1] == "off"


async def test_stop_ends_the_run_with_what_there_is() -> None:
    bench = on_cell()

    def before(index: int) -> None:
        if index == 50:
            bench.smu._stop.set()

    bench.smu.before_sample = before
    result = await cycle(bench, current="100 pA", interval="1 s", rest=0)
    assert result["completed"] is False
    assert result["coulombic_efficiency"] is None
    assert [step["end"] for step in result["cycles"][0]["steps"]] == ["stopped"]
    assert not bench.smu.on


async def test_over_range_fails_the_run_and_hands_over_what_was_done() -> None:
    bench = on_cell()
    bench.smu.change = lambda reading, index: reading._replace(flags=Flag.OVERLOAD) if index >= 20 else reading
    with pytest.raises(RunFailed, match="charge 1: the instrument went over range") as failure:
        await cycle(bench, current="100 pA", interval="1 s")
    assert failure.value.detail["partial"]["charge_ah"] > 0
    assert not bench.smu.on


async def test_a_lost_link_is_raised_and_the_cell_not_called_off() -> None:
    bench = on_cell()

    def before(index: int) -> None:
        bench.smu.lost = index >= 20

    bench.smu.before_sample = before
    with pytest.raises(DeviceLost) as lost:
        await cycle(bench, current="100 pA", interval="1 s")
    assert "disconnect it by hand" in lost.value.hint


async def test_missing_samples_are_reported_and_not_bridged() -> None:
    bench = on_cell("fig8b")

    def change(reading: Reading, index: int) -> Reading:
        return reading._replace(time_s=reading.time_s + 60.0) if index >= 30 else reading

    bench.smu.change = change
    result = await cycle(bench, current="125 pA", interval="1 s", time_limit="120 s", rest=0)
    step = result["cycles"][0]["steps"][0]
    assert step["gaps"] == [[30.0, 91.0]]
    assert step["charge_ah"] == near(125e-12 * (120 - 61) / 3600, rel=1e-9)
    assert step["gap_charge_ah"] == near(125e-12 * 61 / 3600, rel=1e-9)
    assert any("1 gaps in the device's time" in note for note in result["notes"])


async def test_a_2450_is_refused_at_5_pa() -> None:
    bench = on_cell()
    bench.devices["potentiostat"] = Bench(bench.world, KEITHLEY_2450).smu
    with pytest.raises(Refused, match=r"cycling at 5 pA .*0.1 % \+ 100 pA"):
        await cycle(bench, current_density="50 uA/cm2")
    assert bench.smu.record == []


async def test_an_input_that_empties_the_cell_is_refused() -> None:
    bench = on_cell()
    able = limited(KEITHLEY_6430, input_resistance_ohm=1e12)
    bench.devices["potentiostat"] = Bench(bench.world, able).smu
    with pytest.raises(Refused, match=r"input of 1 TOhm takes 4.2 pA from the cell at 4.2 V") as refusal:
        await cycle(bench, current_density="50 uA/cm2")
    assert "84" not in str(refusal.value)
    assert "TOhm or more" in refusal.value.hint


async def test_a_route_that_is_too_noisy_is_refused_with_the_area_it_would_take() -> None:
    with pytest.raises(Refused, match="5 pA is below what the route cell is quiet enough for, 10 pA") as refusal:
        await cycle(on_cell(), current_density="50 uA/cm2", route_floor="10 pA")
    assert "an area of 20 um2 or more" in refusal.value.hint


async def test_a_current_above_its_limit_is_refused() -> None:
    with pytest.raises(Refused, match="the current comes out as 5 pA, above current_limit_a, 1 pA"):
        await cycle(on_cell(), current_density="50 uA/cm2", current_limit="1 pA")


async def test_a_few_nanoamperes_on_10_um2_are_noted() -> None:
    bench = on_cell()
    result = await cycle(bench, current="0.9 nA", time_limit="2 s", rest=0)
    assert any("900 pA on 10 um2 is 9 mA/cm2" in note for note in result["notes"])
    assert bench.notes == result["notes"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "no current given; exactly one of current_a, current_density_a_per_m2, c_rate is accepted"),
        ({"current_density": "50 uA/cm2"}, "current_density_a_per_m2 needs area_m2"),
        ({"c_rate": 1}, "c_rate needs reference_capacity_ah"),
        (
            {"current": "2 nA", "current_density": "50 uA/cm2", "area": AREA},
            "50 uA/cm2 on 10 um2 is 5 pA, 400 times less than current_a",
        ),
        ({"current": "-5 pA"}, "current_a is -5e-12; it must be greater than zero"),
        ({"current": "5 pA", "voltage_min": "4.3 V"}, "voltage_min_v is 4.3 V, not below voltage_max_v, 4.2 V"),
        ({"current": "5 pA", "cycles": 0}, "cycles is 0"),
        ({"current": "5 pA", "cycles": 1.5}, "'cycles' is 1.5; accepted: a whole number"),
        ({"current": "5 pA", "start_with": "rest"}, "accepted: charge, discharge"),
        ({"current": "5 pA", "capacity_limit_ah_per_m2": 0.1}, "capacity_limit_ah_per_m2 needs area_m2"),
    ],
)
def test_wrong_parameters_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        PROCEDURE.parse(values)


def test_a_capacity_limit_in_ampere_hours_is_a_charge() -> None:
    """`capacity_limit` is short for two parameters; the unit says which."""
    by_charge = PROCEDURE.parse({"current": "5 pA", "capacity_limit": "1.25 pAh"})
    by_area = PROCEDURE.parse({"current": "5 pA", "area": AREA, "capacity_limit": "12.5 uAh/cm2"})
    for parsed in (by_charge, by_area):
        assert isinstance(parsed, Cycle)
        assert parsed.charge_limit_c == near(4.5e-9)
    with pytest.raises(InvalidValue, match="say which: capacity_limit_c"):
        PROCEDURE.parse({"current": "5 pA", "capacity_limit": 4.5e-9})
