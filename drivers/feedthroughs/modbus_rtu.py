"""Modbus RTU frames for coils: what goes out, what must come back.

Source: "MODBUS Application Protocol Specification V1.1b3" (functions 01, 05, 15, exception codes) and "MODBUS over
Serial Line V1.02" (CRC, silence of 3.5 characters); checked against pymodbus `framer/rtu.py` and a board maker's
published frames.

A frame's length follows from its function code, so it is framed by length and CRC. Timing is kept towards the board,
but never relied on from it: USB adapters cannot keep it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import crcmod.predefined

from ..errors import ChecksumError, DeviceError, ProtocolError
from ..transports import Conversation

_crc = crcmod.predefined.mkCrcFun("modbus")

#: Meanings of exception codes; those that a relay board can give.
EXCEPTIONS: dict[int, str] = {
    1: "illegal function: the board does not know this command",
    2: "illegal data address: the board has no such coil",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge: the board is still working on it",
    6: "server device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
ILLEGAL_FUNCTION = 1
ILLEGAL_ADDRESS = 2


def with_crc(body: bytes) -> bytes:
    """The CRC goes out low byte first."""
    return body + int(_crc(body)).to_bytes(2, "little")


def silence_s(baud: int) -> float:
    """3.5 characters of 11 bits between frames; a fixed 1.75 ms above 19200 baud."""
    return 1.75e-3 if baud > 19200 else 3.5 * 11 / baud


@dataclass(frozen=True, slots=True)
class Request(ABC):
    """One request to one unit."""

    function: ClassVar[int]
    unit: int

    @property
    @abstractmethod
    def data(self) -> bytes:
        """What stands between the function code and the CRC."""

    def frame(self) -> bytes:
        return with_crc(bytes((self.unit, self.function)) + self.data)


@dataclass(frozen=True, slots=True)
class ReadCoils(Request):
    """`count` coils (1 to 2000) from 0 on."""

    function: ClassVar[int] = 0x01
    count: int

    @property
    def data(self) -> bytes:
        return bytes((0, 0)) + self.count.to_bytes(2, "big")

    def decode(self, data: bytes) -> frozenset[int]:
        """The coils that are on; bit 0 of the first byte is coil 0. Raises `ProtocolError`."""
        expected = (self.count + 7) // 8
        if data[0] != expected:
            raise ProtocolError(f"{data[0]} bytes of coils came back where {expected} were asked for", received=data)
        bits = int.from_bytes(data[1:], "little")
        return frozenset(coil for coil in range(self.count) if bits >> coil & 1)


@dataclass(frozen=True, slots=True)
class WriteCoil(Request):
    """One coil on or off. The reply is an echo."""

    function: ClassVar[int] = 0x05
    coil: int
    on: bool

    @property
    def data(self) -> bytes:
        return self.coil.to_bytes(2, "big") + (b"\xff\x00" if self.on else b"\x00\x00")

    @property
    def echo(self) -> bytes:
        return self.data


@dataclass(frozen=True, slots=True)
class WriteCoils(Request):
    """Coils 0 to `count - 1` at once; those in `on` are switched on. The reply repeats address and count."""

    function: ClassVar[int] = 0x0F
    count: int
    on: frozenset[int]

    @property
    def data(self) -> bytes:
        size = (self.count + 7) // 8
        bits = sum(1 << coil for coil in self.on)
        return self.echo + bytes((size,)) + bits.to_bytes(size, "little")

    @property
    def echo(self) -> bytes:
        return bytes((0, 0)) + self.count.to_bytes(2, "big")


async def read_reply(conversation: Conversation, request: Request, timeout_s: float) -> bytes:
    """The data of the reply to `request`, between function code and CRC.

    Raises `DeviceError` for an exception reply (`detail["code"]`), `ChecksumError`, `ProtocolError` for a reply of
    another unit or to another function, `DeviceTimeout`, `DeviceLost`.
    """
    head = await conversation.read_exactly(2, timeout_s)
    function = head[1]
    if function == request.function | 0x80:
        rest = await conversation.read_exactly(3, timeout_s)
    elif function == ReadCoils.function:
        count = await conversation.read_exactly(1, timeout_s)
        rest = count + await conversation.read_exactly(count[0] + 2, timeout_s)
    elif function in (WriteCoil.function, WriteCoils.function):
        rest = await conversation.read_exactly(6, timeout_s)
    else:
        raise ProtocolError(f"the reply's function code is {function:#04x}, asked was {request.function:#04x}")
    frame = head + rest
    if with_crc(frame[:-2]) != frame:
        raise ChecksumError("the reply's CRC is wrong")
    if frame[0] != request.unit:
        raise ProtocolError(f"unit {frame[0]} answered, asked was unit {request.unit}")
    if function == request.function | 0x80:
        code = frame[2]
        meaning = EXCEPTIONS.get(code, "an exception that the specification does not name")
        raise DeviceError(f"the board answered with exception {code}, {meaning}", code=code)
    if function != request.function:
        raise ProtocolError(f"the reply's function code is {function:#04x}, asked was {request.function:#04x}")
    return frame[2:-2]
