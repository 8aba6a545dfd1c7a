"""The simulated rig: seven instruments of one world, each on the wire that its real counterpart has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bridge.daemon.config import DeviceConfig
from drivers import registry
from drivers.clock import Clock
from mocks.instrument import Instrument
from mocks.wires import Served, serve
from mocks.world import World


@dataclass(frozen=True, slots=True)
class Place:
    """One instrument of the rig. `visa` says that its TCP port is reached as a VISA socket."""

    driver: str
    wire: str
    visa: bool = False
    mock: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


ROUTES = {"feedthrough": [0], "stage-ground": [1], "manipulator-ground": [2], "cell": [3]}

PLACES: Mapping[str, Place] = {
    "pstat": Place("keithley-24xx", "tcp", visa=True),
    "emstat": Place("methodscript", "pty"),
    "tdstat": Place("tdstat", "usb"),
    "stage": Place("zeiss-remcon", "pty"),
    "tip": Place("newfocus-8742", "usb"),
    "relays": Place("modbus-relay", "pty", options={"routes": ROUTES}),
    "gauge": Place("pfeiffer-tpg", "pty"),
}


@dataclass(frozen=True, slots=True)
class Rig:
    """A rig that is being served."""

    world: World
    served: Mapping[str, Served]
    devices: Mapping[str, DeviceConfig]

    def clock_for(self, device: str) -> Clock:
        return self.world.host_clock(device)


@asynccontextmanager
async def simulated_rig(world: World, places: Mapping[str, Place] = PLACES) -> AsyncIterator[Rig]:
    """Serve the instruments until left."""
    async with AsyncExitStack() as stack:
        served: dict[str, Served] = {}
        devices: dict[str, DeviceConfig] = {}
        for name, place in places.items():
            instrument: Instrument = registry.load(registry.find(place.driver).mock)(world, name, **place.mock)
            served[name] = await stack.enter_async_context(serve(instrument, wire=place.wire))
            address = visa_socket(served[name].address) if place.visa else served[name].address
            devices[name] = DeviceConfig(name=name, driver=place.driver, address=address, options=place.options)
        yield Rig(world, served, devices)


def visa_socket(tcp_address: str) -> str:
    """`tcp:127.0.0.1:5025` as the VISA resource of the same socket."""
    _, host, port = tcp_address.split(":")
    return f"visa:TCPIP::{host}::{port}::SOCKET"
