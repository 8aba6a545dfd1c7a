"""A simulated TDstatv3 or MYSTAT, as the published firmware behaves (thomasdob/tdstatv3, kirkpsmith/mystat).

Packets in, packets out, one for one. Commands match by exact length. While a reply waits to be read the instrument
spins and takes nothing. There is no watchdog: the set point stays until somebody changes it or takes the power away.
Readings come from the world, through the quantisation of the 22-bit converters; set points go to it through that of
the 20-bit one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar

from ..instrument import Instrument
from ..wires.usb_device import Endpoint, UsbDescriptor
from ..world import CurrentDrive, OpenDrive, VoltageDrive, World

_MS = 1_000_000
_CONVERSION_NS = 80 * _MS
_RANGE_NS = 10 * _MS
_DAC_CALIBRATION_NS = 500 * _MS
_EMPTY = b"\xff"


@dataclass(frozen=True, slots=True)
class _Hardware:
    """`full_scale_a` by range, `RANGE 1` first. `ppm` is what one count of a stored shunt calibration is worth."""

    full_scale_v: float
    full_scale_a: tuple[float, ...]
    compliance_v: float
    ppm: int


_MODELS = {
    "tdstatv3": _Hardware(8.0, (25e-3, 250e-6, 2.5e-6), 9.0, 1),
    "mystat": _Hardware(13.4, (250e-3, 25e-3, 250e-6, 2.5e-6), 14.5, 10),
}


@dataclass(slots=True)
class _Conversion:
    """Both converters at work since `start_ns`. Parts are (nanoseconds, mean voltage, mean current)."""

    start_ns: int
    parts: list[tuple[int, float, float]] = field(default_factory=list)

    @property
    def done_ns(self) -> int:
        return sum(part[0] for part in self.parts)

    def means(self) -> tuple[float, float]:
        total = self.done_ns
        return (
            sum(ns * voltage for ns, voltage, _ in self.parts) / total,
            sum(ns * current for ns, _, current in self.parts) / total,
        )


class TdstatMock(Instrument):
    """`model` is "tdstatv3" or "mystat". `offset_voltage` and `offset_current` are the converters' true offsets (ADC
    counts), `shunt` the true shunts over their nominal values; with `calibrated` the flash holds them, otherwise it
    is empty.
    """

    wire: ClassVar[str] = "usb"
    usb: ClassVar[UsbDescriptor] = UsbDescriptor(
        vid=0xA0A0,
        pid=0x0002,
        manufacturer="CoCooN research group",
        product="USB Potentiostat/galvanostat",
        serial="0001",
        bcd_device=0x0001,
        endpoints=(Endpoint(0x81), Endpoint(0x01)),
    )

    def __init__(
        self,
        world: World,
        name: str = "tdstat",
        *,
        model: str = "tdstatv3",
        calibrated: bool = True,
        offset_voltage: int = 0,
        offset_current: int = 0,
        shunt: tuple[float, ...] = (),
        input_resistance_ohm: float = 1e13,
        bias_current_a: float = 0.0,
    ) -> None:
        super().__init__(world, name)
        if model not in _MODELS:
            raise ValueError(f"model {model!r}; accepted: {', '.join(_MODELS)}")
        self._hardware = _MODELS[model]
        ranges = len(self._hardware.full_scale_a)
        self._shunt = tuple(shunt) or (1.0,) * ranges
        if len(self._shunt) != ranges:
            raise ValueError(f"shunt has {len(self._shunt)} values; a {model} has {ranges} ranges")
        self._offsets = (offset_voltage, offset_current)
        self._terminals = world.terminals(name, input_resistance_ohm, bias_current_a)
        self.flash = {"offset": _EMPTY * 6, "dac": _EMPTY * 6, "shunt": _EMPTY * (2 * ranges)}
        if calibrated:
            self.flash["offset"] = b"".join(((n + (1 << 19)) << 4).to_bytes(3, "big") for n in self._offsets)
            codes = (0x8000 + round((k - 1.0) * 1e6 / self._hardware.ppm) for k in self._shunt)
            self.flash["shunt"] = b"".join(code.to_bytes(2, "big") for code in codes)
        #: a relay welded shut, for tests: the instrument says OK and the cell stays connected
        self.relay_stuck = False
        self.reset()

    def reset(self) -> None:
        self.cell_on = False
        self.galvanostatic = False
        self.range = 1
        self.dac_code = 1 << 19
        self._waiting: deque[bytes] = deque()
        self._busy = False
        self._conversion = _Conversion(self.timeline.now_ns)
        self._terminals.set_drive(self.timeline.now_ns, OpenDrive())

    # --- packets ---------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        self._waiting.append(data)
        self._serve()

    def packets_taken(self) -> None:
        """The host has read the reply: the instrument stops spinning."""
        self._serve()

    def _serve(self) -> None:
        while self._waiting and not self._busy and not getattr(self.port, "unread", False):
            self._interpret(self._waiting.popleft())

    def _interpret(self, packet: bytes) -> None:
        self.record.append(packet.decode("latin-1"))
        if packet in (b"CELL ON", b"CELL OFF"):
            self.cell_on = packet == b"CELL ON" or (self.relay_stuck and self.cell_on)
            self._drive()
            self.send(b"OK")
        elif packet in (b"POTENTIOSTATIC", b"GALVANOSTATIC"):
            self.galvanostatic = packet == b"GALVANOSTATIC"
            self._drive()
            self.send(b"OK")
        elif len(packet) == 7 and packet[:6] == b"RANGE " and packet[6] - 0x30 in range(1, len(self._shunt) + 1):
            self._later(_RANGE_NS, self._select_range, packet[6] - 0x30)
        elif len(packet) == 10 and packet[:7] == b"DACSET ":
            self.dac_code = int.from_bytes(packet[7:], "big") >> 4
            self._drive()
            self.send(b"OK")
        elif packet == b"ADCREAD":
            self.send(self._adc_read())
        else:
            self._interpret_calibration(packet)

    def _interpret_calibration(self, packet: bytes) -> None:
        reads = {b"OFFSETREAD": "offset", b"DACCALGET": "dac", b"SHUNTCALREAD": "shunt"}
        writes = {b"OFFSETSAVE ": "offset", b"DACCALSET ": "dac", b"SHUNTCALSAVE ": "shunt"}
        if packet in reads:
            self.send(self.flash[reads[packet]])
            return
        if packet == b"DACCAL":
            self._later(_DAC_CALIBRATION_NS, self._calibrate_dac, 0)
            return
        for word, block in writes.items():
            if packet.startswith(word) and len(packet) == len(word) + len(self.flash[block]):
                self.flash[block] = packet[len(word) :]
                self.send(b"OK")
                return
        self.send(b"?")

    def _later(self, duration_ns: int, act: object, argument: int) -> None:
        self._busy = True
        self.spawn(self._act_later(duration_ns, act, argument))

    async def _act_later(self, duration_ns: int, act: object, argument: int) -> None:
        await self.timeline.work(duration_ns)
        assert callable(act)
        act(argument)
        self._busy = False
        self.send(b"OK")
        self._serve()

    def _select_range(self, number: int) -> None:
        self._convert_until(self.timeline.now_ns)
        self.range = number
        self._drive()

    def _calibrate_dac(self, _: int) -> None:
        self.flash["dac"] = bytes.fromhex("800000 800000")

    # --- the circuit -----------------------------------------------------------------------------------------------

    @property
    def _full_scale_a(self) -> float:
        return self._hardware.full_scale_a[self.range - 1] / self._shunt[self.range - 1]

    def _drive(self) -> None:
        """Put the state into force. What the converters have seen so far was the old one."""
        now = self.timeline.now_ns
        self._convert_until(now)
        counts = self.dac_code - (1 << 19)
        if not self.cell_on:
            self._terminals.set_drive(now, OpenDrive())
        elif self.galvanostatic:
            current = (counts - self._offsets[1] / 4) / (1 << 19) * self._full_scale_a
            self._terminals.set_drive(now, CurrentDrive(current, self._hardware.compliance_v))
        else:
            voltage = (counts - self._offsets[0] / 4) / (1 << 19) * self._hardware.full_scale_v
            self._terminals.set_drive(now, VoltageDrive(voltage, 1.2 * self._full_scale_a))

    def _convert_until(self, now_ns: int) -> None:
        """Let the converters integrate up to now, or to the end of their conversion."""
        conversion = self._conversion
        start = conversion.start_ns + conversion.done_ns
        duration = min(now_ns, conversion.start_ns + _CONVERSION_NS) - start
        if duration > 0:
            reading = self._terminals.measure(start, duration)
            current = reading.current_a if self.cell_on else 0.0
            conversion.parts.append((duration, reading.voltage_v, current))

    def _adc_read(self) -> bytes:
        now = self.timeline.now_ns
        self._convert_until(now)
        if self._conversion.done_ns < _CONVERSION_NS:
            return b"WAIT"
        voltage, current = self._conversion.means()
        self._conversion = _Conversion(now)
        return _counts(voltage / self._hardware.full_scale_v, self._offsets[0]) + _counts(
            current / self._full_scale_a, self._offsets[1]
        )


def _counts(fraction: float, offset: int) -> bytes:
    """A converter's three bytes. It goes on counting to 12 % beyond full scale and says so in bits 22 and 23."""
    span = 1 << 21
    count = round(min(max(fraction * span + offset, -1.12 * span), 1.12 * span))
    flags = 0x400000 if count >= span else 0x800000 if count < -span else 0
    return (flags | count & 0x3FFFFF).to_bytes(3, "big")
