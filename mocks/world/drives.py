"""What an instrument does to the circuit, and what it reads."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OpenDrive:
    """Nothing is driven.

    With `connected` the voltmeter still hangs on the circuit, with its input resistance and bias current (an
    open-circuit measurement). Without it the instrument's relay is open: the circuit sees nothing of the instrument,
    and the instrument reads its own zero.
    """

    connected: bool = True


@dataclass(frozen=True, slots=True)
class CurrentDrive:
    """Galvanostat: `current_a` (positive charges) as long as the voltage stays within +-`limit_v`."""

    current_a: float
    limit_v: float = math.inf


@dataclass(frozen=True, slots=True)
class VoltageDrive:
    """Potentiostat: `voltage_v` as long as the current stays within +-`limit_a`."""

    voltage_v: float
    limit_a: float = math.inf


Drive = OpenDrive | CurrentDrive | VoltageDrive


@dataclass(frozen=True, slots=True)
class Reading:
    """Means over one interval of measurement, noise and mains included.

    `voltage_end_v` is the voltage at the end of the interval without noise: what a fast comparator in the instrument
    would act on. `compliance`: at the end of the interval the drive is held back by its limit.
    """

    voltage_v: float
    current_a: float
    voltage_end_v: float
    compliance: bool
