"""What a technique means in this instrument's words, with everything refused that it cannot do, before anything is
sent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from ...errors import InvalidValue
from ...techniques import (
    CurrentSequence,
    CyclicVoltammetry,
    Galvanostatic,
    Impedance,
    OpenCircuit,
    Potentiostatic,
    Technique,
)
from ..staircase import set_points, step_s
from .codec import DAC_SPAN, INTERVAL_MIN_S, Calibration
from .protocol import GALVANOSTATIC, POTENTIOSTATIC


class Settings(Protocol):
    """What of the driver's options a plan depends on."""

    @property
    def set_point_error_max(self) -> float: ...

    @property
    def current_range_a(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """`set_point` is the DAC's three bytes; `steps`, if any, are those of a staircase, one an interval.

    `current_a` is the current that is known to flow once the cell is on, NaN where the cell decides.
    """

    mode: bytes
    range_index: int
    set_point: bytes
    interval_s: float
    cell_on: bool = True
    current_a: float = math.nan
    expected_a: float | None = None
    steps: tuple[bytes, ...] = ()

    @property
    def label(self) -> str:
        return f"RANGE {self.range_index + 1}"


def make_plan(technique: Technique, calibration: Calibration, settings: Settings) -> Plan:
    """Raises `InvalidValue` for what the instrument cannot do."""
    lowest = len(calibration.model.nominal_a) - 1
    if isinstance(technique, OpenCircuit):
        index = _fixed_range(calibration, settings, lowest)
        zero = calibration.voltage_code(0.0)
        return Plan(POTENTIOSTATIC, index, zero, _interval(technique.interval_s), cell_on=False)
    if isinstance(technique, Galvanostatic):
        current = technique.current_a
        index = _range_for(abs(current), calibration, settings, "current_a")
        _check_resolution(current, calibration.full_scale_a(index) / DAC_SPAN, settings.set_point_error_max)
        return Plan(
            GALVANOSTATIC,
            index,
            calibration.current_code(current, index),
            _interval(technique.interval_s),
            current_a=current,
            expected_a=current,
        )
    if isinstance(technique, Potentiostatic):
        index = _range_for(technique.current_limit_a, calibration, settings, "current_limit_a")
        code = calibration.voltage_code(technique.voltage_v)
        return Plan(POTENTIOSTATIC, index, code, _interval(technique.interval_s))
    assert not isinstance(technique, Impedance)
    dwell = step_s(technique)
    if isinstance(technique, CyclicVoltammetry):
        if dwell < INTERVAL_MIN_S * (1 - 1e-9):
            raise InvalidValue(
                f"rate_v_per_s {technique.rate_v_per_s:g} with step_v {technique.step_v:g} asks for a step every "
                f"{dwell:g} s; accepted: at least {INTERVAL_MIN_S:g} s a step",
                hint=f"Use a rate of at most {technique.step_v / INTERVAL_MIN_S:g} V/s, or larger steps.",
            )
    else:
        _interval(dwell)
    levels = set_points(technique)
    assert levels is not None
    if isinstance(technique, CurrentSequence):
        largest = max(abs(current) for current in technique.currents_a)
        index = _range_for(largest, calibration, settings, "the largest of currents_a")
        _check_resolution(
            largest,
            calibration.full_scale_a(index) / DAC_SPAN,
            settings.set_point_error_max,
            "the largest of currents_a",
        )
        codes = tuple(calibration.current_code(current, index) for current in levels)
        return Plan(GALVANOSTATIC, index, codes[0], dwell, current_a=largest, steps=codes)
    index = _range_for(technique.current_limit_a, calibration, settings, "current_limit_a")
    codes = tuple(calibration.voltage_code(voltage) for voltage in levels)
    return Plan(POTENTIOSTATIC, index, codes[0], dwell, steps=codes)


def _interval(interval_s: float) -> float:
    if interval_s < INTERVAL_MIN_S * (1 - 1e-9):
        raise InvalidValue(
            f"interval_s is {interval_s:g}; accepted: at least {INTERVAL_MIN_S:g} s",
            hint="The converter needs 80 ms a sample: 10 samples a second at most.",
        )
    return interval_s


def _fixed_range(calibration: Calibration, settings: Settings, automatic: int) -> int:
    """The range that the options name, else `automatic`."""
    if not settings.current_range_a:
        return automatic
    nominal = calibration.model.nominal_a
    for index, value in enumerate(nominal):
        if math.isclose(value, settings.current_range_a, rel_tol=1e-6):
            return index
    ranges = ", ".join(f"{value:g} A" for value in nominal)
    raise InvalidValue(
        f"option current_range_a is {settings.current_range_a:g} A; "
        f"accepted for a {calibration.model.name}: 0 (automatic), {ranges}"
    )


def _range_for(current_a: float | None, calibration: Calibration, settings: Settings, field: str) -> int:
    """The smallest range for a current, or the largest where none is known."""
    nominal = calibration.model.nominal_a
    if current_a is None:
        return _fixed_range(calibration, settings, 0)
    fitting = [index for index, value in enumerate(nominal) if current_a <= value * (1 + 1e-9)]
    if not fitting:
        raise InvalidValue(f"{field} is {current_a:g} A; accepted: up to {nominal[0]:g} A")
    index = _fixed_range(calibration, settings, fitting[-1])
    if index > fitting[-1]:
        raise InvalidValue(
            f"{field} is {current_a:g} A; accepted on the range of option current_range_a: up to {nominal[index]:g} A"
        )
    return index


def _check_resolution(current_a: float, count_a: float, error_max: float, field: str = "current_a") -> None:
    """Refuse a current that rounding to the converter's counts may falsify by more than `error_max`; zero is exact."""
    smallest = count_a / 2 / error_max
    if current_a and abs(current_a) < smallest:
        raise InvalidValue(
            f"{field} is {current_a:g} A; accepted: 0, or at least {smallest:.3g} A",
            hint=f"One count of the converter is {count_a:.3g} A, so a smaller current would be wrong by more than "
            f"{error_max:.2g} of itself (option set_point_error_max).",
        )
