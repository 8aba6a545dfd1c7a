"""Positions are correctly rounded, and a stop that comes while a move is being prepared ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from drivers.errors import MoveFailed
from drivers.manipulators import Picomotor8742Options
from drivers.manipulators.newfocus_axes import make_axis
from drivers.manipulators.newfocus_protocol import Controller, Exchange

from .arm_rig import rig


@pytest.mark.parametrize("count", [0, 1, 7, 100, -100, 333_333, -(1 << 31)])
@pytest.mark.parametrize("step", [30e-9, 22e-9, 28.37e-9])
def test_a_position_is_the_double_nearest_to_the_decimal_product(count: int, step: float) -> None:
    axis = make_axis("x", Picomotor8742Options(step_size_m=step, axes={"x": -1, "y": 2, "z": 3}))
    assert repr(axis.metres(count)) == repr(float(-count * Decimal(repr(step))) + 0.0)
    if abs(axis.metres(count)) < 12e-3:
        assert axis.steps(axis.metres(count), "x_m") == count


async def test_a_hundred_steps_of_30_nm_are_3_um() -> None:
    async with rig("tcp") as arm:
        assert (await arm.device.move_by(x_m=3e-6)).x_m == 3e-06
        assert (await arm.device.move_by(x_m=3e-6)).x_m == 6e-06


async def test_a_relative_move_that_is_stopped_while_it_looks_where_it_is_never_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looking, go_on = asyncio.Event(), asyncio.Event()
    plain = Controller.exchange

    @asynccontextmanager
    async def held(self: Controller, operation: str) -> AsyncIterator[Exchange]:
        async with plain(self, operation) as exchange:
            if operation == "position" and not looking.is_set():
                looking.set()
                await go_on.wait()
            yield exchange

    async with rig("tcp") as arm:
        monkeypatch.setattr(Controller, "exchange", held)
        moving = asyncio.create_task(arm.device.move_by(x_m=3e-6))
        await looking.wait()
        stopping = asyncio.create_task(arm.device.stop())
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.wait_for(stopping, 10)
        with pytest.raises(MoveFailed, match="was stopped"):
            await asyncio.wait_for(moving, 10)
        assert arm.commands("PA", "PR", "MV") == []
        assert (await arm.device.position()).x_m == 0.0
