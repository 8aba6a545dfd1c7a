"""What only VISA has: other libraries' habits, hung calls, messages."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pyvisa import constants
from pyvisa.constants import ResourceAttribute, StatusCode
from pyvisa.errors import VisaIOError

from drivers.errors import DeviceLost, DeviceTimeout, InvalidValue, LinkError, PermissionDenied, PortBusy, ProtocolError
from drivers.transports import open_transport
from drivers.transports.visa import VisaTransport

from .instruments import PATIENCE_S, Echo, rig


async def test_a_refused_socket_is_refused_at_opening() -> None:
    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port = placeholder.getsockname()[1]
    with pytest.raises(DeviceLost, match="refused the connection") as caught:
        await open_transport(f"visa:TCPIP::127.0.0.1::{port}::SOCKET").open()
    assert "port number" in caught.value.hint


@pytest.mark.parametrize(
    ("address", "expected", "words"),
    [
        ("visa:ASRL/dev/no-such-port::INSTR", DeviceLost, "not there"),
        ("visa:TCPIP::127.0.0.1::inst0::INSTR", DeviceLost, "Connection refused"),
        ("visa:GPIB0::24::INSTR", InvalidValue, "linux-gpib"),
        ("visa:GPIB0::24::INSTR?library=/no/such/libvisa.so", InvalidValue, "/no/such/libvisa.so"),
        ("visa:GPIB0::24::INSTR?library=@nonsense", InvalidValue, "nonsense"),
    ],
)
async def test_what_cannot_be_opened_says_why(address: str, expected: type[Exception], words: str) -> None:
    with pytest.raises(expected, match=words) as caught:
        await open_transport(address).open()
    assert getattr(caught.value, "hint", "")


async def test_a_serial_port_through_visa_is_set_up() -> None:
    class Fast(Echo):
        baud = 19200

    async with rig("visa-asrl", Fast()) as r:
        await r.transport.write(b"identify\n")
        await r.transport.drain(0.05)
        assert r.echo.record != ["identify"]
        assert "9600" in r.transport.mismatch_hint
        faster = open_transport(f"{r.transport.address}?baud=19200&parity=N&bytesize=8&stopbits=2")
        await r.transport.close()
        r.echo.reset()
        await faster.open()
        await faster.write(b"identify\n")
        assert await faster.read(PATIENCE_S)
        await faster.close()
        assert r.echo.record[-1] == "identify"


async def test_a_late_reply_is_not_lost_but_kept_for_the_drain() -> None:
    async with rig("visa-socket") as r:
        r.served.faults.late()
        await r.transport.write(b"first\n")
        with pytest.raises(DeviceTimeout):
            await r.transport.read(0.05)
        r.served.faults.release()
        assert await r.transport.drain(0.1) == b"answer to first\n"
        assert await r.ask(b"second") == b"answer to second"


class FakeLibrary:
    """A vendor's VISA library as pyvisa wraps it: a message at a time, errors by code, nothing to look into."""

    def __init__(self) -> None:
        self.replies: list[bytes] = []
        self.written = b""
        self.error: int | None = None
        self.hold: threading.Event | None = None
        self.closed: list[int] = []
        self.cleared = 0
        self.attributes: dict[ResourceAttribute, Any] = {}

    def open_default_resource_manager(self) -> tuple[int, StatusCode]:
        return 1, StatusCode.success

    def open(self, manager: int, name: str, mode: object, timeout_ms: int) -> tuple[int, StatusCode]:
        self._act()
        return 2, StatusCode.success

    def close(self, session: int) -> StatusCode:
        self.closed.append(session)
        return StatusCode.success

    def set_attribute(self, session: int, attribute: ResourceAttribute, value: Any) -> StatusCode:
        self.attributes[attribute] = value
        return StatusCode.success

    def get_attribute(self, session: int, attribute: ResourceAttribute) -> tuple[Any, StatusCode]:
        assert attribute == ResourceAttribute.asrl_avalaible_number
        return sum(map(len, self.replies)), StatusCode.success

    @contextmanager
    def ignore_warning(self, session: int, *codes: StatusCode) -> Iterator[None]:
        yield

    def clear(self, session: int) -> StatusCode:
        self._act()
        self.cleared += 1
        self.replies.clear()
        return StatusCode.success

    def write(self, session: int, data: bytes) -> tuple[int, StatusCode]:
        self._act()
        self.written += data
        return len(data), StatusCode.success

    def read(self, session: int, count: int) -> tuple[bytes, StatusCode]:
        self._act()
        if not self.replies:
            raise VisaIOError(StatusCode.error_timeout)
        reply = self.replies.pop(0)
        if len(reply) > count:
            self.replies.insert(0, reply[count:])
            return reply[:count], StatusCode.success_max_count_read
        return reply, StatusCode.success

    def _act(self) -> None:
        if self.hold is not None:
            self.hold.wait(PATIENCE_S)
        if self.error is not None:
            raise VisaIOError(self.error)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> FakeLibrary:
    fake = FakeLibrary()
    monkeypatch.setattr("drivers.transports.visa_session.open_visa_library", lambda text: fake)
    return fake


async def test_a_message_comes_whole_however_long(library: FakeLibrary) -> None:
    transport = open_transport("visa:GPIB0::24::INSTR?library=@ivi")
    await transport.open()
    library.replies = [b"x" * 50_000 + b"\n", b"next\n"]
    assert await transport.read(1.0) == b"x" * 50_000 + b"\n"
    assert await transport.read(1.0) == b"next\n"
    await transport.write(b"*IDN?\n")
    assert library.written == b"*IDN?\n"
    await transport.close()
    assert library.closed == [2, 1]


async def test_messages_are_drained_by_a_device_clear_and_never_read_unasked(library: FakeLibrary) -> None:
    transport = open_transport("visa:GPIB0::24::INSTR?library=@ivi")
    await transport.open()
    library.replies = [b"late\n"]
    assert await transport.leftovers() == b""
    assert library.replies == [b"late\n"]
    assert await transport.drain(0.05) == b""
    assert library.cleared == 1
    library.error = StatusCode.error_nonsupported_operation
    assert await transport.leftovers() == b""
    library.error = None
    await transport.close()


@pytest.mark.parametrize("name", ["TCPIP::10.0.0.1::5025::SOCKET", "ASRL1::INSTR"])
async def test_a_stream_of_another_library_is_read_byte_by_byte_so_that_nothing_is_lost(
    library: FakeLibrary, name: str
) -> None:
    transport = open_transport(f"visa:{name}?library=@ivi")
    await transport.open()
    library.replies = [b"1.5E-12\n", b"\x00"]
    received = b""
    while len(received) < 9:
        received += await transport.read(PATIENCE_S)
    assert received == b"1.5E-12\n\x00"
    with pytest.raises(DeviceTimeout):
        await transport.read(0.02)
    assert await transport.leftovers() == b""
    if name.startswith("ASRL"):
        assert library.attributes[ResourceAttribute.asrl_end_in] == constants.SerialTermination.none
    await transport.close()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (StatusCode.error_resource_busy, PortBusy),
        (StatusCode.error_resource_locked, PortBusy),
        (StatusCode.error_no_permission, PermissionDenied),
        (StatusCode.error_resource_not_found, DeviceLost),
        (StatusCode.error_invalid_resource_name, InvalidValue),
        (StatusCode.error_timeout, DeviceLost),
    ],
)
async def test_codes_of_opening(library: FakeLibrary, code: StatusCode, expected: type[Exception]) -> None:
    library.error = code
    with pytest.raises(expected, match="VI_ERROR") as caught:
        await open_transport("visa:GPIB0::24::INSTR?library=@ivi").open()
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (StatusCode.error_connection_lost, DeviceLost),
        (StatusCode.error_io, DeviceLost),
        (StatusCode.error_serial_framing, ProtocolError),
        (StatusCode.error_timeout, DeviceTimeout),
    ],
)
async def test_codes_of_a_read(library: FakeLibrary, code: StatusCode, expected: type[LinkError]) -> None:
    transport = open_transport("visa:GPIB0::24::INSTR?library=@ivi")
    await transport.open()
    library.error = code
    with pytest.raises(expected) as caught:
        await transport.read(0.05)
    assert type(caught.value) is expected
    await transport.close()


@pytest.mark.parametrize("operation", ["read", "write"])
async def test_a_hung_call_poisons_the_wire_and_is_abandoned(
    library: FakeLibrary, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    monkeypatch.setattr(VisaTransport, "hang_margin_s", 0.05)
    transport = open_transport("visa:GPIB0::24::INSTR?library=@ivi")
    lost: list[DeviceLost] = []
    noticed = asyncio.Event()
    transport.on_lost(lost.append)
    transport.on_lost(lambda error: noticed.set())
    await transport.open()
    library.hold = held = threading.Event()
    call = transport.read(0.05) if operation == "read" else transport.write(b"*RST\n", 0.05)
    # a read gives up at its deadline; that its call hangs is known a little later
    with pytest.raises(DeviceTimeout if operation == "read" else DeviceLost):
        await call
    async with asyncio.timeout(PATIENCE_S):
        await noticed.wait()
    with pytest.raises(DeviceLost, match="has not come back in time") as caught:
        await transport.write(b"OUTP ON\n")
    assert "off and on" in caught.value.hint
    assert len(lost) == 1
    await transport.close()
    # when the library comes back after all, nothing that was queued meanwhile is sent
    library.hold = None
    held.set()
    await transport.open()
    await transport.write(b"*IDN?\n")
    assert b"OUTP" not in library.written
    await transport.close()


async def test_a_write_that_was_given_up_before_it_began_is_never_sent(library: FakeLibrary) -> None:
    transport = open_transport("visa:GPIB0::24::INSTR?library=@ivi")
    await transport.open()
    library.hold = held = threading.Event()
    reading = asyncio.create_task(transport.read(0.5))
    await asyncio.sleep(0)
    writing = asyncio.create_task(transport.write(b"OUTP ON\n"))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait([writing])
    library.replies = [b"reply\n"]
    held.set()
    assert await reading == b"reply\n"
    assert writing.cancelled()
    await transport.write(b"*IDN?\n")
    assert library.written == b"*IDN?\n"
    await transport.close()
