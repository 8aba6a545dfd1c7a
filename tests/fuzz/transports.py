"""Addresses and resource names, what has arrived and was not read yet, lines, captures."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

from drivers.errors import DeviceLost, DeviceTimeout, InvalidValue, LinkError, ProtocolError
from drivers.transports import Address, open_transport
from drivers.transports.capture import read_capture
from drivers.transports.inbox import Inbox
from drivers.transports.lines import read_line
from drivers.transports.usb import _numbers_of

from .target import Target
from .wire import Says, chunkings, outcome, play, talk, text


def address(data: bytes) -> None:
    """Each line as an address: what it is parsed to is written, and parsed to the same."""
    for line in text(data).split("\n"):
        try:
            parsed = Address.parse(line)
        except InvalidValue:
            continue
        again = Address.parse(str(parsed))
        assert again == parsed, f"{parsed} comes back as {again}"
        try:
            open_transport(line, {"serial": {"baud": "115200"}})
        except InvalidValue:
            continue


def usb_node(data: bytes) -> None:
    """Each line as the path of a USB device."""
    for line in text(data).split("\n"):
        try:
            numbers = _numbers_of(line, Address("usb", "a0a0:0002"))
        except (InvalidValue, DeviceLost):
            continue
        assert all(number >= 0 for number in numbers.values())


def inbox(data: bytes) -> None:
    """A byte is an act: what went in comes out in order, once, as bytes or packet by packet."""
    for packets in (False, True):
        play(_inbox(data, packets))


async def _inbox(data: bytes, packets: bool) -> None:
    box = Inbox(Address.parse("tcp:fuzz:1"), packets=packets)
    into, out, whole = bytearray(), bytearray(), []
    for number, act in enumerate(data):
        kind, size = act >> 5, act & 31
        if kind < 4:
            chunk = bytes((number + place) & 255 for place in range(size))
            if not chunk and not packets:
                continue
            box.put(chunk)
            into += chunk
            whole.append(chunk)
        elif kind == 4:
            box.put_fault(ProtocolError("stalled"))
        elif kind == 5 and size == 31:
            was = box.lost is None
            assert box.fail(DeviceLost("unplugged")) is was
        elif kind == 6:
            out += box.take_all()
            whole.clear()
        else:
            try:
                piece = await box.get(0.001)
            except DeviceTimeout:
                assert box.empty
                assert box.lost is None
                continue
            except LinkError:
                assert box.empty, "an error before what had arrived"
                continue
            out += piece
            assert not packets or piece == whole.pop(0)
            assert packets or piece
    assert box.size == len(into) - len(out)
    assert into == out + box.take_all()
    assert box.size == 0


def line(data: bytes) -> None:
    """Lines by `read_line` and by `read_until`: the same whatever the chunking, and nothing but the input's own."""

    async def read(pieces: list[bytes], ends: bytes) -> list[Any]:
        conversation = await talk(Says(pieces))
        found: list[Any] = []
        for _ in range(8):
            try:
                if ends:
                    found.append(await conversation.read_until(ends, 1.0, limit=64))
                else:
                    found.append(await read_line(conversation, 1.0, limit=64))
            except LinkError as error:
                # how much of a line without an end had come when it was given up depends on the chunking
                found.append(type(error))
                break
        return found

    for ends in (b"", b"\n", b"\r\n"):
        parts = data.replace(b"\r", b"\n").split(b"\n") if not ends else data.split(ends)
        if max(map(len, parts)) > 60:
            continue
        found = [outcome(read(pieces, ends)) for pieces in chunkings(data)]
        assert all(one == found[0] for one in found), f"the chunking changes the lines: {found}"
        lines = [one for one in found[0] if isinstance(one, bytes)]
        assert lines == [part for part in parts[:-1] if part or ends][: len(lines)]


def capture(data: bytes) -> None:
    """A capture file: what it says is played back as it stands there."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "capture"
        path.write_bytes(data)
        for entry in read_capture(path):
            assert entry.direction in "<>"
            assert isinstance(entry.t_ns, int)
            assert math.isfinite(entry.t_ns)
            json.dumps(entry.data.hex(" "))


TARGETS = (
    Target(
        "address",
        address,
        (InvalidValue,),
        ("drivers.transports.address", "drivers.transports.visa", "drivers.transports.usb", "drivers.transports.tcp"),
        bytes_per_byte=400,
        limit=512,
        tokens=(
            *(b"serial:", b"tcp:", b"visa:", b"usb:", b"?baud=", b"&", b"%2F", b"::INSTR", b"::SOCKET", b"ASRL"),
            *(b"TCPIP", b"GPIB0::24", b"USB0::0x05E6::", b"?node=", b"[fe80::1]", b"&xonxoff=1", b"?serial="),
        ),
    ),
    Target("usb-node", usb_node, (InvalidValue,), ("drivers.transports.usb",), limit=256, tokens=(b"/dev/bus/usb/",)),
    Target("inbox", inbox, (), ("drivers.transports.inbox",), limit=256, bytes_per_byte=400),
    Target("line", line, (), ("drivers.transports.lines", "drivers.transports.link"), limit=256, bytes_per_byte=200),
    Target(
        "capture",
        capture,
        (InvalidValue,),
        ("drivers.transports.capture",),
        bytes_per_byte=200,
        tokens=(b'{"picobridge_capture": 1}\n', b'{"t_ns": 1, "dir": ">", "hex": "2a 49"}\n', b"1e999", b"[" * 64),
    ),
)
