"""What only USB has."""

from __future__ import annotations

import asyncio
import errno
import sys
from typing import ClassVar

import pytest
import usb.backend.libusb1
import usb.core

from drivers.errors import DeviceLost, DeviceTimeout, InvalidValue, LinkError, PermissionDenied, PortBusy, ProtocolError
from drivers.transports import open_transport
from mocks.wires import UsbDescriptor, serve
from mocks.wires.usb import INTERRUPT, Endpoint, backend

from .instruments import PATIENCE_S, Echo, rig


async def test_pyusb_sees_the_device_as_its_descriptors_say() -> None:
    async with serve(Echo(), "usb", bus=2, unit=9) as served:
        where = served.address.partition("backend:")[2]

        def look() -> tuple[object, ...]:
            device = usb.core.find(backend=backend(where), idVendor=0xA0A0, idProduct=2)
            try:
                return device.manufacturer, device.product, device.serial_number, device.bus, device.address
            finally:
                usb.util.dispose_resources(device)

        assert await asyncio.to_thread(look) == ("picobridge", "echo", "E1", 2, 9)


async def test_a_read_is_one_packet() -> None:
    async with rig("usb") as r:
        for packet in (b"a", b"bc", bytes(64)):
            r.echo.send(packet)
        assert [await r.transport.read(PATIENCE_S) for _ in range(3)] == [b"a", b"bc", bytes(64)]
        r.echo.send(bytes(100))
        assert [len(await r.transport.read(PATIENCE_S)) for _ in range(2)] == [64, 36]


async def test_an_empty_packet_is_a_packet() -> None:
    async with rig("usb") as r:
        r.usb.zero_length_packet()
        assert await r.transport.read(PATIENCE_S) == b""
        with pytest.raises(DeviceTimeout):
            await r.transport.read(0.05)


async def test_a_stall_is_cleared_once_and_said() -> None:
    async with rig("usb") as r:
        r.usb.stall(0x81)
        with pytest.raises(ProtocolError, match="stalled endpoint 0x81"):
            await r.ask(b"x")
        assert await r.line() == b"answer to x"
        r.usb.stall(0x01)
        with pytest.raises(ProtocolError, match="stalled endpoint 0x01"):
            await r.ask(b"lost")
        assert await r.ask(b"y") == b"answer to y"
        assert r.echo.record == ["x", "y"]


async def test_a_stall_that_stays_is_a_lost_device() -> None:
    async with rig("usb") as r:
        for number in (errno.EPIPE, errno.EPIPE):
            r.usb.fail_next("read", number)
        with pytest.raises(ProtocolError):
            await r.transport.read(PATIENCE_S)
        with pytest.raises(DeviceLost, match="stalls and does not recover"):
            await r.transport.read(PATIENCE_S)
        assert len(r.lost) == 1


@pytest.mark.parametrize(
    ("operation", "number", "expected", "words"),
    [
        ("read", errno.ENODEV, DeviceLost, "was unplugged"),
        ("read", errno.EIO, DeviceLost, "was unplugged"),
        ("read", errno.EOVERFLOW, ProtocolError, "longer than 64 bytes"),
        ("write", errno.ENODEV, DeviceLost, "was unplugged"),
        ("write", errno.ETIMEDOUT, DeviceTimeout, "took 0 of 2 bytes"),
    ],
)
async def test_errors_of_a_transfer(operation: str, number: int, expected: type[LinkError], words: str) -> None:
    async with rig("usb") as r:
        r.usb.fail_next(operation, number)
        with pytest.raises(expected, match=words) as caught:
            await r.ask(b"x")
        assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("operation", "number", "expected", "hint"),
    [
        ("open", errno.EACCES, PermissionDenied, "udev"),
        ("claim", errno.EBUSY, PortBusy, "other program"),
        ("open", errno.ENODEV, DeviceLost, "cable"),
    ],
)
async def test_errors_of_opening(operation: str, number: int, expected: type[LinkError], hint: str) -> None:
    async with serve(Echo(), "usb") as served:
        assert hasattr(served.wire, "fail_next")
        served.wire.fail_next(operation, number)
        # without the serial number nothing is opened for the search
        transport = open_transport(served.address.replace(":E1?", "?"))
        with pytest.raises(expected) as caught:
            await transport.open()
        assert hint in caught.value.hint
        await transport.open()
        await transport.close()


class Odd(Echo):
    """A device whose endpoints are not the first, and interrupt ones."""

    usb: ClassVar[UsbDescriptor] = UsbDescriptor(
        0xA0A0, 3, endpoints=(Endpoint(0x02, INTERRUPT, 8), Endpoint(0x83, INTERRUPT, 8), Endpoint(0x84, INTERRUPT, 8))
    )


async def test_endpoints_are_found_or_given() -> None:
    async with serve(Odd(), "usb") as served:
        for choice in ("", "&out=0x02&in=0x83", "&out=2&in=0x84&interface=0"):
            transport = open_transport(served.address + choice)
            await transport.open()
            await transport.write(b"x\n")
            assert await transport.read(PATIENCE_S)
            await transport.drain(0.05)
            await transport.close()
        for wrong in ("&in=0x85", "&interface=1"):
            with pytest.raises(InvalidValue, match=r"no pair of endpoints; there are: (0x02, 0x83, 0x84|none)"):
                await open_transport(served.address + wrong).open()


class _Two(usb.backend.IBackend):  # type: ignore[misc]
    """Two mock buses as one."""

    def __init__(self, *wheres: str) -> None:
        self._parts = [backend(where) for where in wheres]

    def enumerate_devices(self) -> object:
        return iter([device for part in self._parts for device in part.enumerate_devices()])

    def __getattribute__(self, name: str) -> object:
        if name.startswith("get_") and name.endswith("descriptor"):
            return getattr(object.__getattribute__(self, "_parts")[0], name)
        return object.__getattribute__(self, name)


_wheres: list[str] = []


def two_buses() -> _Two:
    return _Two(*_wheres)


async def test_two_equal_devices_must_be_told_apart() -> None:
    async with serve(Odd("a"), "usb", unit=4) as first, serve(Odd("b"), "usb", unit=5) as second:
        _wheres[:] = [served.address.partition("backend:")[2] for served in (first, second)]
        name = f"usb:a0a0:0003?backend={__name__}:two_buses"
        with pytest.raises(InvalidValue, match="2 equal devices are plugged in: bus 1 address 4, bus 1 address 5") as e:
            await open_transport(name).open()
        assert "?bus=" in e.value.hint
        with pytest.raises(DeviceLost, match="no such USB device a0a0:0003 is plugged in; there are: bus 1 address 4"):
            await open_transport(name + "&address=6").open()


async def test_the_serial_number_must_agree() -> None:
    async with serve(Echo(), "usb") as served:
        with pytest.raises(DeviceLost, match="there are: bus 1 address 5 serial E1"):
            await open_transport(served.address.replace(":E1?", ":E2?")).open()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("libusb2", "accepted: libusb1, libusb0, openusb, module:function"),
        ("no_such_module:backend", "cannot be loaded"),
        ("mocks.wires.usb:no_such_function", "cannot be loaded"),
    ],
)
async def test_backends_that_do_not_exist(name: str, words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        await open_transport(f"usb:a0a0:0002?backend={name}").open()


async def test_a_backend_whose_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usb.backend.libusb1, "get_backend", lambda: None)
    with pytest.raises(InvalidValue, match="is not installed") as caught:
        await open_transport("usb:a0a0:0002").open()
    assert "libusb-1.0-0" in caught.value.hint


CLIENT = """
import asyncio, sys
from drivers.transports import open_transport

async def main():
    transport = open_transport(sys.argv[1])
    await transport.open()
    await transport.write(b"from afar\\n")
    print((await transport.read(10)).decode(), end="")
    await transport.close()

asyncio.run(main())
"""


async def test_another_process_can_be_the_client() -> None:
    echo = Echo()
    async with serve(echo, "usb") as served:
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CLIENT, served.address, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await client.communicate()
        assert (client.returncode, output) == (0, b"answer to from afar\n")
        assert echo.record == ["from afar"]


async def test_a_write_does_not_wait_for_a_long_read() -> None:
    async with rig("usb") as r:
        reading = asyncio.create_task(r.transport.read(PATIENCE_S))
        await asyncio.sleep(0)
        await r.transport.write(b"stop\n")
        assert await reading == b"answer to stop\n"
