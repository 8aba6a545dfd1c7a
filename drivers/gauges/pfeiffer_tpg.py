"""Pfeiffer TPG 26x and 36x gauge controllers, mnemonics protocol.

Sources: Pfeiffer "TPG 361, TPG 362 Communication Protocol" BG 5510 (mnemonics, AYT, ERR, units 0 to 5); "TPG 262
Operating Instructions" BG 805 196 and "TPG 261" BG 5195 (RS232C, COM, status digits, `5,2.0000E-2` when no gauge is
connected); Inficon VGC50x manual tina96e1 (the same protocol: ERROR word, status 7 for ionisation gauges). Codes 3
micron, 4 hPa, 5 V of `UNI` were recalled in our sheet; two public clients agree with BG 5510 on them (the Rust crate
pfeiffer-tpg36x, a Python class TPG36x).

An exchange: host `UNI` CR LF; controller ACK CR LF (or NAK CR LF); host ENQ alone; controller the data, CR LF. After
power-up the controller streams measurements until it gets the first character, so the link begins with a bare CR LF.
"""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from ..errors import DeviceError, DeviceTimeout, InvalidValue, LinkError, ProtocolError, WrongDevice
from ..interfaces import Gauge, GaugeStatus, Identity, Options, Pressure, option
from ..queries import ask_again
from ..transports import Conversation, Link
from ..transports.lines import read_line

_LOG = logging.getLogger(__name__)

ENQ = b"\x05"
ACK = b"\x06"
NAK = b"\x15"

#: What one unit is in pascal. Torr is 101325/760 Pa by definition, a micron a thousandth of it.
_TORR = Fraction(101325, 760)
PASCALS_PER_UNIT: dict[int, Fraction] = {
    0: Fraction(100),  # mbar
    1: _TORR,
    2: Fraction(1),  # Pa
    3: _TORR / 1000,  # micron of mercury
    4: Fraction(100),  # hPa
}
_VOLT = 5
#: An atmosphere is 760 000 micron.
_IMPLAUSIBLE = 10**9

_STATUS: dict[int, GaugeStatus] = {
    0: GaugeStatus.OK,
    1: GaugeStatus.UNDERRANGE,
    2: GaugeStatus.OVERRANGE,
    3: GaugeStatus.SENSOR_ERROR,
    4: GaugeStatus.OFF,
    5: GaugeStatus.NO_SENSOR,
    6: GaugeStatus.IDENTIFICATION_ERROR,
    7: GaugeStatus.SENSOR_ERROR,  # Inficon: error of a BPG, HPG or BCG
}

#: The digits of the ERROR word, left to right.
_ERROR_WORD = (
    "controller error, see its display",
    "hardware not installed",
    "inadmissible parameter",
    "syntax error",
)

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
_MEASUREMENTS = re.compile(rb"[0-7],[ +-]*[\d.]+([eE][+-]?\d+)?(,|$)")
_TERMINATORS = {"CR LF": b"\r\n", "\r\n": b"\r\n", "CR": b"\r", "\r": b"\r"}

_ANSWER_S = 1.0
_QUIET_S = 0.2
#: lines of the power-up stream that may still be under way when the first command is sent
_STREAM_LINES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PfeifferTpgOptions(Options):
    channel: int = option(1, help="measuring channel: 1 or 2 (TPG 366: 1 to 6)")
    terminator: str = option("CR LF", help='end of a command: "CR LF", or "CR" for an old TPG 26x')

    def __post_init__(self) -> None:
        if isinstance(self.channel, bool) or not 1 <= self.channel <= 6:
            raise InvalidValue(f"channel is {self.channel!r}; accepted: 1 to 6")
        if self.terminator not in _TERMINATORS:
            raise InvalidValue(f'terminator is {self.terminator!r}; accepted: "CR LF", "CR"')


class PfeifferTpg(Gauge):
    """One channel of a gauge controller.

    The unit is asked for with every reading, because anybody can change it at the front panel at any time, and a
    reading in mbar taken for pascal would permit a hundred times too early.
    """

    options_type: ClassVar[type[Options]] = PfeifferTpgOptions
    wire_defaults: ClassVar[dict[str, dict[str, str]]] = {"serial": {"baud": "9600"}}
    options: PfeifferTpgOptions

    def _set_up(self) -> None:
        self._end = _TERMINATORS[self.options.terminator]
        self._link = Link(self.transport, self._synchronise, name=self.name, quiet_s=_QUIET_S)
        self._knows_ayt = True
        self._firmware: str | None = None

    async def _connect(self) -> Identity:
        self._knows_ayt = True
        self._firmware = None
        await self._link.open()
        return await self.identify()

    async def identify(self) -> Identity:
        """Model, serial number and firmware by `AYT` (36x: "TPG 362,PTG28290,44990000,010100,010100"); a controller
        without it (26x) tells its firmware by `PNR` and nothing else; one without either is known by its units alone.
        """
        if self._knows_ayt:
            try:
                (answer,) = await self._query("identify", "AYT")
            except (DeviceError, DeviceTimeout):
                self._knows_ayt = False
            else:
                parts = [part.strip() for part in answer.split(",")] + [""] * 4
                make = "Inficon" if parts[0].upper().startswith("VGC") else "Pfeiffer Vacuum"
                return Identity(make, parts[0] or "TPG", serial=parts[2], firmware=parts[3])
        await self._query("identify", "UNI")
        if self._firmware is None:
            try:
                (answer,) = await self._query("identify", "PNR")
                self._firmware = answer.strip()
            except (DeviceError, DeviceTimeout):
                self._firmware = ""
        return Identity("Pfeiffer Vacuum", "TPG 26x", firmware=self._firmware)

    async def pressure(self) -> Pressure:
        """The channel's pressure now.

        Raises `DeviceError` (command refused, with the controller's reason; display set to volts), `LinkError`s.
        """
        return await ask_again(self._pressure)

    async def _pressure(self) -> Pressure:
        unit_text, reading = await self._query("pressure", "UNI", f"PR{self.options.channel}")
        status, value = _parse_reading(reading)
        unit = _parse_unit(unit_text)
        if unit == _VOLT:
            raise DeviceError(
                "the controller is set to volts, which is no pressure",
                device=self.name,
                operation="pressure",
                hint="Set its unit to mbar, hPa, Torr, micron or Pa.",
                code=unit,
            )
        factor = PASCALS_PER_UNIT.get(unit)
        if factor is None:
            _LOG.warning("%s: unit %d is not known, so no pressure is valid", self.name, unit)
        if status is not GaugeStatus.OK or factor is None:
            # outside the range the controller repeats a limit or a filler (2.0000E-2 for no gauge): not a measurement
            return Pressure(math.nan, False, status)
        pressure_pa = float(value * factor)
        return Pressure(pressure_pa, pressure_pa > 0, status)

    async def _query(self, operation: str, *mnemonics: str) -> list[str]:
        """The data lines of several commands in one transaction. Raises `DeviceError` with the ERROR word's meaning."""
        try:
            async with self._link.transaction(operation) as conversation:
                return [await self._ask(conversation, mnemonic) for mnemonic in mnemonics]
        except DeviceError as error:
            await self._explain(error)
            raise

    async def _explain(self, error: DeviceError) -> None:
        try:
            async with self._link.transaction("error status") as conversation:
                word = (await self._ask(conversation, "ERR")).strip()
        except (LinkError, DeviceError):
            return  # the refusal itself is what the user must see
        causes = [text for digit, text in zip(word, _ERROR_WORD, strict=False) if digit == "1"]
        error.detail["code"] = word
        if causes:
            error.message += f": {', '.join(causes)}"

    async def _ask(self, conversation: Conversation, mnemonic: str, *, skip: int = 0) -> str:
        """One exchange. `skip`: how many measurements streamed before the acknowledgement are passed over.

        Raises `DeviceError` on NAK, `ProtocolError`, `DeviceTimeout`, `DeviceLost`.
        """
        await conversation.send(mnemonic.encode("ascii") + self._end)
        line = await read_line(conversation, _ANSWER_S)
        while skip and _MEASUREMENTS.match(line):
            skip -= 1
            line = await read_line(conversation, _ANSWER_S)
        if line == NAK:
            raise DeviceError(f"the gauge controller refused {mnemonic}")
        if line != ACK:
            raise ProtocolError(f"the gauge controller answered {mnemonic} with {line!r} instead of ACK or NAK")
        await conversation.send(ENQ)
        return (await read_line(conversation, _ANSWER_S)).decode("latin-1")

    async def _synchronise(self, conversation: Conversation) -> None:
        """Two questions whose answers differ in form, so that a late answer to one cannot pass for the other's."""
        await conversation.send(self._end)
        await conversation.drain(_QUIET_S)
        try:
            _parse_unit(await self._ask(conversation, "UNI", skip=_STREAM_LINES))
        except DeviceError as error:
            raise WrongDevice(
                "the device refuses UNI, which every TPG knows",
                hint="It answered, so wire and settings are right: is it a TPG 26x or 36x, and is its interface set to "
                "the mnemonics protocol?",
            ) from error
        try:
            _parse_reading(await self._ask(conversation, f"PR{self.options.channel}"))
        except DeviceError:
            return  # refused in due form: in step all the same, and `pressure` will say why


def _parse_unit(text: str) -> int:
    digit = text.strip()
    if not re.fullmatch(r"[0-9]", digit):
        raise ProtocolError(f"the gauge controller gave {text!r} as its unit; a digit was expected")
    return int(digit)


def _parse_reading(text: str) -> tuple[GaugeStatus, Fraction]:
    """`"0,+1.7377E+00"`: status, and the exact number in the controller's unit."""
    status_text, comma, number = (part.strip() for part in text.partition(","))
    if not comma or not re.fullmatch(r"\d", status_text) or not _NUMBER.fullmatch(number):
        raise ProtocolError(
            f"the gauge controller gave {text!r} as a measurement; such as '0,+1.7377E+00' was expected"
        )
    status = _STATUS.get(int(status_text))
    if status is None:
        raise ProtocolError(f"the gauge controller gave status {status_text}, which no manual knows")
    value = Fraction(number)
    if abs(value) >= _IMPLAUSIBLE:
        raise ProtocolError(f"the gauge controller gave {text!r}, which is no pressure in any of its units")
    return status, value
