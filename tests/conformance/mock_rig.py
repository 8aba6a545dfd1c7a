"""Every driver of the table with its mock: nothing here knows any one of them."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from drivers import registry
from drivers.registry import DRIVERS, DriverEntry
from mocks.instrument import Instrument
from mocks.wires import Served, serve
from mocks.world import OpenDrive, World
from mocks.world.wiring import ROUTES

from .rig import Bench, GateClock, Limits

#: what is at the terminals of the simulated potentiostats: the loop of the feedthrough
LOAD_OHM = 10e3

LIMITS = {
    "potentiostat": Limits(current_a=10e-6, voltage_min_v=-1.0, voltage_max_v=1.0, duration_s=20.0, load_ohm=LOAD_OHM),
    "stage": Limits(moves={"x_m": 5e-3, "y_m": -5e-3, "z_m": 2e-3, "tilt_deg": 10.0, "rotation_deg": 30.0}),
    "manipulator": Limits(moves={"x_m": 60e-6, "y_m": -60e-6, "z_m": 30e-6}),
    "feedthrough": Limits(routes=("open", *ROUTES.values())),
    "gauge": Limits(),
}


@dataclass(frozen=True)
class MockRig:
    """`hooked` false: as if it were a real instrument (what `make hil` compares with)."""

    entry: DriverEntry
    name: str
    limits: Limits
    hooked: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def driver(self) -> str:
        return self.entry.name

    @property
    def interface(self) -> str:
        return self.entry.interface

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Bench]:
        world = World(seed=1, noise=False, loop_resistance_ohm=self.limits.load_ohm or LOAD_OHM)
        world.chamber.set_stage(x_m=0.07, y_m=0.07, z_m=0.02, tilt_deg=20.0, rotation_deg=90.0)
        if self.interface == "potentiostat":
            world.wiring.set_relay(0, True)
        instrument: Instrument = registry.load(self.entry.mock)(world, self.name)
        async with serve(instrument) as served:
            clock = GateClock(world.host_clock(self.name))
            device = registry.create(
                self.entry.name, self._address(served.address), self._options(), device=self.name, clock=clock
            )
            hooks = MockHooks(self.interface, world, served)
            try:
                yield Bench(device, clock, self.limits, hooks if self.hooked else None)
            finally:
                clock.release()
                await device.transport.close()

    def _address(self, served: str) -> str:
        kind, _, where = served.partition(":")
        if kind == "tcp" and self.entry.wires[0] == "visa":
            host, port = where.split(":")
            return f"visa:TCPIP::{host}::{port}::SOCKET"
        return served

    def _options(self) -> dict[str, Any]:
        """Short deadlines where the driver has such an option, and the routes of the world's wiring."""
        options: dict[str, Any] = {}
        for option in dataclasses.fields(registry.driver_class(self.entry.name).options_type):
            if option.name in ("timeout", "timeout_s", "abort_timeout_s"):
                options[option.name] = 1.0
            elif option.name == "routes":
                options["routes"] = {name: [coil] for coil, name in ROUTES.items()}
        return {**options, **self.options}


class MockHooks:
    """What the world and the wire let a test see and do."""

    def __init__(self, interface: str, world: World, served: Served) -> None:
        self.world = world
        self.served = served
        self.replies = 0
        self.requests: list[tuple[int, int]] = []
        self._interface = interface
        self._energised = 0
        self.samples_are_proven = True
        self._watch_wire()
        self._watch_world()

    @property
    def record(self) -> list[str]:
        return self.served.instrument.record

    @property
    def faults(self) -> Any:
        return self.served.faults

    def truth(self) -> Any:
        if self._interface == "stage":
            return dataclasses.asdict(self.world.chamber.stage)
        if self._interface == "manipulator":
            tip = self.world.tip
            return {"x_m": tip.x_m, "y_m": tip.y_m, "z_m": tip.z_m}
        if self._interface == "feedthrough":
            return self.world.wiring.route
        if self._interface == "gauge":
            return self.world.chamber.pressure_pa
        return None

    def is_safe(self) -> bool:
        drive = self.world.terminals(self.served.instrument.name).drive
        return isinstance(drive, OpenDrive) and not self.world.chamber.stage_moving

    def energised(self) -> int:
        return self._energised

    def disturb(self) -> None:
        self.world.chamber.pressure_pa *= 1.25

    def pace(self, speed: float) -> None:
        self.served.instrument.timeline.speed = speed

    def power_cycle(self) -> None:
        self.served.instrument.power_cycle()

    async def unplug(self) -> None:
        await self.served.unplug()

    async def replug(self) -> None:
        await self.served.replug()

    def _watch_wire(self) -> None:
        faults = self.served.faults
        outgoing, incoming = faults.outgoing, faults.incoming

        def counting(reply: bytes) -> list[bytes]:
            self.replies += 1
            self.samples_are_proven &= reply.isascii()
            return outgoing(reply)

        def noting(request: bytes) -> list[bytes]:
            self.requests.append((self.replies, len(self.record)))
            return incoming(request)

        faults.outgoing = counting  # type: ignore[method-assign]
        faults.incoming = noting  # type: ignore[method-assign]

    def _watch_world(self) -> None:
        """Count what goes from safe to not safe."""
        terminals = self.world.terminals(self.served.instrument.name)
        wiring, chamber = self.world.wiring, self.world.chamber
        set_drive, set_relay, on_motion = terminals.set_drive, wiring.set_relay, chamber._on_stage_motion

        def watched_drive(now_ns: int, drive: Any) -> None:
            if isinstance(terminals.drive, OpenDrive) and not isinstance(drive, OpenDrive):
                self._energised += 1
            set_drive(now_ns, drive)

        def watched_relay(index: int, closed: bool) -> None:
            self._energised += closed and not wiring.relays.get(index, False)
            set_relay(index, closed)

        def watched_motion(moving: bool) -> None:
            self._energised += moving
            on_motion(moving)

        terminals.set_drive = watched_drive  # type: ignore[method-assign]
        wiring.set_relay = watched_relay  # type: ignore[method-assign]
        chamber._on_stage_motion = watched_motion


def mock_rigs() -> list[MockRig]:
    return [MockRig(entry, entry.name, LIMITS[entry.interface]) for entry in DRIVERS]
