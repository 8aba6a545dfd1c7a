"""What a run gets in place of a device: everything that all kinds have, passed on to the driver."""

from __future__ import annotations

from collections.abc import Callable

from drivers.errors import DeviceLost
from drivers.interfaces import Device, Identity

from .supervisor import DeviceSupervisor


class StandIn(Device):
    """Base, beside the interface that it stands for. `run` is the run's id, `by` who started it."""

    def __init__(self, supervisor: DeviceSupervisor, run: str, by: str) -> None:
        device = supervisor.device
        self._supervisor = supervisor
        self._run_id = run
        self._by = by
        self.name = supervisor.name
        self.clock = device.clock
        self.options = device.options
        self.transport = device.transport
        self.identity = device.identity

    async def identify(self) -> Identity:
        return await self._supervisor.device.identify()

    async def make_safe(self) -> None:
        await self._supervisor.device.make_safe()

    async def connect(self) -> Identity:
        """Connecting and closing are the daemon's."""
        return await self._supervisor.device.identify()

    async def close(self) -> None:
        await self._supervisor.device.make_safe()

    async def _connect(self) -> Identity:
        return await self._supervisor.device.identify()

    def on_lost(self, callback: Callable[[DeviceLost], None]) -> None:
        self._supervisor.device.on_lost(callback)
