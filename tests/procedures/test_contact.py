"""Making contact with the world's tip and cell."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from bridge.procedures.registry import find
from drivers.errors import InvalidValue, Refused, RunFailed
from mocks.world import World
from tests.near import near

from .bench import Bench

PROCEDURE = find("make-contact")


async def make_contact(bench: Bench, **values: Any) -> dict[str, Any]:
    return await PROCEDURE.run(bench, PROCEDURE.parse({"route": "cell", **values}))


def above_pad(height_m: float = 1.01e-6) -> Bench:
    bench = Bench(World(seed=1))
    bench.world.tip.retract(height_m)
    return bench


async def test_contact_is_found_within_a_step_and_pressed_no_further_than_asked() -> None:
    bench = above_pad()
    result = await make_contact(bench)
    assert result["verdict"] == "contact"
    assert result["found"] is True
    assert result["ocv_v"] == near(bench.world.terminals("smu").node_voltage_v, abs=2e-3)
    assert result["ocv_v"] > 1.0
    assert result["contact_z_m"] == near(bench.world.tip.pad_m[2], abs=60e-9)
    assert bench.world.tip.max_press_m <= 50e-9 + 50e-9
    assert result["steps"] == 22
    assert not bench.smu.on
    assert bench.smu.record[-1] == "off"


async def test_a_floating_lead_that_never_rests_is_no_contact() -> None:
    bench = above_pad(20e-6)
    bench.smu.change = lambda reading, index: reading._replace(voltage_v=(-1.0) ** index)
    result = await make_contact(bench, max_travel="200 nm")
    assert result["verdict"] == "not found"


async def test_coarse_steps_first() -> None:
    bench = above_pad(20.01e-6)
    result = await make_contact(bench, max_travel="25 um", coarse_travel="19 um", coarse_step="500 nm")
    assert result["found"] is True
    moves = [float(entry.split()[1]) for entry in bench.tip.record if entry != "stop"]
    assert moves[:38] == [near(-500e-9)] * 38
    assert moves[38:] == [near(-50e-9)] * (len(moves) - 38)


async def test_the_potentiostat_never_drives() -> None:
    bench = above_pad()
    await make_contact(bench)
    assert {entry for entry in bench.smu.record if entry.startswith("on")} == {"on 0"}


async def test_no_contact_is_not_found_and_draws_back() -> None:
    bench = above_pad(20e-6)
    result = await make_contact(bench, max_travel="2 um")
    assert result["verdict"] == "not found"
    assert result["ocv_v"] is None
    assert result["steps"] == 40
    assert bench.tip.record[-1] == "move 1e-06"
    assert result["position"]["z_m"] == near(bench.world.tip.pad_m[2] + 20e-6 - 2e-6 + 1e-6)
    assert any("no contact within 2 um" in note for note in bench.notes)


async def test_the_expected_voltage_can_be_given_and_contact_may_be_there_already() -> None:
    bench = above_pad()
    bench.world.tip.touch()
    result = await make_contact(bench, contact_voltage="1.4 V")
    assert result["found"] is True
    assert bench.tip.record == []


async def test_a_tip_that_touches_already_is_not_pushed_blindly() -> None:
    bench = above_pad()
    bench.world.tip.touch()
    with pytest.raises(Refused, match="before the approach: it touches already"):
        await make_contact(bench)
    assert bench.tip.record == []


async def test_a_reading_that_is_lost_stops_the_approach_where_it_is() -> None:
    bench = above_pad()
    bench.smu.change = lambda reading, index: (
        reading._replace(voltage_v=math.nan) if len(bench.tip.record) == 5 else reading
    )
    with pytest.raises(RunFailed, match="could not be read after 5 steps") as failure:
        await make_contact(bench)
    assert len(bench.tip.record) == 5
    assert failure.value.detail["position"]["z_m"] == near(bench.world.tip.z_m)
    assert not bench.smu.on


async def test_contact_that_does_not_last_is_a_failure() -> None:
    bench = above_pad()

    def on_progress(step: str) -> None:
        if step == "verify":
            bench.smu.change = lambda reading, index: reading._replace(voltage_v=0.0) if index > 20 else reading

    bench.on_progress = on_progress
    with pytest.raises(RunFailed, match="contact did not last, 1 time"):
        await make_contact(bench, tries=1)
    assert not bench.smu.on
    assert bench.world.tip.gap_m > 400e-9, "it was not drawn back"


async def test_abort_during_a_move_stops_the_motor_and_the_source() -> None:
    bench = above_pad()
    bench.tip.blocked = True
    task = asyncio.create_task(make_contact(bench))
    await bench.tip.moving.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.tip.record[-1] == "stop"
    assert not bench.smu.on


async def test_a_step_finer_than_the_manipulator_can_go_is_refused() -> None:
    bench = above_pad()
    with pytest.raises(InvalidValue, match="step_m is 10 nm, finer than tip can go; at least 30 nm is accepted"):
        await make_contact(bench, step="10 nm")
    assert bench.tip.record == []
