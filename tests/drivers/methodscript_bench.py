"""A simulated MethodSCRIPT instrument on a pty, and the driver that talks to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

from drivers.errors import (
    CellNotOff,
)
from drivers.potentiostats.methodscript import MethodScript, MethodScriptOptions
from drivers.techniques import Galvanostatic
from mocks.instruments.methodscript import MethodScriptMock
from mocks.wires import Served, serve
from mocks.world import World

LONG = Galvanostatic(current_a=1e-12, duration_s=100_000.0)


class Bench:
    """A mock on its wire, and the driver that talks to it."""

    def __init__(self, mock: MethodScriptMock, served: Served, driver: MethodScript) -> None:
        self.mock, self.served, self.driver = mock, served, driver

    @property
    def faults(self) -> Any:
        return self.served.faults


@asynccontextmanager
async def bench(
    *, connect: bool = True, route: int | None = 3, options: dict[str, Any] | None = None, **mock_options: Any
) -> AsyncIterator[Bench]:
    world = World(seed=7)
    if route is not None:
        world.wiring.set_relay(route, True)
    if route == 3:
        world.tip.x_m, world.tip.y_m, world.tip.z_m = world.tip.pad_m
    mock = MethodScriptMock(world, "pstat", **mock_options)
    async with serve(mock) as served:
        driver = MethodScript(
            served.address,
            MethodScriptOptions(**({"abort_timeout_s": 2.0} | (options or {}))),
            name="pstat",
            clock=world.host_clock("pstat"),
        )
        driver._protocol.reply_timeout_s = 0.5
        try:
            if connect:
                await driver.connect()
            yield Bench(mock, served, driver)
        finally:
            try:
                await driver.close()
            except CellNotOff:
                await driver.transport.close()


async def until(condition: Callable[[], bool]) -> None:
    """Let everything go on until `condition` holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for is in another's state, not an event
            await asyncio.sleep(0)


async def first_blocks(driver: MethodScript, count: int) -> None:
    async with aclosing(driver.run(LONG)) as blocks:
        async for block in blocks:
            if block.next_index >= count:
                return
