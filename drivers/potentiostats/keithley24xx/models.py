"""What each model can do, as tables.

Sources, all public: 6430 reference manual p. A-3 (measure, settling, input resistance, minimum compliance 0.1 % of
range); SPEC-2400 rev. H and SPEC-2440 rev. C (measure); 2400 series user's manual table 3-1 (ranges of the 2400 and
2410; sources and measures 5 % beyond the range); SPEC-2450 rev. A (source and measure). One step of the current source
is 1/20000 of the range: stated for every range of the 2450 and for 50 pA on the 1 uA range of the 2400, taken to hold
for the rest of the family. Where no accuracy was to be found in a public source there is None: the measured current is
what counts then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import InvalidValue
from ...interfaces import CurrentRange

#: Source and measure reach 5 % beyond the range (2400 user's manual table 3-1).
OVERRANGE = 1.05
#: A set point beyond this part of a range leaves no room for noise: the next range is taken. On the low ranges pick-up
#: is as large as the current, and one reading beyond the end of the range is an overload that ends a run of days.
HEADROOM, HEADROOM_LOW = 0.9, 0.3
LOW_RANGE_A = 1e-9
#: The compliance is at least this part of its range (6430 manual A-3).
COMPLIANCE_MIN = 1e-3
SOURCE_STEP = 5e-5


@dataclass(frozen=True, slots=True)
class Model:
    """One model. `scpi_2400`: it speaks the dialect of the 2400 (the 2450 can do so too, if switched to it)."""

    name: str
    scpi_2400: bool
    current_ranges: tuple[CurrentRange, ...]
    voltage_ranges_v: tuple[float, ...]
    input_resistance_ohm: float
    notes: tuple[str, ...] = ()

    @property
    def voltage_max_v(self) -> float:
        return self.voltage_ranges_v[-1]

    @property
    def current_max_a(self) -> float:
        return self.current_ranges[-1].full_scale_a

    def range_for_current(self, current_a: float) -> CurrentRange:
        """The smallest range in which a source of `current_a` has head-room. Raises `InvalidValue`."""
        for candidate in self.current_ranges:
            headroom = HEADROOM_LOW if candidate.full_scale_a <= LOW_RANGE_A * (1 + 1e-9) else HEADROOM
            if abs(current_a) <= headroom * candidate.full_scale_a:
                return candidate
        if abs(current_a) <= self.current_max_a * (1 + 1e-9):
            return self.current_ranges[-1]
        raise InvalidValue(
            f"current_a is {current_a:g} A; the {self.name} sources up to {self.current_max_a:g} A either way"
        )

    def range_for_limit(self, current_a: float) -> CurrentRange:
        """The smallest range that still reads `current_a`. Raises `InvalidValue`."""
        for candidate in self.current_ranges:
            if current_a <= OVERRANGE * candidate.full_scale_a:
                return candidate
        raise InvalidValue(
            f"current_limit_a is {current_a:g} A; the {self.name} goes up to {self.current_max_a * OVERRANGE:g} A"
        )

    def range_named(self, full_scale_a: float, *, field: str) -> CurrentRange:
        """The range whose full scale this is. Raises `InvalidValue` naming those there are."""
        for candidate in self.current_ranges:
            if abs(full_scale_a - candidate.full_scale_a) <= 1e-3 * candidate.full_scale_a:
                return candidate
        accepted = ", ".join(candidate.label for candidate in self.current_ranges)
        raise InvalidValue(f"{field} is {full_scale_a:g} A, which the {self.name} does not have; accepted: {accepted}")

    def range_for_voltage(self, voltage_v: float, *, field: str) -> float:
        """The smallest voltage range that holds `voltage_v`. Raises `InvalidValue`."""
        for candidate in self.voltage_ranges_v:
            if abs(voltage_v) <= candidate * (1 + 1e-9):
                return candidate
        raise InvalidValue(
            f"{field} is {voltage_v:g} V; the {self.name} goes up to {self.voltage_max_v:g} V either way"
        )


_PREFIXES = ((1e-12, "p"), (1e-9, "n"), (1e-6, "u"), (1e-3, "m"), (1.0, ""))


def _label(full_scale_a: float) -> str:
    factor, prefix = next(item for item in reversed(_PREFIXES) if full_scale_a >= item[0] * (1 - 1e-9))
    return f"{full_scale_a / factor:g} {prefix}A"


def _ranges(
    *rows: tuple[float, float | None, float | None, float | None],
    settling_s: Sequence[float] | float = 0.005,
) -> tuple[CurrentRange, ...]:
    """Rows of (full scale, measure resolution, gain error, offset error), smallest range first."""
    settling = [settling_s] * len(rows) if isinstance(settling_s, float | int) else settling_s
    return tuple(
        CurrentRange(
            label=_label(full_scale),
            full_scale_a=full_scale,
            resolution_a=resolution,
            gain_error=gain,
            offset_error_a=offset,
            source_resolution_a=full_scale * SOURCE_STEP,
            settling_s=wait,
        )
        for (full_scale, resolution, gain, offset), wait in zip(rows, settling, strict=True)
    )


_RANGES_6430 = _ranges(
    (1e-12, 10e-18, 1.0e-2, 7e-15),
    (10e-12, 100e-18, 0.5e-2, 7e-15),
    (100e-12, 1e-15, 0.15e-2, 30e-15),
    (1e-9, 10e-15, 0.05e-2, 200e-15),
    (10e-9, 100e-15, 0.05e-2, 2e-12),
    (100e-9, 1e-12, 0.05e-2, 20e-12),
    (1e-6, 10e-12, 0.05e-2, 300e-12),
    (10e-6, 100e-12, 0.05e-2, 2e-9),
    (100e-6, 1e-9, 0.025e-2, 6e-9),
    (1e-3, 10e-9, 0.027e-2, 60e-9),
    (10e-3, 100e-9, 0.035e-2, 600e-9),
    (100e-3, 1e-6, 0.055e-2, 6e-6),
    settling_s=(2.0, 2.0, 0.05, 0.05, 0.05, 0.005, 0.005, 0.005, 0.005, 0.005, 0.005, 0.005),
)

_RANGES_2400 = _ranges(
    (1e-6, 10e-12, 0.029e-2, 300e-12),
    (10e-6, 100e-12, 0.027e-2, 700e-12),
    (100e-6, 1e-9, 0.025e-2, 6e-9),
    (1e-3, 10e-9, 0.027e-2, 60e-9),
    (10e-3, 100e-9, 0.035e-2, 600e-9),
    (100e-3, 1e-6, 0.055e-2, 6e-6),
    (1.0, 10e-6, 0.22e-2, 570e-6),
)

_RANGES_2410 = _ranges(
    *((full_scale, None, None, None) for full_scale in (1e-6, 10e-6, 100e-6, 1e-3, 20e-3, 100e-3, 1.0))
)

_RANGES_2440 = _ranges(
    (10e-6, 100e-12, 0.027e-2, 700e-12),
    (100e-6, 1e-9, 0.025e-2, 6e-9),
    (1e-3, 10e-9, 0.027e-2, 60e-9),
    (10e-3, 100e-9, 0.035e-2, 600e-9),
    (100e-3, 1e-6, 0.055e-2, 6e-6),
    (1.0, 10e-6, 0.060e-2, 570e-6),
    (5.0, 10e-6, 0.10e-2, 3.42e-3),
)

#: 2420, 2425 and 2430 (DC mode): lowest range 10 uA, highest 3 A (2400 user's manual p. 18-75)
_RANGES_3A = _ranges(*((full_scale, None, None, None) for full_scale in (10e-6, 100e-6, 1e-3, 10e-3, 100e-3, 1.0, 3.0)))

#: full scale, source gain error, source offset, source noise (rms, < 10 Hz), measure resolution, gain error, offset
_ROWS_2450 = (
    (10e-9, 0.100e-2, 100e-12, 500e-15, 10e-15, 0.10e-2, 50e-12),
    (100e-9, 0.060e-2, 150e-12, 500e-15, 100e-15, 0.060e-2, 100e-12),
    (1e-6, 0.025e-2, 400e-12, 5e-12, 1e-12, 0.025e-2, 300e-12),
    (10e-6, 0.025e-2, 1.5e-9, 40e-12, 10e-12, 0.025e-2, 700e-12),
    (100e-6, 0.020e-2, 15e-9, 400e-12, 100e-12, 0.02e-2, 6e-9),
    (1e-3, 0.020e-2, 150e-9, 5e-9, 1e-9, 0.02e-2, 60e-9),
    (10e-3, 0.020e-2, 1.5e-6, 40e-9, 10e-9, 0.02e-2, 600e-9),
    (100e-3, 0.025e-2, 15e-6, 100e-9, 100e-9, 0.025e-2, 6e-6),
    (1.0, 0.067e-2, 900e-6, 3e-6, 1e-6, 0.03e-2, 500e-6),
)

_RANGES_2450 = tuple(
    CurrentRange(
        label=_label(full_scale),
        full_scale_a=full_scale,
        resolution_a=resolution,
        gain_error=gain,
        offset_error_a=offset,
        source_resolution_a=full_scale * SOURCE_STEP,
        source_gain_error=source_gain,
        source_offset_error_a=source_offset,
        noise_a_rms=noise,
        settling_s=0.005,
    )
    for full_scale, source_gain, source_offset, noise, resolution, gain, offset in _ROWS_2450
)

_NOT_PICOAMPERES = "input resistance 10 Gohm: at 4 V it takes 400 pA from a cell"

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model(
            "6430",
            True,
            _RANGES_6430,
            (0.2, 2.0, 20.0, 200.0),
            1e16,
            ("ranges below 1 uA need the remote preamplifier",),
        ),
        Model("2400", True, _RANGES_2400, (0.2, 2.0, 20.0, 200.0), 1e10, (_NOT_PICOAMPERES,)),
        Model("2400-LV", True, _RANGES_2400, (0.2, 2.0, 20.0), 1e10, (_NOT_PICOAMPERES,)),
        Model("2401", True, _RANGES_2400, (0.2, 2.0, 20.0), 1e10, (_NOT_PICOAMPERES,)),
        Model("2410", True, _RANGES_2410, (0.2, 2.0, 20.0, 1000.0), 1e10, (_NOT_PICOAMPERES,)),
        Model("2420", True, _RANGES_3A, (0.2, 2.0, 20.0, 60.0), 1e10, (_NOT_PICOAMPERES,)),
        Model("2425", True, _RANGES_3A, (0.2, 2.0, 20.0, 100.0), 1e10, (_NOT_PICOAMPERES,)),
        Model("2430", True, _RANGES_3A, (0.2, 2.0, 20.0, 100.0), 1e10, (_NOT_PICOAMPERES, "DC mode only")),
        Model("2440", True, _RANGES_2440, (0.2, 2.0, 10.0, 40.0), 1e10, (_NOT_PICOAMPERES,)),
        Model("2450", False, _RANGES_2450, (0.02, 0.2, 2.0, 20.0, 200.0), 1e10, (_NOT_PICOAMPERES,)),
    )
}


def model_of(text: str) -> Model | None:
    """The model that the second field of `*IDN?` names ("MODEL 2400", "MODEL 2400-C"), or None."""
    name = text.upper().replace("MODEL", "").strip()
    return MODELS.get(name) or MODELS.get(name.removesuffix("C").rstrip("-"))
