"""What a potentiostat can be asked to do, as frozen values. SI units; positive current charges the cell.

Limits are part of a technique and end it normally (`EndReason`). They are checked by the host for every device; where
the device can hold them itself its own come on top.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from .errors import InvalidValue


def _finite(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not math.isfinite(value):
            raise InvalidValue(f"{name} is {value}; a finite number is needed")


def _positive(**values: float | None) -> None:
    _finite(**values)
    for name, value in values.items():
        if value is not None and value <= 0:
            raise InvalidValue(f"{name} is {value}; it must be greater than zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timed:
    """Shared by the techniques that sample at a fixed interval for a duration."""

    duration_s: float
    interval_s: float = 0.1

    def _check(self) -> None:
        _positive(duration_s=self.duration_s, interval_s=self.interval_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCircuit(_Timed):
    """Voltage with no current through the cell (some devices can do this only as a source of 0 A: `notes`)."""

    name: ClassVar[str] = "open_circuit"

    def __post_init__(self) -> None:
        self._check()


@dataclass(frozen=True, slots=True, kw_only=True)
class Galvanostatic(_Timed):
    """Constant current, until a limit.

    `voltage_max_v` ends a charge (current >= 0), `voltage_min_v` a discharge (current <= 0): a cell that is discharged
    may begin its charge below the window. `charge_limit_c` is in coulombs, unsigned, counted from the start.
    """

    name: ClassVar[str] = "galvanostatic"
    current_a: float
    voltage_min_v: float | None = None
    voltage_max_v: float | None = None
    charge_limit_c: float | None = None

    def __post_init__(self) -> None:
        self._check()
        _finite(current_a=self.current_a, voltage_min_v=self.voltage_min_v, voltage_max_v=self.voltage_max_v)
        _positive(charge_limit_c=self.charge_limit_c)
        _window(self.voltage_min_v, self.voltage_max_v)


@dataclass(frozen=True, slots=True, kw_only=True)
class Potentiostatic(_Timed):
    """Constant voltage, until `taper_current_a` (|I| at or below it for three samples) or another limit.

    `current_limit_a` is the compliance asked of the device (unsigned) and the host's limit on |I|.
    """

    name: ClassVar[str] = "potentiostatic"
    voltage_v: float
    current_limit_a: float | None = None
    taper_current_a: float | None = None
    charge_limit_c: float | None = None

    def __post_init__(self) -> None:
        self._check()
        _finite(voltage_v=self.voltage_v)
        _positive(
            current_limit_a=self.current_limit_a,
            taper_current_a=self.taper_current_a,
            charge_limit_c=self.charge_limit_c,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CyclicVoltammetry:
    """Triangular sweep begin -> vertex 1 -> vertex 2 -> begin, `cycles` times."""

    name: ClassVar[str] = "cyclic_voltammetry"
    begin_v: float
    vertex1_v: float
    vertex2_v: float
    rate_v_per_s: float
    step_v: float = 0.005
    cycles: int = 1
    current_limit_a: float | None = None

    def __post_init__(self) -> None:
        _finite(begin_v=self.begin_v, vertex1_v=self.vertex1_v, vertex2_v=self.vertex2_v)
        _positive(rate_v_per_s=self.rate_v_per_s, step_v=self.step_v, current_limit_a=self.current_limit_a)
        if self.cycles < 1:
            raise InvalidValue(f"cycles is {self.cycles}; at least 1 is needed")


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentSequence:
    """Set currents one after the other, each for `interval_s`, with a sample at the end of each: a waveform in steps.

    The instrument is one source throughout: the cell stays connected from the first to the last. Both voltage limits
    end it, whichever way the current flows. Put the mean where the cell's voltage should stay: at zero.
    """

    name: ClassVar[str] = "current_sequence"
    currents_a: tuple[float, ...]
    interval_s: float
    voltage_min_v: float | None = None
    voltage_max_v: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "currents_a", _set_points("currents_a", self.currents_a))
        _positive(interval_s=self.interval_s)
        _finite(voltage_min_v=self.voltage_min_v, voltage_max_v=self.voltage_max_v)
        _window(self.voltage_min_v, self.voltage_max_v)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoltageSequence:
    """Set potentials one after the other, each for `interval_s`, with a sample at the end of each: a waveform in steps.

    `current_limit_a` is the compliance asked of the device (unsigned) and the host's limit on |I|. The first potential
    is what the cell meets when it is connected: its open-circuit potential, not zero.
    """

    name: ClassVar[str] = "voltage_sequence"
    voltages_v: tuple[float, ...]
    interval_s: float
    current_limit_a: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "voltages_v", _set_points("voltages_v", self.voltages_v))
        _positive(interval_s=self.interval_s, current_limit_a=self.current_limit_a)


@dataclass(frozen=True, slots=True, kw_only=True)
class Impedance:
    """Impedance spectrum, from `frequency_max_hz` down; logarithmic spacing. `amplitude_v` is rms.

    `bias_v` None is the open-circuit potential, measured just before with the cell disconnected: never 0 V, which would
    short a charged cell.
    """

    name: ClassVar[str] = "impedance"
    frequency_max_hz: float = 100e3
    frequency_min_hz: float = 1.0
    points: int = 21
    amplitude_v: float = 0.010
    bias_v: float | None = None

    def __post_init__(self) -> None:
        _positive(
            frequency_max_hz=self.frequency_max_hz,
            frequency_min_hz=self.frequency_min_hz,
            amplitude_v=self.amplitude_v,
        )
        _finite(bias_v=self.bias_v)
        if self.points < 1:
            raise InvalidValue(f"points is {self.points}; at least 1 is needed")
        if self.frequency_min_hz > self.frequency_max_hz:
            raise InvalidValue(
                f"frequency_min_hz {self.frequency_min_hz} is above frequency_max_hz {self.frequency_max_hz}"
            )


Technique = (
    OpenCircuit | Galvanostatic | Potentiostatic | CyclicVoltammetry | CurrentSequence | VoltageSequence | Impedance
)

#: So many set points at most: a day at ten a second.
SET_POINTS_MAX = 1_000_000


def _set_points(field: str, values: Iterable[float]) -> tuple[float, ...]:
    """Numbers as a tuple. Raises `InvalidValue`."""
    points = tuple(float(value) for value in values)
    if not 1 <= len(points) <= SET_POINTS_MAX:
        raise InvalidValue(f"{field} has {len(points)} values; accepted: 1 to {SET_POINTS_MAX}")
    for index, value in enumerate(points):
        if not math.isfinite(value):
            raise InvalidValue(f"{field}[{index}] is {value}; a finite number is needed")
    return points


def _window(low: float | None, high: float | None) -> None:
    if low is not None and high is not None and low >= high:
        raise InvalidValue(f"voltage_min_v {low} is not below voltage_max_v {high}")
