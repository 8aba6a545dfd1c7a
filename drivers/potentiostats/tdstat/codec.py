"""Numbers of the TDstatv3 and the MYSTAT: what the bytes of their converters mean.

Sources: firmware and program of thomasdob/tdstatv3 (Dobbelaere et al., HardwareX 2017) at b8cad31 and of
kirkpsmith/mystat at 5eaa688, read for their facts. The two have the same USB ids and strings but different scales;
taking one for the other gives a current that is wrong by 10 or 100 times, silently.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...errors import InvalidValue
from ...interfaces import CurrentRange
from ...samples import Flag

ADC_SPAN = 1 << 21
"""Counts of the 22-bit converter (MCP3550) from zero to full scale."""
DAC_SPAN = 1 << 19
"""Counts of the 20-bit converter (DAC1220) from zero to full scale."""
SAMPLE_BYTES = 6
CONVERSION_S = 0.08
"""Both converters (MCP3550-50) are clocked together: potential and current are means over the same 80 ms."""
FRESH_S = 0.09
"""What the maker's program waits for a conversion: 80 ms and some."""
INTERVAL_MIN_S = 0.1
_NO_VALUE = b"\xff\xff\xff"


@dataclass(frozen=True, slots=True)
class Model:
    """One of the two instruments. Ranges are in the order of their commands: `RANGE 1` first.

    `nominal_a` is what a range is specified for, `full_scale_a` what its converters span (125 % of nominal).
    `shunt_unit` is one count of a stored shunt calibration.
    """

    name: str
    voltage_full_scale_v: float
    nominal_a: tuple[float, ...]
    shunt_unit: float

    @property
    def full_scale_a(self) -> tuple[float, ...]:
        return tuple(1.25 * nominal for nominal in self.nominal_a)

    @property
    def shunt_bytes(self) -> int:
        """Length of the reply to `SHUNTCALREAD`, which is what tells the two apart."""
        return 2 * len(self.nominal_a)


TDSTATV3 = Model("TDstatv3", 8.0, (20e-3, 200e-6, 2e-6), 1e-6)
MYSTAT = Model("MYSTAT", 13.4, (200e-3, 20e-3, 200e-6, 2e-6), 1e-5)
MODELS = {model.shunt_bytes: model for model in (TDSTATV3, MYSTAT)}


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is stored in the instrument. `shunt[i]` is a range's true shunt over its nominal one; offsets are ADC
    counts.
    """

    model: Model
    offset_voltage: float = 0.0
    offset_current: float = 0.0
    shunt: tuple[float, ...] = ()

    @staticmethod
    def of(model: Model, offset_block: bytes, shunt_block: bytes) -> Calibration:
        """From the replies to `OFFSETREAD` and `SHUNTCALREAD`.

        Flash that was never written reads as all 0xFF, whatever its length, and means the defaults. (The MYSTAT's own
        program compares its 8 bytes with six 0xFF and so takes an empty block for a shunt of 1.32767: 33 % off.)
        """
        offsets = (0.0, 0.0) if _empty(offset_block) else (_stored(offset_block[:3]), _stored(offset_block[3:6]))
        if _empty(shunt_block):
            shunt = (1.0,) * len(model.nominal_a)
        else:
            codes = (int.from_bytes(shunt_block[i : i + 2], "big") for i in range(0, len(shunt_block), 2))
            shunt = tuple(1.0 + (code - 0x8000) * model.shunt_unit for code in codes)
        return Calibration(model, *offsets, shunt)

    def full_scale_a(self, index: int) -> float:
        """Current at full scale of the converters on range `index` (0 is `RANGE 1`), by this calibration."""
        return self.model.full_scale_a[index] / self.shunt[index]

    def decode(self, packet: bytes, index: int) -> tuple[float, float, Flag]:
        """Voltage (V), current (A) and flags of a 6-byte sample taken on range `index`."""
        raw_voltage, voltage_flags = decode_adc(packet[:3])
        raw_current, current_flags = decode_adc(packet[3:6])
        voltage = (raw_voltage - self.offset_voltage) / ADC_SPAN * self.model.voltage_full_scale_v
        current = (raw_current - self.offset_current) / ADC_SPAN * self.full_scale_a(index)
        return voltage, current, voltage_flags | current_flags

    def voltage_code(self, voltage_v: float) -> bytes:
        """Three bytes for `DACSET` in potentiostatic mode. Raises `InvalidValue` beyond the converter's span."""
        counts = voltage_v / self.model.voltage_full_scale_v * DAC_SPAN + round(self.offset_voltage / 4)
        return encode_dac(counts, f"voltage {voltage_v:g} V", f"+-{self.model.voltage_full_scale_v:g} V")

    def current_code(self, current_a: float, index: int) -> bytes:
        """Three bytes for `DACSET` in galvanostatic mode on range `index`. Raises `InvalidValue` likewise."""
        full_scale = self.full_scale_a(index)
        counts = current_a / full_scale * DAC_SPAN + round(self.offset_current / 4)
        return encode_dac(counts, f"current {current_a:g} A", f"+-{full_scale:g} A")

    def current_ranges(self) -> tuple[CurrentRange, ...]:
        """Resolutions are one count of the ADC and of the DAC; neither maker gives accuracies."""
        return tuple(
            CurrentRange(
                label=f"RANGE {index + 1}",
                full_scale_a=nominal,
                resolution_a=self.full_scale_a(index) / ADC_SPAN,
                source_resolution_a=self.full_scale_a(index) / DAC_SPAN,
                settling_s=0.2,
            )
            for index, nominal in enumerate(self.model.nominal_a)
        )


def default_calibration(model: Model) -> Calibration:
    return Calibration(model, shunt=(1.0,) * len(model.nominal_a))


def decode_adc(data: bytes) -> tuple[float, Flag]:
    """Counts and flags of three bytes, most significant first.

    Bits 21..0 are two's complement; bit 22 says "above full scale", bit 23 "below", and then extend the number by one
    bit. Both at once, or all ones (no converter answers), is not a value: NaN.
    """
    word = int.from_bytes(data, "big")
    high, low = bool(word & 0x400000), bool(word & 0x800000)
    counts = word & 0x3FFFFF
    if data == _NO_VALUE or (high and low):
        return math.nan, Flag.INVALID | Flag.OVERLOAD
    if low or (not high and counts & 0x200000):
        counts -= 0x400000
    return float(counts), Flag.OVERLOAD if high or low else Flag.NONE


def encode_dac(counts: float, what: str, accepted: str) -> bytes:
    """`counts` around mid scale as the converter's straight binary, left-aligned in three bytes."""
    if not math.isfinite(counts) or not 0 <= (code := DAC_SPAN + round(counts)) < 2 * DAC_SPAN:
        raise InvalidValue(f"{what} is beyond the converter; accepted: {accepted}")
    return (code << 4).to_bytes(3, "big")


def _stored(data: bytes) -> float:
    """A stored offset: written like a DAC code, but its unit is ADC counts."""
    return int.from_bytes(data, "big") / 16 - DAC_SPAN


def _empty(block: bytes) -> bool:
    return block == b"\xff" * len(block)
