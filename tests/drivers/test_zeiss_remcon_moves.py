"""Moves of the stage: proven arrivals, refusals, stops."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from drivers.errors import (
    Busy,
    DeviceError,
    InvalidValue,
    MoveFailed,
    Refused,
)
from drivers.interfaces import StagePosition
from drivers.stages import ZeissRemconOptions

from .remcon_rig import HOME, moves, reported_x_m, rig, until, waiting
from .remcon_rig import impatient as impatient

pytestmark = pytest.mark.usefixtures("impatient")


# --- moves -----------------------------------------------------------------------------------------------------------


async def test_a_move_changes_the_axes_given_and_sends_the_others_as_read() -> None:
    async with rig(m_mm=1.25) as (stage, mock, _):
        reached = await stage.move_to(x_m=0.0235, tilt_deg=52)
        assert reached == StagePosition(0.0235, 0.02, 0.005, 52.0, 0.0)
        assert moves(mock) == ["C95 23.500000 20.00000 5.00000 52.000000 0.00000 1.25000"]
        assert mock.arrived
        assert mock.position[5] == 1.25
        assert mock.world.chamber.stage.tilt_deg == 52.0
        assert not mock.world.chamber.stage_moving


async def test_relative_moves_and_rotation_modulo_a_turn() -> None:
    async with rig() as (stage, mock, _):
        assert (await stage.move_by(x_m=-1e-6, z_m=2e-3)).x_m == 0.019999
        assert (await stage.move_by(rotation_deg=-90)).rotation_deg == 270.0
        assert (await stage.move_to(rotation_deg=360)).rotation_deg == 0.0
        sent = [float(entry.split(" ")[5]) for entry in moves(mock)]
        assert sent == [0.0, 270.0, 0.0]


async def test_just_before_a_full_turn_is_near_zero() -> None:
    async with rig() as (stage, mock, _):
        go = mock._go
        mock._go = lambda target: go((*target[:4], 359.98, target[5]))  # type: ignore[method-assign]
        assert (await stage.move_to(rotation_deg=0)).rotation_deg == 359.98


@pytest.mark.parametrize("delay_s", [0.0, 0.5, 0.9])
async def test_a_flag_that_rises_late_is_not_taken_for_arrival(delay_s: float) -> None:
    async with rig(flag_delay_s=delay_s) as (stage, mock, _):
        await stage.move_to(x_m=0.030)
        assert mock.arrived
        # also where the move is too small to be told from none at all
        await stage.move_by(y_m=1e-6)
        assert mock.arrived


async def test_a_move_to_where_it_is_ends_after_the_flag_can_be_trusted() -> None:
    async with rig() as (stage, mock, _):
        before_s = mock.timeline.now_s
        assert await stage.move_to(x_m=HOME.x_m) == HOME
        assert 1.0 <= mock.timeline.now_s - before_s < 1.5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x_m": 0.2}, "x_m would be 0.2 m; the soft limits accept 0 to 0.152 m"),
        ({"z_m": -1e-6}, "z_m"),
        ({"tilt_deg": 91}, "tilt_deg would be 91 deg"),
        ({"x_m": float("nan")}, "x_m"),
        ({"rotation_deg": float("inf")}, "rotation_deg"),
        ({"x_m": "far"}, "x_m"),
        ({}, "no axis is given"),
    ],
)
async def test_a_target_outside_the_limits_sends_nothing(given: dict[str, Any], message: str) -> None:
    async with rig() as (stage, mock, _):
        with pytest.raises(InvalidValue, match=message):
            await stage.move_to(**given)
        assert mock.record == []


async def test_a_relative_move_that_would_leave_the_limits_moves_nothing() -> None:
    chosen = ZeissRemconOptions(limits={"x": ["15 mm", 0.025], "tilt_deg": (0, 54)})
    async with rig(chosen) as (stage, mock, _):
        assert stage.capabilities.limits["x_m"] == (0.015, 0.025)
        with pytest.raises(InvalidValue, match=r"x_m would be 0\.026 m; the soft limits accept 0\.015 to 0\.025 m"):
            await stage.move_by(x_m=0.006)
        with pytest.raises(InvalidValue, match="accept 0 to 54 deg"):
            await stage.move_to(tilt_deg=54.1)
        assert moves(mock) == []


async def test_the_tools_own_refusal_is_told_in_words() -> None:
    async with rig(ZeissRemconOptions(limits={"x": [0, 1]})) as (stage, mock, _):
        with pytest.raises(DeviceError, match="error 603, parameter out of range") as caught:
            await stage.move_to(x_m=0.5)
        assert caught.value.detail["code"] == 603
        assert await stage.position() == HOME
        assert len(moves(mock)) == 1


async def test_a_stage_that_is_not_initialised_is_not_moved() -> None:
    async with rig() as (stage, mock, _):
        mock.initialised = False
        with pytest.raises(Refused, match="not initialised"):
            await stage.move_to(x_m=0.03)
        assert moves(mock) == []


async def test_a_stage_that_comes_to_rest_elsewhere() -> None:
    async with rig() as (stage, mock, _):
        mock.short_of_x_mm = 0.05
        with pytest.raises(MoveFailed, match=r"x_m 0\.02995 instead of 0\.03") as caught:
            await stage.move_to(x_m=0.030)
        assert caught.value.detail["position"]["x_m"] == 0.02995
        assert len(moves(mock)) == 1


async def test_a_move_that_never_begins() -> None:
    async with rig() as (stage, mock, _):
        mock.ignores_moves = True
        before_s = mock.timeline.now_s
        with pytest.raises(MoveFailed, match="at rest elsewhere"):
            await stage.move_to(x_m=0.030)
        assert mock.timeline.now_s - before_s >= 1.0


async def test_a_move_that_takes_too_long_is_aborted() -> None:
    async with rig(ZeissRemconOptions(move_timeout_s=5.0), speed_mm_per_s=2.0) as (stage, mock, _):
        with pytest.raises(MoveFailed, match="not finished after 5 s and was aborted") as caught:
            await stage.move_to(x_m=0.100)
        assert mock.record.count("ABO") == 1
        assert mock.arrived
        assert caught.value.detail["position"]["x_m"] == reported_x_m(mock)


async def test_touch_alarm_in_the_middle_of_a_move() -> None:
    async with rig() as (stage, mock, _):
        task = asyncio.create_task(stage.move_to(x_m=0.100))
        await until(lambda: mock.moving)
        mock.world.chamber.touch_alarm = "tripped"
        with pytest.raises(MoveFailed, match="at rest elsewhere"):
            await task
        assert mock.arrived
        with pytest.raises(DeviceError, match="616"):
            await stage.move_to(x_m=0.100)


async def test_two_moves_at_once_and_the_joystick() -> None:
    async with rig() as (stage, mock, _):
        task = asyncio.create_task(stage.move_to(x_m=0.030))
        await until(lambda: mock.moving)
        with pytest.raises(Busy):
            await stage.move_to(y_m=0.030)
        assert (await task).x_m == 0.030
        mock.push(1, 100.0)
        with pytest.raises(Busy, match="joystick"):
            await stage.move_to(x_m=0.020)
        assert len(moves(mock)) == 1


# --- stopping --------------------------------------------------------------------------------------------------------


async def test_stop_in_the_middle_of_a_move() -> None:
    async with rig() as (stage, mock, _):
        task = asyncio.create_task(stage.move_to(x_m=0.100))
        await until(lambda: mock.moving)
        stopped = await stage.stop()
        with pytest.raises(MoveFailed, match="stopped") as caught:
            await task
        assert mock.arrived
        assert HOME.x_m <= stopped.x_m < 0.100
        assert caught.value.detail["position"]["x_m"] == stopped.x_m
        assert len(moves(mock)) == 1
        # and the next move is as good as any
        assert (await stage.move_to(x_m=HOME.x_m)) == HOME


async def test_a_stop_before_the_command_went_out_keeps_it_in() -> None:
    async with rig() as (stage, mock, _):
        task = asyncio.create_task(stage.move_to(x_m=0.100))
        await until(lambda: "IST?" in mock.record)
        assert await stage.stop() == HOME
        with pytest.raises(MoveFailed, match="stopped"):
            await task
        assert moves(mock) == []


async def test_stop_of_a_resting_stage() -> None:
    async with rig() as (stage, _, _):
        assert await stage.stop() == HOME


async def test_a_cancelled_move_is_aborted() -> None:
    async with rig() as (stage, mock, _):
        task = asyncio.create_task(stage.move_to(x_m=0.100))
        await until(lambda: mock.moving)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "ABO" in mock.record
        assert mock.arrived


async def test_an_abort_whose_reply_is_lost_is_sent_again() -> None:
    async with rig() as (stage, mock, served):
        mock.push(0, 100.0)
        served.faults.drop(nth=1)
        with waiting():
            assert (await stage.stop()).x_m < 0.1
        assert mock.arrived
        assert mock.record.count("ABO") == 2


async def test_a_server_without_abort_lets_the_stage_run_out() -> None:
    async with rig(lacks=["ABO"], speed_mm_per_s=2.0) as (stage, mock, _):
        mock.push(0, 24.0)
        assert (await stage.stop()).x_m == 0.024
        mock.push(0, 100.0)
        with pytest.raises(MoveFailed, match=r"did not come to rest within 10 s of ABO.*600"):
            await stage.stop()
        mock.place(20.0, 20.0, 5.0, 0.0, 0.0, 0.0)
