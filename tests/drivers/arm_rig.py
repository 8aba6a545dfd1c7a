"""A simulated picomotor controller and its driver, on one wire, with time that a test can stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from drivers.interfaces import ManipulatorPosition
from drivers.manipulators import Picomotor8742, Picomotor8742Options
from mocks.instruments.picomotor8742 import Picomotor8742Mock
from mocks.wires import Served, serve
from mocks.world import HostClock, World

STEP = 30e-9


class Rig:
    """One simulated controller and its driver."""

    def __init__(self, world: World, mock: Picomotor8742Mock, served: Served, device: Picomotor8742) -> None:
        self.world = world
        self.mock = mock
        self.served = served
        self.device = device

    def commands(self, *words: str) -> list[str]:
        """What was sent of these commands, in order."""
        return [line for line in self.mock.record if any(word in line and not line.endswith("?") for word in words)]


@asynccontextmanager
async def rig(wire: str, options: Picomotor8742Options | None = None, **mock_options: object) -> AsyncIterator[Rig]:
    world = World(seed=1)
    mock = Picomotor8742Mock(world, "arm", **mock_options)  # type: ignore[arg-type]
    async with serve(mock, wire) as served:
        device = Picomotor8742(served.address, options, name="arm", clock=HeldClock(world))
        try:
            await device.connect()
            yield Rig(world, mock, served, device)
        finally:
            await device.transport.close()


class HeldClock(HostClock):
    """Time that a test can stop: with `hold`, the next wait lasts until `go` is set."""

    def __init__(self, world: World) -> None:
        super().__init__(world.timeline("arm"))
        self.waiting = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    def hold(self) -> None:
        self.go.clear()
        self.waiting.clear()

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        self.waiting.set()
        await self.go.wait()


async def start_move(arm: Rig, **target: float) -> asyncio.Task[ManipulatorPosition]:
    """A move, and the moment in which it is under way."""
    clock = arm.device.clock
    assert isinstance(clock, HeldClock)
    clock.hold()
    task = asyncio.create_task(arm.device.move_to(**target))
    await asyncio.wait_for(clock.waiting.wait(), 10)
    return task


def let_go(arm: Rig) -> None:
    clock = arm.device.clock
    assert isinstance(clock, HeldClock)
    clock.go.set()
