"""What only serial ports have."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import termios
import tty
from pathlib import Path
from types import SimpleNamespace

import pytest

from drivers.errors import DeviceLost, DeviceTimeout, InvalidValue, PermissionDenied, PortBusy
from drivers.transports import open_transport
from drivers.transports.oserrors import explain
from mocks.wires import serve

from .instruments import PATIENCE_S, Echo, rig


async def test_settings_reach_the_port() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    path = os.ttyname(slave)
    transport = open_transport(f"serial:{path}?baud=38400&stopbits=2&xonxoff=1&rtscts=1")
    try:
        await transport.open()
        iflag, _, cflag, _, input_speed, output_speed, _ = termios.tcgetattr(master)
        assert (input_speed, output_speed) == (termios.B38400, termios.B38400)
        assert cflag & termios.CSTOPB
        assert cflag & termios.CRTSCTS
        assert iflag & termios.IXON
    finally:
        await transport.close()
        os.close(slave)
        os.close(master)


async def test_a_wrong_baud_rate_gives_garbage_both_ways() -> None:
    echo = Echo()
    async with serve(echo) as served:
        transport = open_transport(f"{served.address}?baud=19200")
        await transport.open()
        await transport.write(b"identify\n" * 3)
        received = await transport.drain(0.1)
        assert not any("identify" in line for line in echo.record)
        assert b"answer" not in received
        assert transport.mismatch_hint == "Is the baud rate right (it is set to 19200), and the parity?"
        await transport.close()


async def test_a_device_that_takes_nothing_does_not_hold_the_writer_for_ever() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    transport = open_transport(f"serial:{os.ttyname(slave)}")
    try:
        await transport.open()
        with pytest.raises(DeviceTimeout, match=r"did not take \d+ of 1000000 bytes within 0\.05 s") as caught:
            await transport.write(bytes(1_000_000), 0.05)
        assert "flow control" in caught.value.hint
        # an urgent write queues behind it and has a deadline of its own
        writing = asyncio.create_task(transport.write(bytes(1_000_000), PATIENCE_S))
        await asyncio.sleep(0)
        with pytest.raises(DeviceTimeout):
            await transport.write(b"stop", 0.05)
        await transport.close()
        with pytest.raises(DeviceLost, match="closed"):
            await writing
    finally:
        await transport.close()
        os.close(slave)
        os.close(master)


async def test_the_holder_of_a_port_is_named() -> None:
    async with serve(Echo()) as served:
        path = served.address.removeprefix("serial:")
        script = (
            "import serial, sys; p = serial.Serial(sys.argv[1], exclusive=True); print('open', flush=True); input()"
        )
        pipe = asyncio.subprocess.PIPE
        holder = await asyncio.create_subprocess_exec(sys.executable, "-c", script, path, stdin=pipe, stdout=pipe)
        assert holder.stdout is not None
        try:
            assert await holder.stdout.readline() == b"open\n"
            with pytest.raises(PortBusy, match=rf"held by pid {holder.pid} \(python"):
                await open_transport(served.address).open()
        finally:
            await holder.communicate(b"\n")


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (FileNotFoundError(errno.ENOENT, "x"), DeviceLost, "port is not there: No such file"),
        (OSError(errno.EIO, "x"), DeviceLost, "port is gone: Input/output error"),
        (OSError(errno.ENODEV, "x"), DeviceLost, "port is gone"),
        (termios.error(errno.EIO, "x"), DeviceLost, "port is gone: Input/output error"),
        (EOFError(), DeviceLost, "port is gone: EOFError"),
        (OSError(errno.EBUSY, "x"), PortBusy, "port is held by another program"),
        (BlockingIOError(errno.EAGAIN, "x"), PortBusy, "port is held by another program"),
        (PermissionError(errno.EACCES, "x"), PermissionDenied, "port may not be opened: Permission denied"),
        (PermissionError(errno.EPERM, "x"), PermissionDenied, "port may not be opened"),
        (termios.error(errno.ENOTTY, "x"), InvalidValue, "not a serial port"),
    ],
)
def test_what_the_system_says_is_translated(error: Exception, expected: type[Exception], words: str) -> None:
    explained = explain(error, "port")
    assert type(explained) is expected
    assert words in str(explained)


def test_a_denied_port_names_its_owner_and_what_to_do(tmp_path: Path) -> None:
    node = tmp_path / "ttyX"
    node.touch(mode=0o640)
    explained = explain(PermissionError(errno.EACCES, "x"), "serial port", str(node))
    assert f"{node} belongs to {node.owner()}:{node.group()}, mode -rw-r-----" in str(explained)
    assert "dialout" in explained.hint
    assert "udev" in explained.hint


async def test_a_file_is_no_serial_port(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidValue, match="not a serial port"):
        await open_transport(f"serial:{tmp_path}/file").open()


async def test_an_adapter_is_found_by_its_serial_number(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(Echo()) as served:
        path = served.address.removeprefix("serial:")
        ports = [
            SimpleNamespace(device=path, serial_number="FT1"),
            SimpleNamespace(device="/dev/ttyUSB7", serial_number="FT2"),
            SimpleNamespace(device="/dev/ttyUSB8", serial_number="FT2"),
            SimpleNamespace(device="/dev/ttyS0", serial_number=None),
        ]
        monkeypatch.setattr("serial.tools.list_ports.comports", lambda: ports)
        transport = open_transport("serial:?serial=FT1&baud=9600")
        await transport.open()
        await transport.write(b"x\n")
        assert await transport.read(PATIENCE_S) == b"answer to x\n"
        await transport.close()
        with pytest.raises(InvalidValue, match="2 ports have that serial number: /dev/ttyUSB7, /dev/ttyUSB8"):
            await open_transport("serial:?serial=FT2").open()
        with pytest.raises(DeviceLost, match=r"no such adapter is plugged in; there are: FT1 \("):
            await open_transport("serial:?serial=FT3").open()


async def test_more_than_the_inbox_holds_stays_in_the_kernel_and_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.transports.inbox.Inbox.HIGH_WATER", 100)
    async with rig("serial") as r:
        line = b"y" * 3000
        for _ in range(3):
            await r.transport.write(line + b"\n", PATIENCE_S)
        received = b""
        while received.count(b"\n") < 3:
            received += await r.transport.read(PATIENCE_S)
        assert received == (b"answer to " + line + b"\n") * 3
