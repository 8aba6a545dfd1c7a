"""Real instruments as rigs, and the mock that each is compared with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from bridge.daemon.config import DeviceConfig
from drivers import registry
from drivers.clock import SYSTEM_CLOCK
from drivers.errors import PicobridgeError, WrongDevice
from drivers.interfaces import Identity
from tests.conformance.mock_rig import MockRig
from tests.conformance.rig import Bench, GateClock, Limits, Rig

TWIN = "~mock"


@dataclass(frozen=True, slots=True)
class RealRig:
    """One device of a configuration."""

    config: DeviceConfig
    limits: Limits
    hooked: bool = False

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def driver(self) -> str:
        return self.config.driver

    @property
    def interface(self) -> str:
        return registry.find(self.driver).interface

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Bench]:
        clock = GateClock(SYSTEM_CLOCK)
        device = registry.create(self.driver, self.config.address, self.config.options, device=self.name, clock=clock)
        try:
            yield Bench(device, clock, self.limits)
        finally:
            clock.release()
            await device.transport.close()

    def twin(self) -> MockRig:
        """The driver's mock in this one's place: the same options and limits, and no more hooks than it has."""
        return MockRig(
            registry.find(self.driver), self.name + TWIN, self.limits, hooked=False, options=dict(self.config.options)
        )


async def meet(rig: Rig) -> Identity:
    """Connect once and leave it safe. Raises `PicobridgeError`, `WrongDevice` for another serial number."""
    wanted = rig.config.serial if isinstance(rig, RealRig) else ""
    async with rig.session() as bench:
        identity: Identity = await bench.device.connect()
        await bench.device.close()
    if wanted and identity.serial != wanted:
        raise WrongDevice(f"{rig.name}: serial number {identity.serial!r} answered; the configuration says {wanted!r}")
    return identity


async def usable_twin(rig: RealRig) -> MockRig | None:
    """The mock that can stand in this one's place; None if no mock takes its options (another serial number, say)."""
    twin = rig.twin()
    only_routes = {name: value for name, value in rig.config.options.items() if name == "routes"}
    for candidate in (twin, replace(twin, options=only_routes)):
        try:
            await meet(candidate)
        except PicobridgeError:
            continue
        return candidate
    return None
