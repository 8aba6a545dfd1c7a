"""Rows 19 to 22, 31, 32, 39 and 40: what is plugged in is gone, is elsewhere, is another one, or may not be opened."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest
import serial

from drivers.errors import (
    CellNotOff,
    DeviceLost,
    DeviceTimeout,
    FaultLatched,
    PermissionDenied,
    PicobridgeError,
    PortBusy,
    WrongDevice,
)
from mocks.wires import Served
from mocks.world import World

from .conftest import RigMaker

SOURCES = ["pstat", "emstat", "tdstat"]


@pytest.mark.parametrize("device", [*SOURCES, "stage", "tip", "relays", "gauge"])
async def test_19_unplugged_while_idle(path: RigMaker, device: str) -> None:
    """19. The cable of an idle device is pulled and put back. The user sees it lost within its heart-beat, and
    connected again, and the other devices do not notice."""
    async with path(*dict.fromkeys(["emstat", device])) as rig:
        await rig.measured("emstat")
        await rig.served[device].unplug()
        state = await rig.connection(device, "lost", "failed")
        rig.told(state["error"], DeviceLost, device)
        await rig.served[device].replug()
        await rig.acknowledged(device)
        await rig.measured("emstat")
        await rig.check()


@pytest.mark.parametrize("device", SOURCES)
async def test_20_unplugged_with_the_cell_on(path: RigMaker, device: str) -> None:
    """20. The cable is pulled while the source is on. The user sees the run failed because the cell is not proven off,
    and what to do; when the device is back its source is switched off first, and nothing goes on by itself."""
    async with path(device) as rig:
        run = await rig.measuring(device)
        await rig.served[device].unplug()
        result = await rig.ended(run)
        assert result["status"] == "failed"
        rig.told(result["error"], CellNotOff, device)
        rig.told((await rig.connection(device, "lost"))["error"], DeviceLost, device)
        assert rig.witness.is_on(device), "nobody can reach it"
        energised = rig.witness.energised[device]
        await rig.served[device].replug()
        await rig.connection(device, "connected")
        await rig.read(device)
        rig.told(await rig.refused(rig.start(device)), FaultLatched, device)
        assert rig.witness.energised[device] == energised, "nothing was resumed"
        await rig.check()
        assert await rig.acknowledged(device) == 1
        assert rig.witness.energised[device] == energised, "an acknowledgement starts nothing"
        await rig.measured(device)
        await rig.check()


@pytest.mark.parametrize(("device", "way_m"), [("stage", 50e-3), ("tip", 1e-3)])
async def test_20_unplugged_during_a_move(path: RigMaker, device: str, way_m: float) -> None:
    """20. The cable is pulled during a move, with a measurement going on elsewhere. The user's call fails; when the
    device is back its motion is stopped first, and the move does not go on."""
    async with path("emstat", device, speed=20.0) as rig:
        await rig.lab.emstat.identify()
        run = await rig.measuring("emstat", interval_s="0.1 s")
        move = asyncio.ensure_future(rig.refused(getattr(rig.lab, device).move_by(x_m=way_m)))
        await rig.moving(device, move)
        await rig.served[device].unplug()
        rig.told(await move, DeviceLost, device)
        await rig.connection(device, "lost")
        assert rig.witness.is_moving(device), "nobody can reach it"
        await rig.served[device].replug()
        await rig.connection(device, "connected")
        assert rig.witness.moves(device) == 1, "it was not sent again"
        await run.abort()
        await rig.check()


async def test_21_replugged_under_another_name(path: RigMaker) -> None:
    """21. An adapter comes back as another tty; its by-id link leads to it. The user sees it lost and connected."""
    async with path("emstat") as rig:
        await rig.measured("emstat")
        link = rig.served["emstat"].address.removeprefix("serial:")
        before = os.readlink(link)
        await rig.served["emstat"].unplug()
        rig.told((await rig.connection("emstat", "lost"))["error"], DeviceLost, "emstat")
        taken = [*os.openpty()]
        while os.ttyname(taken[-1]) != before and len(taken) < 100:  # or it might come back under the same name
            taken += os.openpty()
        try:
            await rig.served["emstat"].replug()
            assert os.readlink(link) != before
            await rig.acknowledged("emstat")
            await rig.measured("emstat")
            await rig.check()
        finally:
            for descriptor in taken:
                os.close(descriptor)


async def test_22_two_devices_have_swapped_names(path: RigMaker) -> None:
    """22. Two potentiostats are plugged into each other's place. Both are refused, with both serial numbers told, and
    neither gets a command that could energise."""
    mock = {"twin-a": {"serial": "A1"}, "twin-b": {"serial": "B2"}}
    async with path("emstat", "twin-a", "twin-b", mock=mock, serials={"twin-a": "B2", "twin-b": "A1"}) as rig:
        for device in ("twin-a", "twin-b"):
            state = await rig.connection(device, "failed")
            rig.told(state["error"], WrongDevice, device)
            assert "A1" in state["error"]["message"]
            assert "B2" in state["error"]["message"]
            refused = await rig.refused(rig.start(device))
            rig.told(refused, DeviceLost, device)
            assert "cell on" not in rig.mock(device).record
            assert rig.witness.energised[device] == 0
        await rig.measured("emstat")
        await rig.check()


@pytest.mark.parametrize(
    ("device", "baud", "kind"),
    [("stage", 19200, DeviceTimeout), ("relays", 19200, DeviceTimeout)],
)
async def test_31_another_baud_rate(path: RigMaker, device: str, baud: int, kind: type[PicobridgeError]) -> None:
    """31. The port is set to another baud rate than the device. The user is asked whether the baud rate is right."""
    async with path("emstat", device, address={device: f"?baud={baud}"}) as rig:
        state = await rig.connection(device, "failed")
        assert "baud" in state["error"]["hint"]
        rig.told(state["error"], kind, device)
        await rig.measured("emstat")
        await rig.check()


async def test_32_another_device_on_the_port(path: RigMaker) -> None:
    """32. A source-measure unit of another maker answers where the Keithley was. It is refused by its identity and gets
    no command."""

    def exchange(world: World, served: Mapping[str, Served]) -> None:
        instrument: Any = served["pstat"].instrument
        instrument.__class__ = type("Other", (type(instrument),), {"identity": "ACME,MODEL 1,7,1.0"})

    async with path("emstat", "pstat", prepare=exchange) as rig:
        state = await rig.connection("pstat", "failed")
        rig.told(state["error"], WrongDevice, "pstat")
        await rig.measured("emstat")
        assert not [command for command in rig.mock("pstat").record if "?" not in command]
        await rig.check()


async def test_39_the_port_is_held_by_another_program(path: RigMaker) -> None:
    """39. Another program has the port open. The user is told its process id and name; when it ends, the device is
    connected."""
    async with path("emstat", "stage", with_daemon=False) as rig, AsyncExitStack() as other:
        pid = await other.enter_async_context(rig.held("stage"))
        async with rig.running():
            state = await rig.connection("stage", "failed")
            rig.told(state["error"], PortBusy, "stage")
            assert f"pid {pid} (python" in state["error"]["message"]
            await other.aclose()
            await rig.connection("stage", "connected")
            await rig.measured("emstat")
            await rig.check()


async def test_40_no_right_to_open_the_port(path: RigMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """40. The operating system refuses to open the port. The user is told owner and mode of the node, and how to get
    the rights (udev rules, groups)."""

    def refuse(*arguments: Any, **options: Any) -> Any:
        raise serial.SerialException(errno.EACCES, f"could not open port {arguments[0]}")

    async with path("emstat", "stage") as rig:
        await rig.measured("emstat")
        opens = serial.Serial
        monkeypatch.setattr(serial, "Serial", refuse)
        await rig.served["stage"].unplug()
        await rig.served["stage"].replug()
        state = await rig.recorder.newest(
            "devices/stage/state", lambda s: s["error"] and s["error"]["error"] == "PermissionDenied"
        )
        rig.told(state["error"], PermissionDenied, "stage")
        assert "group" in state["error"]["hint"]
        assert "udev" in state["error"]["hint"]
        assert "mode" in state["error"]["message"]
        monkeypatch.setattr(serial, "Serial", opens)
        await rig.connection("stage", "connected")
        await rig.check()
