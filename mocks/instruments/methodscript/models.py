"""What each instrument of the family can do, as the mock plays it.

Facts as the project's sheet on the protocol gives them; range factors (overload at 2.92 times, warning at 2.46 times,
underload at 0.123 times the name of an EmStat4 range) from a third party's account of the maker's manual.
"""

from __future__ import annotations

from dataclasses import dataclass

GALVANOSTAT_COMMANDS = frozenset({"meas_loop_cp", "set_i"})

#: reply to CC and CM of an EmStat4 LR, firmware 1.500 (the maker's documentation)
CC = 0x2F0000003FFFFF98FF00000002
CM = 0x3FFFFBFE8FFFFFFFFFFFFFFFFFFFFBFFFFE
_CM_GALVANOSTAT = 0xF << 67


@dataclass(frozen=True)
class MockRange:
    """`scale_a` is what the range is called, `full_a` the most it measures, one count of the converter `lsb_a`."""

    index: int
    scale_a: float
    full_a: float
    warn_a: float
    under_a: float
    lsb_a: float


@dataclass(frozen=True)
class MockModel:
    code: str
    serial: str
    version: str
    low_v: float
    high_v: float
    current_max_a: float
    ranges: tuple[MockRange, ...]
    fast_ranges: tuple[MockRange, ...]
    galvanostat: bool
    baud: int | None
    frequency_max_hz: float = 200e3
    amplitude_max_v: float = 0.9
    voltage_lsb_v: float = 50e-6

    @property
    def refused(self) -> frozenset[str]:
        return frozenset() if self.galvanostat else GALVANOSTAT_COMMANDS

    @property
    def commands(self) -> int:
        return CM if self.galvanostat else CM & ~_CM_GALVANOSTAT


def _decades(first: int, last: int, start_index: int, step: int) -> tuple[MockRange, ...]:
    ranges = []
    for place, exponent in enumerate(range(first, last + 1)):
        scale = float(f"1e{exponent}")
        index = start_index + step * place
        ranges.append(MockRange(index, scale, 2.92 * scale, 2.46 * scale, 0.123 * scale, 9.2e-5 * scale))
    return tuple(ranges)


def _pico_ranges(first_index: int, named: list[float], full: list[float]) -> tuple[MockRange, ...]:
    return tuple(
        MockRange(first_index + place, scale, most, 0.9 * most, 0.05 * most, 6e-5 * scale)
        for place, (scale, most) in enumerate(zip(named, full, strict=True))
    )


_PICO_LOW = _pico_ranges(
    0,
    [100e-9, 2e-6, 4e-6, 8e-6, 16e-6, 32e-6, 63e-6, 125e-6, 250e-6, 500e-6, 1e-3, 5e-3],
    [60e-9, 1.17e-6, 2.34e-6, 4.68e-6, 9.38e-6, 18.7e-6, 37.5e-6, 75e-6, 150e-6, 300e-6, 600e-6, 3e-3],
)
_PICO_HIGH = _pico_ranges(
    128,
    [100e-9, 1e-6, 6e-6, 13e-6, 25e-6, 50e-6, 100e-6, 200e-6, 1e-3, 5e-3],
    [60e-9, 0.6e-6, 3.6e-6, 7.8e-6, 15e-6, 30e-6, 60e-6, 120e-6, 600e-6, 3e-3],
)
_LR = _decades(-9, -2, 3, 3)
_HR = _decades(-7, -1, 9, 3)
_NEXUS = _decades(-9, 0, 0, 1)

MODELS = {
    model.code: model
    for model in (
        MockModel("espico", "ESP1234567", "1304", -1.7, 2.0, 3e-3, _PICO_LOW, _PICO_HIGH, False, 230400,
                  amplitude_max_v=0.429),
        MockModel("senswb", "SWB1234567", "1304", -1.7, 2.0, 3e-3, _PICO_LOW, _PICO_HIGH, False, 230400,
                  amplitude_max_v=0.429),
        MockModel("es4_lr", "ES4LR20B0008", "1500", -3.0, 3.0, 30e-3, _LR, _LR, True, None),
        MockModel("es4_hr", "ES4HR20B0009", "1500", -6.0, 6.0, 200e-3, _HR, _HR, True, None),
        MockModel("mes4lr", "MES4LR20B0001CH001", "1500", -3.0, 3.0, 30e-3, _LR, _LR, True, None),
        MockModel("mes4hr", "MES4HR20B0001CH001", "1500", -6.0, 6.0, 200e-3, _HR, _HR, True, None),
        MockModel("nexus1", "NX20B0001", "1200", -10.0, 10.0, 1.0, _NEXUS, _NEXUS, True, None,
                  frequency_max_hz=1e6, amplitude_max_v=0.3),
        MockModel("espbl", "", "10", 0.0, 0.0, 0.0, (), (), False, 230400),
    )
}  # fmt: skip
