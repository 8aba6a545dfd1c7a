"""The three axes of the tip in a controller's terms: numbers, signs, steps, limits, speeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ..errors import InvalidValue
from ..interfaces import Options, option
from ..quantities import quantity
from .newfocus_protocol import AXES

AXIS_NAMES = ("x", "y", "z")
TRAVEL_M = 12.7e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Picomotor8742Options(Options):
    step_size_m: float = option(30e-9, unit="m", help="nominal step of all axes")
    step_sizes_m: Mapping[str, Any] = option(
        default_factory=dict, help='step of single axes, such as {z="22 nm"}; overrides step_size_m'
    )
    axes: Mapping[str, int] = option(
        default_factory=lambda: {"x": 1, "y": 2, "z": 3},
        help="controller axis (1 to 4) of x, y and z; negative where positive steps move the tip the other way",
    )
    limits: Mapping[str, Any] = option(
        default_factory=dict,
        help='soft limits, such as {z=["-100 um", "20 um"]}; +-12.7 mm (half an inch, the usual travel) otherwise',
    )
    speed_m_per_s: float = option(0.0, unit="m/s", help="speed set on connecting; 0 leaves the controller's own")
    address: int = option(0, help="address (1 to 31) of the unit on an RS-485 chain; 0 for the one on the wire")
    require_motor: bool = option(
        False, help="refuse to move an axis at which the controller remembers no motor; otherwise the move is tried"
    )
    serial: str = option("", help="serial number that the controller must have; empty takes any")

    def __post_init__(self) -> None:
        if sorted(self.axes) != list(AXIS_NAMES) or any(
            isinstance(n, bool) or not isinstance(n, int) or abs(n) not in AXES for n in self.axes.values()
        ):
            raise InvalidValue(f"option axes is {dict(self.axes)}; accepted: x, y and z, each 1 to 4 or -1 to -4")
        if len({abs(number) for number in self.axes.values()}) < len(self.axes):
            raise InvalidValue(f"option axes is {dict(self.axes)}; each axis of the controller can be used once")
        for name in (*self.step_sizes_m, *self.limits):
            if name not in AXIS_NAMES:
                raise InvalidValue(f"axis {name!r} in the options is not known; accepted: x, y, z")
        if not self.speed_m_per_s >= 0:
            raise InvalidValue(f"option speed_m_per_s is {self.speed_m_per_s}; accepted: 0 or more")


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of the tip. `number` is the controller's; `step` is signed, in metres, exactly as its decimal text says:
    100 steps of 30 nm are 3e-06 m, where a product of doubles would be 2.9999999999999997e-06.
    """

    name: str
    number: int
    step: Fraction
    limits: tuple[float, float]

    @property
    def step_m(self) -> float:
        """Size of a step, without sign."""
        return float(abs(self.step))

    def metres(self, steps: int) -> float:
        """Correctly rounded."""
        return float(steps * self.step)

    def steps(self, value: float, parameter: str, start: int = 0) -> int:
        """The step nearest to `value` metres from step `start`. Raises `InvalidValue` outside the limits."""
        low, high = self.limits
        end = float(start * self.step + exact(value)) if math.isfinite(value) else value
        if not low <= end <= high:
            raise InvalidValue(f"{parameter} is {end:.9g} m; accepted: {low:.9g} to {high:.9g} m")
        return start + round(exact(value) / self.step)

    def rate(self, speed_m_per_s: float, rate_max: int) -> int:
        """Steps a second. Raises `InvalidValue` if the controller cannot go that fast or that slow."""
        step = self.step_m
        if not step / 2 <= speed_m_per_s <= rate_max * step * (1 + 1e-9):
            raise InvalidValue(
                f"speed_m_per_s is {speed_m_per_s:g} m/s; "
                f"accepted for axis {self.name}: {step:g} to {rate_max * step:g} m/s"
            )
        return max(1, round(speed_m_per_s / step))


def exact(value: float) -> Fraction:
    """The number that the shortest decimal text of `value` says."""
    return Fraction(repr(float(value)))


def make_axis(name: str, options: Picomotor8742Options) -> Axis:
    number = options.axes[name]
    step = quantity(options.step_sizes_m.get(name, options.step_size_m), "m", field=f"step size of {name}")
    if not step > 0:
        raise InvalidValue(f"step size of {name} is {step:g} m; accepted: more than 0")
    limits = options.limits.get(name, (-TRAVEL_M, TRAVEL_M))
    if not isinstance(limits, list | tuple) or len(limits) != 2:
        raise InvalidValue(f'limits of {name} are {limits!r}; accepted: two lengths such as ["-100 um", "20 um"]')
    low, high = (quantity(limit, "m", field=f"limit of {name}") for limit in limits)
    if not low < high:
        raise InvalidValue(f"limits of {name} are {low:g} and {high:g} m; the first must be below the second")
    return Axis(name, abs(number), exact(math.copysign(step, number)), (low, high))
