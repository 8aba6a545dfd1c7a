"""Leak or trap on the world's cells: fig9_leak has 1.16 TOhm beside it, fig9 traps 65 % of what goes in first."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bridge.client import connect
from bridge.daemon.config import BrokerConfig, Config
from bridge.daemon.daemon import Daemon
from bridge.demo.rig import PLACES, simulated_rig
from bridge.procedures.registry import find
from drivers.errors import InvalidValue, Refused, RunFailed
from mocks.world import World
from tests.near import near

from .bench import KEITHLEY_2450, Bench

pytestmark = pytest.mark.usefixtures("without_debug")

PROCEDURE = find("leak-or-trap")
RATE = {"current_density": "60 uA/cm2", "area": "10 um2", "route": "cell", "interval": "4 s"}
FIG9 = {**RATE, "capacity_limit": "30 uAh/cm2"}
LEAK_OHM = 1.16e12


def on_cell(preset: str, *, stray_f: float = 1e-15, **options: Any) -> Bench:
    world = World(cell=preset, noise=False, preset_events=False, stray_f=stray_f, **options)
    world.tip.touch()
    return Bench(world)


async def go(bench: Bench, **values: Any) -> dict[str, Any]:
    result = await PROCEDURE.run(bench, PROCEDURE.parse({**FIG9, **values}))
    json.dumps(result, allow_nan=False)
    assert not bench.smu.on
    return result


async def test_a_leak_by_a_second_rate_in_the_same_cell() -> None:
    result = await go(on_cell("fig9_leak"))
    assert result["verdict"] == "leak"
    first, second = result["cycles"]
    assert first["ratio"] == near(0.349, abs=5e-3)
    assert second["ratio"] == near(result["evidence"]["second_ratio_if_leak"], abs=0.03)
    assert result["evidence"]["second_ratio_if_trap"] == near(1.0, abs=5e-3)
    assert second["charge_ah"] == near(first["discharge_ah"], rel=5e-3)
    assert result["leak_resistance_ohm"] == near(LEAK_OHM, rel=0.03)
    off = abs(result["leak_a"] - result["leak_at_voltage_v"] / LEAK_OHM)
    assert off < 2 * result["leak_uncertainty_a"] < 0.1 * result["leak_a"]


async def test_a_trap_by_a_second_rate_in_the_same_cell() -> None:
    result = await go(on_cell("fig9"))
    assert result["verdict"] == "trap"
    assert [cycle["ratio"] for cycle in result["cycles"]] == [near(0.343, abs=3e-3), near(1.0, abs=0.01)]
    assert result["returned_share"] == near(0.343, abs=3e-3)
    assert abs(result["leak_a"]) < 3 * result["leak_uncertainty_a"]
    assert result["leak_uncertainty_a"] < 0.1 * 6e-12


@pytest.mark.parametrize(("preset", "ratio", "verdict"), [("fig9_leak", 0.604, "leak"), ("fig9", 0.343, "trap")])
async def test_a_second_cell_at_twice_the_rate(preset: str, ratio: float, verdict: str) -> None:
    """The note's oracle: from fresh, the leak goes from 0.349 to 0.604, the trap stays."""
    back = {"fig9_leak": "1.047 pAh", "fig9": "1.029 pAh"}[preset]
    result = await go(on_cell(preset), first_charge="3 pAh", first_discharge=back)
    (cycle,) = result["cycles"]
    assert cycle["current_a"] == near(12e-12)
    assert cycle["ratio"] == near(ratio, abs=5e-3)
    assert result["verdict"] == verdict


@pytest.mark.parametrize("preset", ["fig9_leak", "fig9"])
async def test_a_rest_tells_them_apart_too(preset: str) -> None:
    result = await go(on_cell(preset), method="rest")
    leak = next(step["leak"] for step in result["steps"] if step["kind"] == "rest")
    if preset == "fig9":
        assert result["verdict"] == "trap"
        assert abs(leak["slope_v_per_s"]) * 60 < 0.5e-3
    else:
        assert result["verdict"] == "leak"
        assert result["leak_a"] == near(leak["voltage_v"] / LEAK_OHM, rel=0.05)
        assert 2.5e-3 < -leak["slope_v_per_s"] * 60 < 25e-3


async def test_the_rest_is_measured_and_the_cell_off_between_the_steps() -> None:
    bench = on_cell("fig9")
    await go(bench, method="rest")
    assert bench.step_names == ["route cell", "charge 1", "rest 1", "discharge 1", "done"]
    assert [line for line in bench.smu.record if line.startswith("on")] == ["on 6e-12", "on 0", "on -6e-12"]


@pytest.mark.parametrize(("preset", "verdict"), [("fig9_leak", "leak"), ("fig9", "trap")])
async def test_through_the_unshielded_lead_s_noise_and_100_pf(preset: str, verdict: str) -> None:
    world = World(cell=preset, preset_events=False, seed=3)
    world.tip.touch()
    result = await go(Bench(world), stray_f="100 pF", interval="2 s")
    assert result["verdict"] == verdict


async def test_a_good_cell_is_undecided_and_says_why() -> None:
    result = await go(on_cell("good"))
    assert result["verdict"] == "undecided"
    assert "too close to tell" in result["reason"] or "nothing is missing" in result["reason"]
    assert result["leak_a"] is None


async def test_a_pause_in_a_step_goes_on_with_what_is_left() -> None:
    bench = on_cell("fig9_leak")

    def before(index: int) -> None:
        if index == 100 and not bench.steps[-1][0].startswith("discharge"):
            bench.smu.before_sample = lambda index: None
            bench.pausing = True
            bench.smu._stop.set()

    bench.smu.before_sample = before
    result = await go(bench)
    charge = result["steps"][0]
    assert charge["charge_raw_c"] == near(10.8e-9, rel=1e-3)
    assert charge["voltage_seconds"] == near(1800 * 3.4, rel=0.05)
    assert [line for line in bench.smu.record if line == "on 6e-12"] == ["on 6e-12"] * 2
    assert result["verdict"] == "leak"


@pytest.mark.parametrize("where", ["charge 1", "discharge 1"])
async def test_an_aborted_run_goes_on_in_the_step_and_at_the_charge_where_it_was(where: str) -> None:
    bench = on_cell("fig9_leak", speed=1000.0)  # as fast as it can it would be far ahead of whoever aborts it
    reached = asyncio.Event()

    def before(index: int) -> None:
        if index == 80 and bench.steps[-1][0] == where:
            reached.set()

    bench.smu.before_sample = before
    task = asyncio.create_task(go(bench))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not bench.smu.on
    kept = bench.kept[-1]
    assert len(kept["steps"]) == (0 if where == "charge 1" else 1)
    assert 0 < kept["partial"]["charge_c"] + kept["partial"]["discharge_c"] < 10.8e-9
    again = Bench(bench.world)
    again.saved = kept
    result = await go(again)
    assert again.step_names[1] == where
    charge, discharge = result["steps"][:2]
    assert charge["charge_raw_c"] == near(10.8e-9, rel=1e-3)
    # a simulation is some samples ahead of what was saved when it is aborted
    assert discharge["charge_raw_c"] == near(0.349 * 10.8e-9, rel=0.15)
    assert again.smu.record.count("on 6e-12") == (1 if where == "charge 1" else 0)


async def test_a_charge_that_ends_by_time_is_followed_by_one_of_what_came_back() -> None:
    bench = on_cell("fig9")
    values = {**RATE, "time_limit": "30 min"}
    result = await PROCEDURE.run(bench, PROCEDURE.parse(values))
    assert result["steps"][0]["end"] == "time >= 1800 s"
    assert result["steps"][2]["end"].startswith("capacity >= 3.70")
    assert result["verdict"] == "trap"


async def test_a_lost_contact_is_no_completed_charge() -> None:
    bench = on_cell("fig9", stray_f=100e-12, events=[{"kind": "open", "at_s": 600.0, "for_s": 1e6, "since": "drive"}])
    with pytest.raises(RunFailed, match="charge 1: contact lost at 60"):
        await go(bench, interval="1 s", stray_f="100 pF")
    assert not bench.smu.on


async def test_stopped_by_hand_it_is_undecided() -> None:
    bench = on_cell("fig9")

    def before(index: int) -> None:
        if index == 50:
            bench.smu._stop.set()

    bench.smu.before_sample = before
    result = await go(bench)
    assert (result["verdict"], result["completed"]) == ("undecided", False)
    assert "stopped" in result["reason"]


async def test_a_2450_is_refused_before_anything_is_energised() -> None:
    bench = on_cell("fig9")
    bench.devices["potentiostat"] = Bench(bench.world, KEITHLEY_2450).smu
    with pytest.raises(Refused, match="leak-or-trap at 6 pA"):
        await go(bench)
    assert bench.smu.record == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"current_density": "-60 uA/cm2"}, "the current is -6 pA; one above zero is accepted"),
        ({"second_factor": 1.1}, "second_factor is 1.1: too near the first rate"),
        ({"method": "guess"}, "accepted: second-rate, rest"),
        ({"method": "rest", "rest": "10 s"}, "rest_s is 10 s; at least 60 s"),
        ({"first_charge": "3 pAh"}, "first_charge_ah and first_discharge_ah go together"),
        ({"first_charge": "1 pAh", "first_discharge": "3 pAh"}, "nothing is missing"),
        ({"voltage_min": "4.3 V"}, "not below voltage_max_v"),
    ],
)
def test_wrong_parameters_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        PROCEDURE.parse({**FIG9, **values})


@pytest.mark.parametrize(("preset", "verdict"), [("fig9_leak", "leak"), ("fig9", "trap")])
async def test_the_whole_way(tmp_path: Path, preset: str, verdict: str) -> None:
    """Instruments on wires, driver, daemon, broker, client."""
    world = World(cell=preset, noise=False, preset_events=False, stray_f=1e-15)
    world.tip.touch()
    devices = {"potentiostat": "pstat", "feedthrough": "relays"}
    async with simulated_rig(world, {name: PLACES[name] for name in devices.values()}) as rig:
        config = Config(
            bridge="lab",
            state_dir=tmp_path,
            broker=BrokerConfig(port=0),
            devices=rig.devices,
            exports=False,
        )
        async with Daemon(config, clock_for=rig.clock_for) as daemon, connect(str(daemon.broker), name="test") as lab:
            run = await lab.start("leak-or-trap", {**FIG9, "interval": "12 s"}, devices)
            result = await run.result()
    assert result["verdict"] == verdict
    assert result["cycles"][0]["ratio"] == near(0.349 if verdict == "leak" else 0.343, abs=0.012)
    assert result["instrument"]["model"] == "6430"
