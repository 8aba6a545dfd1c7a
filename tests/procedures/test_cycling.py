"""Cycling beyond constant current: geometry, constant voltage, corrected charge, pauses, resumes, shorts, contact."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.procedures.registry import find
from drivers.errors import HealthStop, InvalidValue, Refused, RunFailed
from mocks.world import World
from tests.near import near

from .bench import Bench
from .test_cycle import AREA, cycle, on_cell

pytestmark = pytest.mark.usefixtures("without_debug")

PROCEDURE = find("cycle")


async def test_the_current_follows_when_the_section_was_cut_again() -> None:
    """Domain note 1.4: 5 x 2 um at 50 uA/cm2 is 5 pA; re-cleaned to 4.6 x 1.8 um it is 4.14 pA."""
    history = "1970-01-01 = 5 um x 2 um; 1970-01-01T00:00:00.5 = 4.6 um x 1.8 um; 2999-01-01 = 1 um2"
    parsed = PROCEDURE.parse({"area_history": history, "current_density": "50 uA/cm2"})
    assert parsed.at(100).current == near(5e-12)  # type: ignore[attr-defined]
    assert parsed.at(10**18).current == near(4.14e-12)  # type: ignore[attr-defined]
    assert parsed.at(10**18).area_m2 == near(8.28e-12)  # type: ignore[attr-defined]


async def test_an_absolute_current_on_a_smaller_area_is_noted_with_the_one_that_keeps_the_density() -> None:
    history = "1970-01-01 = 5 um x 2 um; 1970-01-01T00:00:00.5 = 4.6 um x 1.8 um"
    bench = on_cell()
    bench.smu.clock.time_ns = lambda: 10**18  # type: ignore[method-assign]
    result = await cycle(bench, area=None, area_history=history, current="5 pA", interval="1 s", time_limit="3 s")
    assert any(
        "5 pA was 50 uA/cm2 on 10 um2; on 8.28 um2 it is 60.4 uA/cm2 (+20.8 %). 4.14 pA keeps the density" in note
        for note in result["notes"]
    )
    assert [entry["area_m2"] for entry in result["area_history"]] == near([10e-12, 8.28e-12])
    assert result["settings"]["current_density_a_per_m2"] == near(0.604, rel=1e-3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"length": "5 um"}, "length_m and width_m belong together"),
        (
            {"length": "5 um", "width": "40 nm", "damage_depth": "25 nm"},
            "damage_depth_m is 25 nm: nothing is left of 5 um x 40 nm",
        ),
        ({"area": AREA, "area_history": "2026-01-01 = 10 um2"}, "area_m2 and area_history given; one of"),
        ({"area_history": "yesterday = 10 um2"}, "the date 'yesterday'"),
        ({"area_history": "2026-01-01 10 um2"}, "area_history has '2026-01-01 10 um2'"),
        ({"leads": "wire"}, "leads has 'wire'; accepted: feedthrough"),
        ({"stack": "steel"}, "stack has 'steel'"),
        ({"charge_mode": "cccv"}, "cc, cc-cv, cv"),
    ],
)
def test_wrong_geometry_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        PROCEDURE.parse({"current": "5 pA", **values})


def test_ion_damage_takes_its_share_of_the_area() -> None:
    """Domain note 1.1: 25 nm on each surface of 5 x 2 um is 3.5 %."""
    parsed = PROCEDURE.parse({"length": "5 um", "width": "2 um", "damage_depth": "25 nm", "current_density": 0.5})
    assert parsed.at(0).area_m2 / 10e-12 == near(0.965, abs=5e-4)  # type: ignore[attr-defined]


async def test_named_leads_refuse_what_their_floor_does() -> None:
    with pytest.raises(Refused, match=r"the manipulator lead is stable from 10 pA .*; 5 pA is planned"):
        await cycle(on_cell(), current_density="50 uA/cm2", leads="feedthrough,manipulator")


async def test_cc_cv_hands_over_at_the_limit_and_ends_at_a_twentieth() -> None:
    bench = on_cell("fig8b", stray_f=1e-13)
    result = await cycle(bench, current_density="1.25 mA/cm2", interval="1 s", charge_mode="cc-cv", rest=0)
    charge, discharge = result["cycles"][0]["steps"]
    assert (charge["mode"], charge["end"], discharge["mode"]) == ("cc-cv", "taper", "cc")
    assert abs(charge["current_end_a"]) <= 125e-12 / 20
    only_cc = await cycle(on_cell("fig8b", stray_f=1e-13), current_density="1.25 mA/cm2", interval="1 s", rest=0)
    assert charge["charge_ah"] > 1.03 * only_cc["cycles"][0]["steps"][0]["charge_ah"]
    assert result["settings"]["taper_current_a"] == near(6.25e-12)
    assert not bench.smu.on


async def test_energy_and_its_efficiency() -> None:
    result = await cycle(on_cell("fig8b"), current_density="1.25 mA/cm2", interval="1 s", rest=0)
    charge, discharge = result["cycles"][0]["steps"]
    assert 3.4 < charge["energy_wh"] / charge["charge_ah"] < 4.2
    assert result["energy_efficiency"] == near(discharge["energy_wh"] / charge["energy_wh"])
    assert result["energy_efficiency"] < result["coulombic_efficiency"]


async def test_resistance_from_the_edge_between_charge_and_discharge() -> None:
    """130 Ohm cm2 on 10 um2 are 1.3 GOhm; the lead's 100 pF need 0.65 s to settle. In the second until then the anode
    begins to change over to its other branch: some 5 mV of 325 mV more."""
    result = await cycle(on_cell("fig8b"), current_density="1.25 mA/cm2", interval="1 s", rest=0)
    found = result["cycles"][0]["steps"][1]["resistance"]
    assert 130 < found["resistance_ohm_m2"] * 1e4 < 160
    assert (found["delay_s"], found["valid"]) == (near(1.0), True)


async def test_efficiency_has_no_more_digits_than_the_leak_check_supports() -> None:
    options = {"current_density": "1.25 mA/cm2", "interval": "1 s", "rest": 0}
    unknown = await cycle(on_cell("fig8b"), **options)
    assert unknown["coulombic_efficiency_decimals"] is None
    assert "no leak check" in unknown["coulombic_efficiency_text"]
    known = await cycle(on_cell("fig8b"), leak_uncertainty="1 pA", **options)
    assert known["coulombic_efficiency_decimals"] == 2
    assert "±" in known["coulombic_efficiency_text"]


async def test_a_gap_of_the_contact_is_taken_off_and_comes_back() -> None:
    """Open for 10 s at 5 pA: 50 pC flow into the lead, 100 pF x 0.5 V of it into the cell when it closes."""
    event = {"kind": "open", "at_s": 150.0, "for_s": 10.0, "since": "drive"}
    bench = on_cell("fig8a", events=[event])
    result = await cycle(
        bench, current_density="50 uA/cm2", capacity_limit="12.5 uAh/cm2", interval="1 s", stray="100 pF", rest=0
    )
    charge = result["cycles"][0]["steps"][0]
    (gap,) = charge["contact_gaps"]
    assert gap["from_s"] == near(150, abs=1.5)
    assert gap["to_s"] == near(160, abs=1.5)
    correction = charge["correction"]
    assert correction["open_ah"] * 3600 == near(50e-12, rel=0.15)
    assert correction["returned_ah"] * 3600 == near(50e-12, rel=0.15)
    stray = 100e-12 * (charge["voltage_end_v"] - charge["voltage_start_v"])
    assert (charge["charge_ah"] - charge["charge_corrected_ah"]) * 3600 == near(stray, rel=0.1)
    assert any("the contact was open 1 times" in note for note in result["notes"])


async def test_a_contact_lost_for_good_is_no_completed_charge() -> None:
    event = {"kind": "open", "at_s": 150.0, "since": "drive"}
    bench = on_cell("fig8a", events=[event])
    with pytest.raises(RunFailed, match="charge 1: contact lost") as failure:
        await cycle(bench, current_density="50 uA/cm2", interval="1 s", stray="100 pF")
    partial = failure.value.detail["partial"]
    assert (partial["completed"], partial["end"]) == (False, "contact_lost")
    charge = partial["cycles"][0]["steps"][0]
    assert charge["end"] == "contact_lost"
    assert charge["charge_interpolated_ah"] is None
    assert partial["cycles"][0]["coulombic_efficiency"] is None
    raw, told = charge["charge_ah"] * 3600, charge["charge_corrected_ah"] * 3600
    before = 150 * 5e-12 - 100e-12 * (3.263 - charge["voltage_start_v"])
    assert raw > 150 * 5e-12 + 5e-12
    assert told == near(before, rel=0.05)
    assert not bench.smu.on


async def test_a_pause_takes_nothing_from_the_charge_limit() -> None:
    bench = on_cell("fig8a", stray_f=1e-15)
    paused: list[bool] = []

    def before(index: int) -> None:
        if index == 300 and not paused:
            paused.append(True)
            bench.pausing = True
            bench.smu._stop.set()

    bench.smu.before_sample = before
    result = await cycle(
        bench, current_density="50 uA/cm2", capacity_limit="12.5 uAh/cm2", interval="1 s", rest=0, leak=0
    )
    charge = result["cycles"][0]["steps"][0]
    assert (charge["end"], charge["pauses"]) == ("capacity", 1)
    assert charge["duration_interpolated_s"] == near(900, rel=1e-3)
    assert charge["charge_interpolated_ah"] == near(1.25e-12, rel=1e-6)
    assert len(charge["part_start_times_ns"]) == 2
    assert result["completed"] is True


async def test_a_run_that_was_aborted_goes_on_at_the_charge_where_it_was() -> None:
    bench = on_cell("fig8a", stray_f=1e-15, speed=1000.0)  # slow enough for whoever aborts it
    options = {"current_density": "50 uA/cm2", "capacity_limit": "12.5 uAh/cm2", "interval": "1 s", "rest": 0}
    reached = asyncio.Event()

    def before(index: int) -> None:
        if index == 600:
            reached.set()
            task.cancel()

    bench.smu.before_sample = before
    task = asyncio.create_task(cycle(bench, **options))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not bench.smu.on
    again = Bench(bench.world)
    again.saved = bench.kept[-1]
    result = await cycle(again, **options)
    charge = result["cycles"][0]["steps"][0]
    assert (charge["end"], result["completed"]) == ("capacity", True)
    assert charge["charge_interpolated_ah"] == near(1.25e-12, rel=5e-3)
    assert charge["voltage_end_v"] == near(3.643, abs=0.02)
    assert again.smu.record.count("on 5e-12") == 1


async def test_after_a_short_the_step_begins_again_on_the_new_area() -> None:
    bench = on_cell("good")
    told: list[bool] = []

    def before(index: int) -> None:
        if index == 20 and not told:
            told.append(True)
            raise HealthStop("short: V follows I", finding={"kind": "short"})

    bench.smu.before_sample = before
    bench.answers.extend(["cleaned again", ("done", {"length": "4.6 um", "width": "1.8 um"})])
    result = await cycle(bench, current_density="50 uA/cm2", interval="1 s", time_limit="60 s", rest=0)
    assert result["recoveries"][0]["choice"] == "cleaned again"
    assert result["settings"]["current_a"] == near(4.14e-12)
    assert result["area_history"][-1]["area_m2"] == near(8.28e-12)
    assert [line for line in bench.smu.record if line.startswith("on")] == ["on 5e-12", "on 4.14e-12", "on -4.14e-12"]
    assert result["cycles"][0]["steps"][0]["charge_ah"] == near(4.14e-12 * 60 / 3600, rel=1e-3)


async def test_energy_density_says_which_state_it_is_for() -> None:
    world = World(cell="sheet", area_m2=1e-5, noise=False)
    world.tip.touch()
    result = await cycle(
        Bench(world),
        area="0.1 cm2",
        current="0.9 nA",
        interval="1 s",
        time_limit="5 s",
        rest=0,
        stack="steel 10 um, LiCoO2 10 um, LiPON 1.8 um",
        plating=True,
        anode_capacity="1 mAh/cm2",
    )
    found = result["energy_density"]
    assert found["thickness_m"] == near(21.8e-6)
    energy_j = result["discharge_wh"] * 3600
    assert found["discharged_wh_per_l"] == near(energy_j / 1e-5 / 21.8e-6 / 3600 / 1000)
    assert found["charged_wh_per_l"] < found["discharged_wh_per_l"]
    assert "charged" in found["states"]


@pytest.mark.parametrize("current", ["5 pA", "125 pA", "300 pA"])
async def test_a_lead_without_a_cell_is_no_completed_charge(current: str) -> None:
    """It never had contact: 100 pF to 4.2 V are 0.4 nC, a hundredth of the smallest charge of a cell."""
    procedure = find("cycle")
    bench = Bench(World(seed=1))
    parameters = {"current": current, "area": "10 um2", "route": "cell", "rest": "1 s"}
    with pytest.raises(RunFailed, match="contact lost"):
        await procedure.run(bench, procedure.parse(parameters))
    assert not bench.smu.on
    open_relays = Bench(World())
    with pytest.raises(Refused, match="every route of relays is open"):
        await procedure.run(open_relays, procedure.parse({"current": current, "area": "10 um2"}))
