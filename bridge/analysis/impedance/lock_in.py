"""A sine made of set points, and what comes back at its frequency: impedance by an instrument without a generator.

A point is so many whole periods, each of the same number of steps; the fit takes an offset, a slope and a curvature out
of the samples, so that a cell that drifts does not look like a phase. The first periods, in which the cell settles, are
not fitted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from drivers.errors import InvalidValue

from .kramers_kronig import Floats

#: A sine of fewer steps is more staircase than sine.
FEWEST_STEPS = 16
#: More only cost time: 100 steps are a sine to 0.03 %.
MOST_STEPS = 100


@dataclass(frozen=True, slots=True)
class Waveform:
    """A cosine of `steps` set points a period, each held for `step_s`; `settle_periods` go before the `periods` that
    count.

    It begins with one set point at rest. A cosine, because a sine would begin by charging a capacitive cell one way.
    """

    frequency_hz: float
    steps: int
    periods: int
    settle_periods: int

    @property
    def step_s(self) -> float:
        return 1 / (self.frequency_hz * self.steps)

    @property
    def duration_s(self) -> float:
        return (1 + (self.periods + self.settle_periods) * self.steps) * self.step_s

    @property
    def first(self) -> int:
        """Index of the first sample that is fitted."""
        return 1 + self.settle_periods * self.steps

    def set_points(self, peak: float, mean: float = 0.0) -> tuple[float, ...]:
        count = (self.periods + self.settle_periods) * self.steps
        angle = 2 * np.pi * np.arange(count) / self.steps
        return (mean, *(mean + peak * np.cos(angle)).tolist())


def highest_hz(shortest_step_s: float) -> float:
    """The highest frequency that a source can make whose set points are at least so far apart."""
    return 1 / (FEWEST_STEPS * shortest_step_s)


def waveform(frequency_hz: float, shortest_step_s: float, periods: int, settle_periods: int) -> Waveform:
    """As many steps a period as the instrument can do, up to `MOST_STEPS`. Raises `InvalidValue`."""
    steps = min(MOST_STEPS, math.floor(1 / (frequency_hz * shortest_step_s) * (1 + 1e-9)))
    if steps < FEWEST_STEPS:
        raise InvalidValue(
            f"frequency {frequency_hz:g} Hz cannot be made of set points {shortest_step_s:g} s apart; "
            f"accepted: up to {highest_hz(shortest_step_s):.4g} Hz ({FEWEST_STEPS} steps a period)"
        )
    return Waveform(frequency_hz, steps, periods, settle_periods)


@dataclass(frozen=True, slots=True)
class Tone:
    """`phasor` is the peak amplitude with its phase; `sigma` its standard uncertainty by the scatter about the fit."""

    phasor: complex
    sigma: float
    slope_per_s: float


def tone(wave: Waveform, values: Floats) -> Tone:
    """What of a record is at the waveform's frequency. `values` (n,) are its samples, one a set point.

    Least squares of an offset, a straight line, a parabola and the sine over whole periods. A phase of zero is that of
    the set points. Raises `InvalidValue` if samples are missing or no numbers.
    """
    wanted = len(wave.set_points(1.0))
    if len(values) != wanted:
        raise InvalidValue(f"{len(values)} samples at {wave.frequency_hz:g} Hz; {wanted} were asked for")
    used = values[wave.first :]
    if not np.isfinite(used).all():
        raise InvalidValue(f"{int((~np.isfinite(used)).sum())} samples at {wave.frequency_hz:g} Hz are no numbers")
    count = len(used)
    index = np.arange(count)
    angle = 2 * np.pi * index / wave.steps
    at = (index - (count - 1) / 2) / count
    columns = np.column_stack([np.ones(count), at, at**2, np.cos(angle), np.sin(angle)])
    size = float(np.abs(used - used.mean()).max()) or 1.0
    solution, *_ = np.linalg.lstsq(columns, used / size, rcond=None)
    left = used / size - columns @ solution
    variance = float(left @ left) / max(1, count - columns.shape[1])
    spread = np.linalg.inv(columns.T @ columns)
    sigma = math.sqrt(variance * (spread[3, 3] + spread[4, 4]))
    return Tone(
        complex(solution[3], -solution[4]) * size, sigma * size, float(solution[1]) * size / (count * wave.step_s)
    )
