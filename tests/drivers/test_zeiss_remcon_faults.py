"""Faults on the line of the stage: a move is never sent twice, and a lost confirmation is settled by looking."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Any

import pytest

from drivers.errors import (
    DeviceError,
    DeviceLost,
    DeviceTimeout,
    LinkError,
    MoveFailed,
    Refused,
)

from .remcon_rig import HOME, moves, reported_x_m, rig, until, waiting
from .remcon_rig import impatient as impatient

pytestmark = pytest.mark.usefixtures("impatient")


HEALED = [
    ("split", {}),
    ("merge", {}),
    ("duplicate", {"nth": 1}),
    ("duplicate", {"nth": 2}),
    ("garbage", {"nth": 1, "data": b"\x00\xff"}),
    ("garbage", {"nth": 2, "data": b"\x00\xff"}),
    ("garbage", {"nth": 2, "data": b">99 99 9 0 0 0 0.0\r\n", "after": True}),
    ("garbage", {"nth": 2, "data": b"@\r\n>99 99 9 0 0 0 0.0\r\n", "after": True}),
    ("corrupt", {"nth": 1, "offset": 0, "mask": 0x01}),
    ("corrupt", {"nth": 2, "offset": 0, "mask": 0x80}),
    ("corrupt", {"nth": 2, "offset": 4, "mask": 0x80}),
    ("drop", {"nth": 1}),
]


@pytest.mark.parametrize(("fault", "parameters"), HEALED)
async def test_a_garbled_position_is_asked_for_again(fault: str, parameters: dict[str, Any]) -> None:
    async with rig() as (stage, mock, served):
        getattr(served.faults, fault)(**parameters)
        assert await stage.position() == HOME
        served.faults.clear()
        for x_mm in (30.0, 40.0):
            mock.place(x_mm, 20.0, 5.0, 0.0, 0.0, 0.0)
            assert (await stage.position()).x_m == x_mm / 1e3


@pytest.mark.parametrize(
    ("fault", "parameters"),
    [("drop", {"nth": 2}), ("late", {"nth": 1, "times": 2}), ("late", {"nth": 2}), ("deaf", {"times": 1})],
)
async def test_a_late_position_is_never_taken_for_a_new_one(fault: str, parameters: dict[str, Any]) -> None:
    async with rig() as (stage, mock, served):
        getattr(served.faults, fault)(**parameters)
        with waiting(), pytest.raises(DeviceTimeout) as caught:
            await stage.position()
        assert caught.value.sent == b"C95?\r"
        for x_mm in (30.0, 40.0, 50.0):
            mock.place(x_mm, 20.0, 5.0, 0.0, 0.0, 0.0)
            assert (await stage.position()).x_m == x_mm / 1e3


#: replies before the first poll of a move: IST?, PRB?, SCM 0, twice C95?, C95, with two lines each
_COMMAND_REPLY = 11


@pytest.mark.parametrize("nth", [1, 6, 8, 9, 10, 11, 12, 13])
@pytest.mark.parametrize("fault", ["drop", "late", "duplicate", "corrupt"])
async def test_a_move_is_never_sent_twice(fault: str, nth: int) -> None:
    """Whatever happens to one line of all that a move takes: it is proven or an error, and sent once at most."""
    async with rig() as (stage, mock, served):
        getattr(served.faults, fault)(nth=nth, times=1)
        try:
            with nullcontext() if fault == "duplicate" else waiting():
                reached = await stage.move_to(x_m=0.0205)
        except (LinkError, Refused, MoveFailed, DeviceError):
            assert fault in ("drop", "late", "corrupt")
        else:
            assert reached.x_m == 0.0205
            assert mock.arrived
        assert len(moves(mock)) <= 1
        served.faults.clear()
        assert (await stage.position()).x_m == reported_x_m(mock)


async def test_a_lost_confirmation_is_settled_by_looking() -> None:
    async with rig() as (stage, mock, served):
        served.faults.drop(nth=_COMMAND_REPLY)
        with waiting():
            assert (await stage.move_to(x_m=0.0205)).x_m == 0.0205
        assert len(moves(mock)) == 1


async def test_a_move_that_was_lost_on_the_way_is_not_sent_again() -> None:
    async with rig() as (stage, mock, served):
        served.faults.deaf(nth=6, times=1)
        with waiting(), pytest.raises(MoveFailed, match="had not confirmed the move"):
            await stage.move_to(x_m=0.0205)
        assert moves(mock) == []
        assert await stage.position() == HOME


async def test_a_flipped_digit_moves_no_other_axis() -> None:
    """The axes that stay are sent back as read, so a wrong digit there would move the stage."""
    async with rig() as (stage, mock, served):
        # the second line of the first C95? after IST?, PRB?, SCM 0: z 5.00000 becomes 7.00000
        served.faults.corrupt(nth=8, offset=19, mask=0x02)
        with pytest.raises(Refused, match="two readings of the resting stage differ"):
            await stage.move_to(x_m=0.03)
        assert moves(mock) == []


async def test_silence_unplug_and_reboot() -> None:
    async with rig() as (stage, mock, served):
        served.faults.silence()
        with waiting(), pytest.raises(DeviceTimeout):
            await stage.position()
        served.faults.clear()
        assert await stage.position() == HOME
        mock.power_cycle()
        assert await stage.position() == HOME
        with pytest.raises(Refused, match="not initialised"):
            await stage.move_to(x_m=0.03)
        await served.unplug()
        with pytest.raises(DeviceLost):
            await stage.position()
        await served.replug()
        await stage.transport.close()
        await stage.connect()
        assert await stage.position() == HOME


async def test_a_stage_that_cannot_be_seen_any_more_is_told_to_stop() -> None:
    async with rig() as (stage, mock, served):
        task = asyncio.create_task(stage.move_to(x_m=0.100))
        await until(lambda: mock.moving)
        served.faults.silence()
        with waiting(), pytest.raises(DeviceTimeout) as caught:
            await task
        assert "may still be moving" in caught.value.hint
        await until(lambda: "ABO" in mock.record)
        assert mock.arrived
        served.faults.clear()
        assert (await stage.position()).x_m == reported_x_m(mock)


async def test_unplug_in_the_middle_of_a_move() -> None:
    async with rig() as (stage, mock, served):
        task = asyncio.create_task(stage.move_to(x_m=0.100))
        await until(lambda: mock.moving)
        await served.unplug()
        with pytest.raises(DeviceLost):
            await task
        assert len(moves(mock)) == 1
        # on its return it is found moving and stopped, not sent on
        await served.replug()
        await stage.transport.close()
        await stage.connect()
        assert mock.arrived
        assert len(moves(mock)) == 1
