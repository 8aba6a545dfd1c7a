"""What motion, relays and the vacuum gauge say: RemCon32, the picomotor controller, Modbus RTU, the Pfeiffer TPG."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any

from drivers.errors import ChecksumError, DeviceError, LinkError, PicobridgeError, ProtocolError, WrongDevice
from drivers.feedthroughs.modbus_rtu import ReadCoils, Request, WriteCoil, WriteCoils, read_reply, with_crc
from drivers.gauges.pfeiffer_tpg import PfeifferTpg
from drivers.interfaces import GaugeStatus
from drivers.manipulators.newfocus_protocol import STEPS_MAX, STEPS_MIN, Controller, Exchange
from drivers.stages import remcon_protocol as remcon
from drivers.transports import Conversation

from .target import Target
from .wire import InstantClock, Says, chunkings, lines, outcome, play, talk


def same_for_each_chunking(data: bytes, ask: Callable[[Conversation], Coroutine[Any, Any, Any]]) -> Any:
    """What `ask` makes of the input, however it arrives."""

    async def work(pieces: list[bytes]) -> Any:
        return await ask(await talk(Says(pieces)))

    found = [outcome(work(pieces)) for pieces in chunkings(data)]
    assert all(one == found[0] for one in found), f"the chunking changes what is understood: {found}"
    return found[0]


# --- RemCon32 ------------------------------------------------------------------------------------------------------


def remcon_reply(data: bytes) -> None:
    """Replies one after the other; the last words as a stage reading, which is sent back as it was written."""
    answer = same_for_each_chunking(data, lambda talk: remcon.read_reply(talk, "C95?"))
    answers = [answer] if isinstance(answer, str) else []
    answers += data.decode("latin-1").split("\n")
    for text in answers:
        try:
            reading = remcon.Reading.parse(text)
        except ProtocolError:
            continue
        assert len(reading.texts) == len(reading.values) == 6
        for place, axis in enumerate(reading.texts):
            rotation = place == 4
            for written in (
                remcon.kept(axis, rotation=rotation),
                remcon.changed(reading.values[place], rotation=rotation),
            ):
                assert "e" not in written.lower(), f"{written} is no number for the tool"
                assert not rotation or 0 <= Decimal(written) < 360, written
                assert len(written) < 64, "more than the tool takes"
    for text in answers:
        with contextlib.suppress(WrongDevice):
            remcon.require_smartsem(text)


# --- New Focus 8742 ------------------------------------------------------------------------------------------------


def newfocus(data: bytes) -> None:
    """Each question with the input as its answer, and with an address before it."""
    for prefix in (b"", b"2>"):
        for name in ("integer", "moving", "motor_type", "identity", "errors", "check"):
            same_for_each_chunking(data, lambda talk, n=name, p=prefix: _newfocus(Exchange(talk, p), n))
    play(_controller(data))


async def _newfocus(exchange: Exchange, name: str) -> Any:
    match name:
        case "integer":
            steps = await exchange.integer("1TP?")
            assert STEPS_MIN <= steps <= STEPS_MAX, f"{steps} steps are more than the controller counts"
            return steps
        case "moving":
            return await exchange.moving(1)
        case "motor_type":
            return await exchange.motor_type(1)
        case "identity":
            return await exchange.identity()
        case "errors":
            return await exchange.errors()
    return await exchange.check()


async def _controller(data: bytes) -> None:
    controller = Controller(Says(lines(data), answers=1), "manipulator")
    await controller.open()
    await controller.motor_type(1)


# --- Modbus RTU ----------------------------------------------------------------------------------------------------

_REQUESTS: tuple[Request, ...] = (
    ReadCoils(1, 8),
    ReadCoils(1, 3),
    WriteCoil(1, 0, True),
    WriteCoil(1, 7, True),
    WriteCoils(1, 8, frozenset({0, 2})),
)


def modbus(data: bytes) -> None:
    """The input as the reply to each request: taken only if its CRC is right and it is the unit's that was asked."""
    for request in _REQUESTS:
        reply = same_for_each_chunking(data, lambda talk, r=request: read_reply(talk, r, 1.0))
        if not isinstance(reply, bytes):
            continue
        frame = with_crc(bytes((request.unit, request.function)) + reply)
        assert data.startswith(frame), "a reply that did not come"
        if isinstance(request, ReadCoils):
            with contextlib.suppress(ProtocolError):
                assert request.decode(reply) <= frozenset(range(request.count))
        spoilt = bytes([data[0]]) + bytes([data[1]]) + bytes(b ^ 1 for b in data[2:])
        assert same_for_each_chunking(spoilt, lambda talk, r=request: read_reply(talk, r, 1.0)) in (
            ChecksumError,
            ProtocolError,
        ) or not _same_length(data, spoilt)


def _same_length(data: bytes, spoilt: bytes) -> bool:
    """Whether flipping bits left a frame's own length as it was."""
    return data[1] != ReadCoils.function


# --- Pfeiffer TPG --------------------------------------------------------------------------------------------------


async def _gauge(data: bytes) -> None:
    gauge = PfeifferTpg(Says(lines(data), answers=1), name="gauge", clock=InstantClock())
    await gauge.connect()
    try:
        pressure = await gauge.pressure()
        if pressure.valid:
            assert math.isfinite(pressure.pressure_pa)
            assert pressure.pressure_pa > 0
            assert pressure.status is GaugeStatus.OK
    finally:
        await gauge.close()


def gauge(data: bytes) -> None:
    """A whole acquaintance and a pressure; each line of the input is there after one more command."""
    play(_gauge(data))


_WIRE: tuple[type[PicobridgeError], ...] = (LinkError, DeviceError)

TARGETS = (
    Target(
        "remcon-reply",
        remcon_reply,
        (),
        ("drivers.stages.remcon_protocol", "drivers.transports.lines"),
        bytes_per_byte=200,
        limit=1024,
        tokens=(b"@\r\n", b">", b"#\r\n", b"* 603\r\n", b"1e-7", b"-0.0", b" 0.0", b" 1.0", b"SmartSEM", b"720"),
    ),
    Target(
        "newfocus",
        newfocus,
        _WIRE,
        ("drivers.manipulators.newfocus_protocol",),
        bytes_per_byte=200,
        limit=1024,
        tokens=(
            b"\xff\xfd\x03\xff\xfb\x01",
            b"New_Focus 8742 v2.2 08/01/13 11511\r\n",
            b"0, NO ERROR DETECTED\r\n",
            b"2>",
        ),
    ),
    Target(
        "modbus-reply",
        modbus,
        (),
        ("drivers.feedthroughs.modbus_rtu",),
        bytes_per_byte=200,
        limit=300,
        tokens=(b"\x01\x01\x01\x05\x91\x8b", b"\x01\x85\x02\xc3\x51", b"\x01\x0f\0\0\0\x08\x54\x0d"),
    ),
    Target(
        "pfeiffer-gauge",
        gauge,
        _WIRE,
        ("drivers.gauges.pfeiffer_tpg", "drivers.transports.lines"),
        bytes_per_byte=400,
        limit=1024,
        tokens=(b"\x06\r\n", b"\x15\r\n", b"0,+1.7377E+00\r\n", b"E+999", b"5,2.0000E-2\r\n", b"0\r\n", b"TPG 362,"),
    ),
)
