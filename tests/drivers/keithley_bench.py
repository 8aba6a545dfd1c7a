"""A Keithley driver on a simulated instrument, through a real wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from drivers.potentiostats.keithley24xx import Keithley24xx, Keithley24xxOptions, session
from mocks.instruments.keithley24xx import Keithley24xxMock
from mocks.wires import Served, serve
from mocks.world import CurrentDrive, OpenDrive, VoltageDrive, World

CELL_RELAY, FEEDTHROUGH_RELAY = 3, 0


@dataclass
class Bench:
    smu: Keithley24xx
    mock: Keithley24xxMock
    served: Served
    world: World

    def position(self, command: str, after: int = 0) -> int:
        """Where in the instrument's own record the first command that starts so is. Raises `ValueError` if nowhere."""
        for index in range(after, len(self.mock.record)):
            if self.mock.record[index].startswith(command):
                return index
        raise ValueError(f"{command} was never sent")

    @property
    def sourced(self) -> list[float]:
        """Levels that the circuit was given, 0 A included, in order."""
        drives = (drive for _, drive in self.mock.source.drives)
        return [drive.current_a for drive in drives if isinstance(drive, CurrentDrive)]

    @property
    def saw_zero_volts(self) -> bool:
        """Whether a voltage source of 0 V was ever on the terminals after the first open relay."""
        drives = [drive for _, drive in self.mock.source.drives]
        first_open = next(index for index, drive in enumerate(drives) if isinstance(drive, OpenDrive))
        return any(isinstance(drive, VoltageDrive) and drive.voltage_v == 0 for drive in drives[first_open:])


def address_on(served: Served, wire: str) -> str:
    if wire != "visa":
        return served.address
    port = served.address.rpartition(":")[2]
    return f"visa:TCPIP::127.0.0.1::{port}::SOCKET"


@asynccontextmanager
async def bench(
    wire: str = "tcp",
    *,
    world: World | None = None,
    route: int | None = FEEDTHROUGH_RELAY,
    connect: bool = True,
    mock: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Bench]:
    """`wire` is "tcp", "visa" (PyVISA on a socket) or "pty". The driver is closed at the end only if it can be: a test
    that ends with a broken wire has said so itself."""
    world = world or World(seed=7)
    quiet = pytest.MonkeyPatch()
    quiet.setattr(session, "_QUIET_S", 0.02)
    if route is not None:
        world.wiring.set_relay(route, True)
    instrument = Keithley24xxMock(world, "smu", **(mock or {}))
    async with serve(instrument, "pty" if wire == "pty" else "tcp") as served:
        smu = Keithley24xx(
            address_on(served, wire), Keithley24xxOptions(**options), name="smu", clock=world.host_clock("smu")
        )
        try:
            if connect:
                await smu.connect()
            yield Bench(smu, instrument, served, world)
        finally:
            quiet.undo()
            await smu.transport.close()
