"""The devices of a bridge as seen from a script: the same interfaces as the drivers, each call a request."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from bridge.transfer.plain import from_plain
from drivers.errors import InvalidValue, RunFailed
from drivers.interfaces import (
    Device,
    Feedthrough,
    FeedthroughCapabilities,
    Gauge,
    Identity,
    Manipulator,
    ManipulatorCapabilities,
    ManipulatorPosition,
    Potentiostat,
    PotentiostatCapabilities,
    Pressure,
    Stage,
    StageCapabilities,
    StagePosition,
    TouchAlarm,
)
from drivers.samples import SampleBlock
from drivers.techniques import Technique

if TYPE_CHECKING:
    from .lab import Lab

T = TypeVar("T")


class Proxy(Device):
    """A device behind the daemon. Connecting and closing are the daemon's: leaving a proxy does nothing to the device.

    `info` is what the daemon last said of it: driver, address, connection, identity, capabilities.
    """

    def __init__(self, lab: Lab, name: str, info: Mapping[str, Any]) -> None:
        self._lab = lab
        self.name = name
        self.info = info
        self.identity = from_plain(Identity, info["identity"]) if info.get("identity") else None

    def __repr__(self) -> str:
        who = f"{self.identity.make} {self.identity.model}" if self.identity else self.info.get("driver", "")
        return f"<{self.interface} {self.name}: {who}, {self.info.get('connection', 'unknown')}>"

    async def _connect(self) -> Identity:
        return await self.identify()

    async def connect(self) -> Identity:
        return await self.identify()

    async def close(self) -> None:
        """Nothing: the daemon keeps the device."""

    async def identify(self) -> Identity:
        return await self._ask(Identity, "identify")

    async def make_safe(self) -> None:
        await self._call("make_safe")

    async def _call(self, method: str, **arguments: Any) -> Any:
        return await self._lab.call(self.name, method, arguments)

    async def _ask(self, kind: type[T], method: str, **arguments: Any) -> T:
        return from_plain(kind, await self._call(method, **arguments))

    def _capabilities(self, kind: type[T]) -> T:
        if not self.info.get("capabilities"):
            raise InvalidValue(f"{self.name} has not been connected yet, so its capabilities are not known")
        return from_plain(kind, self.info["capabilities"])


class PotentiostatProxy(Proxy, Potentiostat):
    @property
    def capabilities(self) -> PotentiostatCapabilities:
        return self._capabilities(PotentiostatCapabilities)

    async def run(self, technique: Technique) -> AsyncGenerator[SampleBlock, None]:
        """As `Potentiostat.run`; the technique runs in the daemon, and leaving the iterator aborts it there."""
        parameters = {"technique": technique.name, **dataclasses.asdict(technique)}
        async with self._lab.listen_to_samples(self.name) as blocks:
            run = await self._lab.start("technique", parameters, {"potentiostat": self.name})
            first: int | None = None
            try:
                async for block in run.until_ended(blocks):
                    if block.attributes.get("run") != run.id:
                        continue
                    first = block.first_index if first is None else first
                    yield block.rebased(block.stream, block.first_index - first)
                    if block.end is not None:
                        break
                else:
                    await run.result()
                    raise RunFailed("the run ended without its last samples", device=self.name, operation="run")
                await run.result()
            finally:
                if not run.ended:
                    await run.abort()

    async def stop(self) -> None:
        await self._call("stop")

    async def cell_off(self) -> None:
        await self._call("cell_off")

    async def stream(self) -> AsyncIterator[SampleBlock]:
        """All samples of this device from now on, whoever runs it, in order; gaps in the indices are lost blocks."""
        async with self._lab.listen_to_samples(self.name) as blocks:
            async for block in blocks:
                yield block


class StageProxy(Proxy, Stage):
    @property
    def capabilities(self) -> StageCapabilities:
        return self._capabilities(StageCapabilities)

    async def position(self) -> StagePosition:
        return await self._ask(StagePosition, "position")

    async def move_to(
        self,
        x_m: float | str | None = None,
        y_m: float | str | None = None,
        z_m: float | str | None = None,
        tilt_deg: float | str | None = None,
        rotation_deg: float | str | None = None,
    ) -> StagePosition:
        return await self._ask(
            StagePosition, "move_to", x_m=x_m, y_m=y_m, z_m=z_m, tilt_deg=tilt_deg, rotation_deg=rotation_deg
        )

    async def move_by(
        self,
        x_m: float | str = 0.0,
        y_m: float | str = 0.0,
        z_m: float | str = 0.0,
        tilt_deg: float | str = 0.0,
        rotation_deg: float | str = 0.0,
    ) -> StagePosition:
        return await self._ask(
            StagePosition, "move_by", x_m=x_m, y_m=y_m, z_m=z_m, tilt_deg=tilt_deg, rotation_deg=rotation_deg
        )

    async def stop(self) -> StagePosition:
        return await self._ask(StagePosition, "stop")

    async def home(self) -> StagePosition:
        return await self._ask(StagePosition, "home")

    async def touch_alarm(self) -> TouchAlarm:
        return await self._ask(TouchAlarm, "touch_alarm")


class ManipulatorProxy(Proxy, Manipulator):
    @property
    def capabilities(self) -> ManipulatorCapabilities:
        return self._capabilities(ManipulatorCapabilities)

    async def position(self) -> ManipulatorPosition:
        return await self._ask(ManipulatorPosition, "position")

    async def move_to(
        self, x_m: float | str | None = None, y_m: float | str | None = None, z_m: float | str | None = None
    ) -> ManipulatorPosition:
        return await self._ask(ManipulatorPosition, "move_to", x_m=x_m, y_m=y_m, z_m=z_m)

    async def move_by(
        self, x_m: float | str = 0.0, y_m: float | str = 0.0, z_m: float | str = 0.0
    ) -> ManipulatorPosition:
        return await self._ask(ManipulatorPosition, "move_by", x_m=x_m, y_m=y_m, z_m=z_m)

    async def stop(self) -> ManipulatorPosition:
        return await self._ask(ManipulatorPosition, "stop")

    async def set_speed(self, speed_m_per_s: float | str) -> None:
        await self._call("set_speed", speed_m_per_s=speed_m_per_s)

    async def insert(self) -> ManipulatorPosition:
        return await self._ask(ManipulatorPosition, "insert")

    async def retract(self) -> None:
        await self._call("retract")


class FeedthroughProxy(Proxy, Feedthrough):
    @property
    def capabilities(self) -> FeedthroughCapabilities:
        return self._capabilities(FeedthroughCapabilities)

    async def route(self) -> str:
        return str(await self._call("route"))

    async def select(self, route: str) -> str:
        return str(await self._call("select", route=route))


class GaugeProxy(Proxy, Gauge):
    async def pressure(self) -> Pressure:
        return await self._ask(Pressure, "pressure")


PROXIES: Mapping[str, type[Proxy]] = {
    cls.interface: cls for cls in (PotentiostatProxy, StageProxy, ManipulatorProxy, FeedthroughProxy, GaugeProxy)
}
