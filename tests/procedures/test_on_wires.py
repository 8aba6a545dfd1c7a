"""The procedures on drivers and mocks, over the wires that real instruments have: a 6430 on a VISA socket, the relay
board on a serial line, the picomotor on USB, all in one world."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from bridge.procedures.registry import find
from drivers import registry
from drivers.errors import CellNotOff, InvalidValue, LinkError, Refused
from drivers.interfaces import Device
from mocks.instrument import Instrument
from mocks.wires import Served, serve
from mocks.world import OpenDrive, World
from tests.near import near

pytestmark = pytest.mark.usefixtures("without_debug")

ROUTES = {"feedthrough": [0], "stage-ground": [1], "manipulator-ground": [2], "cell": [3]}

#: role: (driver, wire, options)
PLACES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "potentiostat": ("keithley-24xx", "tcp", {}),
    "feedthrough": ("modbus-relay", "pty", {"routes": ROUTES}),
    "manipulator": ("newfocus-8742", "usb", {}),
}


@dataclass
class Rig:
    """A context for procedures, with real drivers in the roles."""

    world: World
    run: str = "run-1"
    devices: dict[str, Device] = field(default_factory=dict)
    mocks: dict[str, Any] = field(default_factory=dict)
    served: dict[str, Served] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    reached: dict[str, asyncio.Event] = field(default_factory=dict)
    saved: dict[str, Any] = field(default_factory=dict)
    pausing: bool = False

    async def save(self, **state: Any) -> None:
        json.dumps(state, allow_nan=False)

    async def pause_point(self) -> None:
        return

    def device(self, role: str) -> Device:
        if role not in self.devices:
            raise InvalidValue(f"no device plays {role!r} in this run")
        return self.devices[role]

    def has(self, role: str) -> bool:
        return role in self.devices

    def progress(self, step: str, fraction: float | None = None, **values: Any) -> None:
        if step in self.reached and values.get("voltage_v") is not None:
            self.reached[step].set()

    def note(self, text: str, **values: Any) -> None:
        self.notes.append(text)

    def witnessed(self, device: str, quantity: str, value: Any, by: str) -> None:
        """There are no interlocks here."""

    def show(self, header: Any = None, items: Any = ()) -> None:
        """Nobody looks on here."""

    def describe_sample(self, **known: float | None) -> None:
        """Nobody watches here."""

    @property
    def source_is_off(self) -> bool:
        """By what the instrument itself does to the circuit."""
        drive = self.world.terminals("potentiostat").drive
        return isinstance(drive, OpenDrive) and not drive.connected

    async def do(self, name: str, **values: Any) -> dict[str, Any]:
        procedure = find(name)
        return await procedure.run(self, procedure.parse(values))


@asynccontextmanager
async def rig(world: World, *roles: str, **mock: Any) -> AsyncIterator[Rig]:
    """Serve and connect the devices of these roles; `mock` goes to the potentiostat's mock."""
    built = Rig(world)
    async with AsyncExitStack() as stack:
        for role in roles:
            driver, wire, options = PLACES[role]
            cls = registry.load(registry.find(driver).mock)
            instrument: Instrument = cls(world, role, **(mock if role == "potentiostat" else {}))
            served = await stack.enter_async_context(serve(instrument, wire=wire))
            address = served.address
            if role == "potentiostat":
                address = f"visa:TCPIP::127.0.0.1::{address.rpartition(':')[2]}::SOCKET"
            device = registry.create(driver, address, options, device=role, clock=world.host_clock(role))
            await device.connect()
            stack.push_async_callback(device.transport.close)
            built.devices[role], built.mocks[role], built.served[role] = device, instrument, served
        yield built


async def test_noise_by_route_as_in_the_seed() -> None:
    async with rig(World(seed=2), "potentiostat", "feedthrough") as lab:
        quick = {"duration": 40, "settle": 2}
        shielded = await lab.do("noise-test", route="feedthrough", **quick)
        assert shielded["verdict"] == "pass", shielded["reason"]
        assert shielded["mean_a"] == near(1e-12, abs=1e-13)
        assert shielded["instrument"]["model"] == "6430"
        assert shielded["range"] in ("1 pA", "10 pA")
        assert lab.source_is_off
        ten = await lab.do("noise-test", route="manipulator-ground", current="10 pA", **quick)
        assert ten["verdict"] == "pass", ten["reason"]
        one = await lab.do("noise-test", route="manipulator-ground", current="1 pA", **quick)
        assert one["verdict"] == "fail"
        assert lab.source_is_off


async def test_a_2450_is_refused_and_hears_nothing() -> None:
    async with rig(World(), "potentiostat", model="2450") as lab:
        heard = len(lab.mocks["potentiostat"].record)
        with pytest.raises(Refused, match=r"10 nA range .* \+ 100 pA"):
            await lab.do("noise-test", current="1 pA")
        with pytest.raises(Refused):
            await lab.do("cycle", current_density="50 uA/cm2", area="10 um2")
        assert len(lab.mocks["potentiostat"].record) == heard


async def test_contact_then_the_charge_of_fig8b() -> None:
    world = World(cell="fig8b", noise=False, preset_events=False)
    world.tip.retract(0.31e-6)
    async with rig(world, "potentiostat", "feedthrough", "manipulator") as lab:
        contact = await lab.do("make-contact", route="cell", verify="2 s", threshold="1 V")
        assert contact["found"] is True
        assert world.tip.touching
        assert world.tip.max_press_m < 150e-9
        assert lab.source_is_off
        result = await lab.do("cycle", current_density="1.25 mA/cm2", area="10 um2", interval="2 s", route="cell")
    charge = result["cycles"][0]["steps"][0]
    assert charge["duration_interpolated_s"] == near(303.5, rel=0.015)
    assert charge["charge_ah"] == near(10.54e-12, rel=0.015)
    assert result["voltage_max_v"] == near(4.2, abs=0.02)
    assert 0.95 < result["coulombic_efficiency"] <= 1.01
    assert lab.source_is_off


async def test_fig9_gives_a_third_back() -> None:
    world = World(cell="fig9", noise=False, stray_f=1e-15)
    world.tip.touch()
    async with rig(world, "potentiostat", "feedthrough") as lab:
        result = await lab.do(
            "cycle",
            current_density="60 uA/cm2",
            area="10 um2",
            time_limit="30 min",
            interval="4 s",
            route="cell",
            rest=0,
        )
    assert result["charge_ah_per_m2"] == near(0.300, rel=0.01)
    assert result["discharge_ah_per_m2"] == near(0.1028, rel=0.015)
    assert result["coulombic_efficiency"] == near(0.343, abs=0.006)


async def test_abort_switches_the_real_source_off() -> None:
    world = World(noise=False)
    world.tip.touch()
    async with rig(world, "potentiostat", "feedthrough") as lab:
        lab.reached["charge"] = asyncio.Event()
        task = asyncio.create_task(lab.do("cycle", current="5 pA", area="10 um2", interval="1 s", route="cell"))
        await lab.reached["charge"].wait()
        assert not lab.source_is_off
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert lab.source_is_off


async def test_an_unplugged_cable_ends_the_run_and_the_source_is_off_on_return() -> None:
    world = World(noise=False)
    world.tip.touch()
    async with rig(world, "potentiostat", "feedthrough") as lab:
        lab.reached["charge"] = asyncio.Event()
        task = asyncio.create_task(lab.do("cycle", current="5 pA", area="10 um2", interval="1 s", route="cell"))
        await lab.reached["charge"].wait()
        await lab.served["potentiostat"].unplug()
        with pytest.raises((LinkError, CellNotOff)) as lost:
            await task
        assert "isconnect" in lost.value.hint
        assert "by hand" in lost.value.hint
        assert not lab.source_is_off
        await lab.served["potentiostat"].replug()
        await lab.devices["potentiostat"].transport.close()
        await lab.devices["potentiostat"].connect()
        assert lab.source_is_off
