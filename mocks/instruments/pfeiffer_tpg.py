"""A Pfeiffer TPG 36x or 26x gauge controller.

Written from Pfeiffer BG 5510 (TPG 361/362) and BG 5195 (TPG 261): mnemonics end in CR, an LF is ignored; ACK or NAK, CR
LF; ENQ fetches the data, or the ERROR word after a NAK; ETX clears the input; after power-up measurements stream until
the first character arrives.
"""

from __future__ import annotations

from typing import ClassVar

from ..instrument import Instrument
from ..world import World

_ETX, _ENQ, _CR, _LF = 0x03, 0x05, 0x0D, 0x0A
_ACK, _NAK = b"\x06\r\n", b"\x15\r\n"

#: pascal in one unit, by the code of `UNI`: mbar, Torr, Pa, micron, hPa; 5 is volt
_PASCAL = {0: 100.0, 1: 101325 / 760, 2: 1.0, 3: 0.101325 / 0.76, 4: 100.0, 5: None}

_OK, _UNDERRANGE, _OVERRANGE, _NO_SENSOR = 0, 1, 2, 5

#: digits of the ERROR word
_PARAMETER, _SYNTAX = 2, 3


class PfeifferTpgMock(Instrument):
    """Channel 1 shows the chamber's pressure. `status` and `text` force a status digit or a measurement's text, by
    channel; `streaming` begins in the continuous mode of a fresh power-up.
    """

    wire: ClassVar[str] = "pty"
    baud: ClassVar[int] = 9600

    def __init__(
        self, world: World, name: str = "gauge", *, family: str = "36x", unit: int = 0, streaming: bool = False
    ) -> None:
        super().__init__(world, name)
        if family not in ("36x", "26x"):
            raise ValueError(f"family {family!r}; accepted: 36x, 26x")
        self.family = family
        self.streaming = streaming
        self.unit = unit
        self.status: dict[int, int] = {2: _NO_SENSOR}
        self.text: dict[int, str] = {}
        #: mnemonics that are answered with NAK
        self.refuses: frozenset[str] = frozenset()
        self._buffer = bytearray()
        self._data = ""
        self._error = ["0", "0", "0", "0"]

    def reset(self) -> None:
        self._buffer.clear()
        self._data = ""
        self._error = ["0", "0", "0", "0"]
        self.streaming = True
        self.client_connected()

    def client_connected(self) -> None:
        if self.streaming:
            self._stream_line()
            if self.timeline.speed != float("inf"):
                self.spawn(self._stream())

    async def _stream(self) -> None:
        while self.streaming:
            await self.timeline.work(1_000_000_000)
            self._stream_line()

    def _stream_line(self) -> None:
        if self.streaming:
            self.send(f"{self._measurement(1)},{self._measurement(2)}\r\n".encode())

    def receive(self, data: bytes) -> None:
        self.streaming = False
        for byte in data:
            if byte == _ENQ:
                self.send(self._data.encode() + b"\r\n")
            elif byte == _ETX:
                self._buffer.clear()
            elif byte == _CR:
                command = self._buffer.decode("latin-1")
                self._buffer.clear()
                self._obey(command)
            elif byte != _LF:
                self._buffer.append(byte)

    def _obey(self, command: str) -> None:
        mnemonic, *parameters = command.split(",")
        data = None if mnemonic in self.refuses else self._answer(mnemonic, parameters)
        if data is None:
            self._data = "".join(self._error)
            self.send(_NAK)
            return
        self.record.append(command)
        self._data = data
        self.send(_ACK)

    def _answer(self, mnemonic: str, parameters: list[str]) -> str | None:
        """The data that the next ENQ fetches; None for a NAK."""
        if mnemonic == "UNI":
            if parameters and not self._set_unit(parameters[0]):
                self._error[_PARAMETER] = "1"
                return None
            return str(self.unit)
        if mnemonic in ("PR1", "PR2"):
            return self._measurement(int(mnemonic[2]))
        if mnemonic == "PRX":
            return f"{self._measurement(1)},{self._measurement(2)}"
        if mnemonic == "ERR":
            word = "".join(self._error)
            self._error = ["0", "0", "0", "0"]
            return word
        if mnemonic == "TID":
            return "PKR,noSEn"
        if mnemonic == "SEN":
            return "2,0"
        if mnemonic == "PNR":
            return "010100" if self.family == "36x" else "302-510-A"
        if mnemonic == "AYT" and self.family == "36x":
            return "TPG 362,PTG28290,44990000,010100,010100"
        self._error[_SYNTAX] = "1"
        return None

    def _set_unit(self, text: str) -> bool:
        highest = 5 if self.family == "36x" else 2
        if not text.isdecimal() or int(text) > highest:
            return False
        self.unit = int(text)
        return True

    def _measurement(self, channel: int) -> str:
        status = self.status.get(channel, _OK)
        if channel in self.text:
            return f"{status},{self.text[channel]}"
        if status == _NO_SENSOR:
            return "5,+2.0000E-02"
        pressure_pa = self.world.chamber.pressure_pa
        if status == _UNDERRANGE:
            pressure_pa = 5e-7
        elif status == _OVERRANGE:
            pressure_pa = 1e5
        per_unit = _PASCAL.get(self.unit)
        value = 4.2 if per_unit is None else pressure_pa / per_unit
        return f"{status},{value:+.4E}"
