"""The USB drivers through pyusb, the real libusb and (emulated by umockdev) the kernel's usbdevfs, to the mocks.

What this shows and the stand-in backend of the other tests cannot: that libusb finds the devices by sysfs and parses
their descriptors, claims them, and carries bulk and control transfers, time-outs and an unplugged device as pyusb
expects.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers import registry
from drivers.errors import DeviceLost, InvalidValue
from drivers.interfaces import Device
from drivers.transports import open_transport
from mocks.instruments.picomotor8742 import Picomotor8742Mock
from mocks.instruments.tdstat import TdstatMock
from mocks.wires import serve
from mocks.wires.serve import Served
from mocks.wires.usb_device import UsbDescriptor
from mocks.world import World

from .emulated import Emulated, machine

pytestmark = pytest.mark.umockdev
HERE = Path(__file__).parent


def descriptors(usb: UsbDescriptor) -> str:
    """As the kernel shows them in sysfs: of the device, the configuration, the interface, the endpoints."""
    device = usb.device_fields(1, 12)
    blocks = [
        _packed(
            device,
            *("bLength", "bDescriptorType", "bcdUSB:2", "bDeviceClass", "bDeviceSubClass", "bDeviceProtocol"),
            *("bMaxPacketSize0", "idVendor:2", "idProduct:2", "bcdDevice:2", "iManufacturer", "iProduct"),
            *("iSerialNumber", "bNumConfigurations"),
        ),
        _packed(
            usb.configuration_fields(),
            *("bLength", "bDescriptorType", "wTotalLength:2", "bNumInterfaces", "bConfigurationValue"),
            *("iConfiguration", "bmAttributes", "bMaxPower"),
        ),
        _packed(
            usb.interface_fields(),
            *("bLength", "bDescriptorType", "bInterfaceNumber", "bAlternateSetting", "bNumEndpoints"),
            *("bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol", "iInterface"),
        ),
    ]
    names = ("bLength", "bDescriptorType", "bEndpointAddress", "bmAttributes", "wMaxPacketSize:2", "bInterval")
    blocks += [_packed(usb.endpoint_fields(index), *names) for index in range(len(usb.endpoints))]
    return b"".join(blocks).hex()


def _packed(fields: dict[str, Any], *names: str) -> bytes:
    parts = (name.partition(":") for name in names)
    return b"".join(int(fields[name]).to_bytes(int(size or 1), "little") for name, _, size in parts)


class Client:
    """The driver in its own process, on the emulated machine."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, method: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(method.encode() + b"\n")
        return (await self._process.stdout.readline()).decode().strip()


@asynccontextmanager
async def client(folder: Path, served: Served, driver: str, address: str) -> AsyncIterator[Client]:
    usb: UsbDescriptor = type(served.instrument).usb  # type: ignore[attr-defined]
    device = Emulated("1-4", f"{usb.vid:04x}", f"{usb.pid:04x}", usb.serial, usb.product, descriptors=descriptors(usb))
    (folder / "devices").write_text(machine(device))
    port = served.address.rpartition(":")[2]
    process = await asyncio.create_subprocess_exec(
        *(
            "umockdev-wrapper",
            "/usr/bin/python3",
            str(HERE / "usb_player.py"),
            str(folder / "devices"),
            device.node,
            port,
        ),
        *(sys.executable, str(HERE / "usb_client.py"), driver, address),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=HERE.parents[1],
    )
    try:
        yield Client(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def test_picomotor_found_used_unplugged_and_back(tmp_path: Path) -> None:
    async with (
        serve(Picomotor8742Mock(World(), serial="11511")) as served,
        client(tmp_path, served, "newfocus-8742", "usb:104d:4000:11511") as driver,
    ):
        assert (await driver.ask("connect")).startswith("ok Identity(make='New")
        assert "serial='11511'" in await driver.ask("identify")
        assert (await driver.ask("position")).startswith("ok ManipulatorPosition")
        await served.unplug()
        said = await driver.ask("position")
        assert said.startswith("DeviceLost"), said
        assert "was unplugged" in said
        await served.replug()
        assert "serial='11511'" in await driver.ask("connect")
        assert (await driver.ask("position")).startswith("ok ManipulatorPosition")
        assert (await driver.ask("close")) == "ok None"


async def test_tdstat_answers(tmp_path: Path) -> None:
    async with serve(TdstatMock(World())) as served, client(tmp_path, served, "tdstat", "usb:a0a0:0002") as driver:
        said = await driver.ask("connect")
        assert said.startswith("ok Identity("), said
        assert (await driver.ask("make_safe")) == "ok None"
        assert (await driver.ask("close")) == "ok None"


async def test_another_serial_number_is_another_device(tmp_path: Path) -> None:
    async with (
        serve(Picomotor8742Mock(World(), serial="11511")) as served,
        client(tmp_path, served, "newfocus-8742", "usb:104d:4000:99999") as driver,
    ):
        said = await driver.ask("connect")
        assert said.startswith("DeviceLost"), said
        assert "there are: bus 1 address 12 serial 11511" in said


# --- by a link that udev keeps --------------------------------------------------------------------------------


async def test_a_node_chooses_between_equal_devices(tmp_path: Path) -> None:
    """The stand-in's device is at bus 1, address 5."""
    node = tmp_path / "bus" / "usb" / "001" / "005"
    node.parent.mkdir(parents=True)
    node.touch()
    link = tmp_path / "tdstat-left"
    link.symlink_to(node)
    async with serve(TdstatMock(World())) as served:
        transport = open_transport(f"{served.address}&node={link}")
        await transport.open()
        await transport.close()
        link.unlink()
        with pytest.raises(DeviceLost, match="nothing is plugged in where it was"):
            await transport.open()
        link.symlink_to(node.with_name("006"))
        node.with_name("006").touch()
        with pytest.raises(DeviceLost, match="no such USB device"):
            await transport.open()
        link.unlink()
        link.symlink_to(tmp_path)
        with pytest.raises(InvalidValue, match="a link into /dev/bus/usb"):
            await transport.open()


def test_a_configuration_may_name_the_node() -> None:
    device: Device = registry.create("tdstat", "usb:a0a0:0002?node=/dev/picobridge/tdstat-at-pci-0000_00_14_0-usb-0_4")
    assert str(device.transport.address).endswith("usb-0_4")
