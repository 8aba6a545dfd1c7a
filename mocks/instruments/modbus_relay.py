"""A Modbus RTU relay board.

Written from the Modbus application protocol (V1.1b3) and serial line (V1.02) specifications: functions 01, 05, 15;
exceptions 1 to 3; requests with a bad CRC or for another unit are met with silence, a broadcast is obeyed in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..instrument import Instrument
from ..world import World

_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 1, 2, 3
_READ, _WRITE_ONE, _WRITE_MANY = 0x01, 0x05, 0x0F


def _table() -> tuple[int, ...]:
    entries = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0xA001 if value & 1 else 0)
        entries.append(value)
    return tuple(entries)


_TABLE = _table()


def crc16(data: bytes) -> int:
    value = 0xFFFF
    for byte in data:
        value = (value >> 8) ^ _TABLE[(value ^ byte) & 0xFF]
    return value


class ModbusRelayMock(Instrument):
    """`stuck`: coils whose register does not follow (coil to the state that it keeps). `welded`: contacts that stay
    closed although the register says open, which no read-back shows. `latching` boards keep their state without power.
    """

    wire: ClassVar[str] = "pty"
    baud: ClassVar[int] = 9600

    def __init__(
        self,
        world: World,
        name: str = "relay",
        *,
        unit: int = 1,
        coils: int = 8,
        latching: bool = False,
        write_many: bool = True,
        stuck: Mapping[int, bool] | None = None,
        welded: frozenset[int] = frozenset(),
    ) -> None:
        super().__init__(world, name)
        self.unit = unit
        self.coils = coils
        self.latching = latching
        self.write_many = write_many
        self.stuck = dict(stuck or {})
        self.welded = welded
        #: exception code to answer the next requests with, None to serve them
        self.refuse_with: int | None = None
        self._buffer = bytearray()
        self._states = [False] * coils
        self._apply()

    def reset(self) -> None:
        self._buffer.clear()
        if not self.latching:
            self._states = [False] * self.coils
        self._apply()

    @property
    def closed(self) -> frozenset[int]:
        """Coils whose register is on."""
        return frozenset(coil for coil in range(self.coils) if self._states[coil])

    def press(self, coil: int, on: bool) -> None:
        """Somebody switches a relay by hand, at the board."""
        self._states[coil] = on
        self._apply()

    def receive(self, data: bytes) -> None:
        self._buffer += data
        while True:
            length = self._length()
            if length is None or len(self._buffer) < length:
                return
            frame = bytes(self._buffer[:length])
            if crc16(frame[:-2]) != frame[-2] | frame[-1] << 8:
                del self._buffer[0]  # a real board begins afresh after a silence; here the next byte may begin a frame
                continue
            del self._buffer[:length]
            if frame[0] in (0, self.unit):
                self._serve(frame[0], frame[1], frame[2:-2])

    def _length(self) -> int | None:
        if len(self._buffer) < 7:
            return None
        if self._buffer[1] == _WRITE_MANY:
            return 9 + self._buffer[6]
        return 8

    def _serve(self, unit: int, function: int, data: bytes) -> None:
        answer = self.refuse_with if self.refuse_with is not None else self._execute(function, data)
        if unit == 0:
            return
        body = bytes((unit, function | 0x80, answer)) if isinstance(answer, int) else bytes((unit, function)) + answer
        crc = crc16(body)
        self.send(body + bytes((crc & 0xFF, crc >> 8)))

    def _execute(self, function: int, data: bytes) -> bytes | int:
        """The answer's data, or an exception code."""
        first, second = data[0] << 8 | data[1], data[2] << 8 | data[3]
        if function == _READ:
            if not 1 <= second <= 2000:
                return _ILLEGAL_VALUE
            if first + second > self.coils:
                return _ILLEGAL_ADDRESS
            self.record.append(f"read {first}+{second}")
            packed = bytearray((second + 7) // 8)
            for index in range(second):
                packed[index // 8] |= self._states[first + index] << index % 8
            return bytes((len(packed),)) + bytes(packed)
        if function == _WRITE_ONE:
            if second not in (0x0000, 0xFF00):
                return _ILLEGAL_VALUE
            if first >= self.coils:
                return _ILLEGAL_ADDRESS
            self.record.append(f"{'close' if second else 'open'} {first}")
            self.world.happenings.note(self.name, "switched")
            self._states[first] = bool(second)
            self._apply()
            return data
        if function == _WRITE_MANY and self.write_many:
            if data[4] != (second + 7) // 8 or not second:
                return _ILLEGAL_VALUE
            if first + second > self.coils:
                return _ILLEGAL_ADDRESS
            states = [bool(data[5 + index // 8] >> index % 8 & 1) for index in range(second)]
            self.record.append(f"write {[first + index for index, state in enumerate(states) if state]}")
            self.world.happenings.note(self.name, "switched")
            self._states[first : first + second] = states
            self._apply()
            return data[:4]
        return _ILLEGAL_FUNCTION

    def _apply(self) -> None:
        for coil, state in self.stuck.items():
            self._states[coil] = state
        for coil, state in enumerate(self._states):
            if not state and coil not in self.welded:
                self.world.wiring.set_relay(coil, False)
        for coil, state in enumerate(self._states):
            if state:
                self.world.wiring.set_relay(coil, True)
