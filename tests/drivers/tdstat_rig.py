"""A simulated TDstat or MYSTAT and its driver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from drivers.errors import CellNotOff, LinkError
from drivers.potentiostats.tdstat import Tdstat, TdstatOptions
from mocks.instruments.tdstat import TdstatMock
from mocks.wires import Served, serve
from mocks.world import World

FEEDTHROUGH, CELL = 0, 3


@dataclass
class Rig:
    world: World
    mock: TdstatMock
    served: Served
    device: Tdstat

    def energised(self) -> list[str]:
        """What was sent that puts the cell or a set point into force, in order."""
        return [line for line in self.mock.record if not line.endswith("READ")]


@asynccontextmanager
async def rig(
    options: TdstatOptions | None = None,
    *,
    relay: int = FEEDTHROUGH,
    connect: bool = True,
    mock_class: type[TdstatMock] = TdstatMock,
    **mock_options: object,
) -> AsyncIterator[Rig]:
    """`relay`: the loop's resistor (1 GOhm), or the cell with the tip on it. Whatever was done, the cell ends off."""
    world = World(seed=3, noise=False)
    world.wiring.set_relay(relay, True)
    world.tip.touch()
    mock = mock_class(world, "pstat", **mock_options)  # type: ignore[arg-type]
    async with serve(mock) as served:
        device = Tdstat(served.address, options, name="pstat", clock=world.host_clock("pstat"))
        if connect:
            await device.connect()
        try:
            yield Rig(world, mock, served, device)
        finally:
            served.faults.clear()
            with suppress(LinkError, CellNotOff):
                await device.close()
            await device.transport.close()
