"""Whether a contact is ohmic: the voltage's answer to a small current one way, then the other. Pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: The two directions may differ by this share of the resistance, beyond what the noise allows: the hysteresis of a
#: small cell's silicon makes a third, a contact that rectifies makes it many times.
_ASYMMETRY = 0.5
#: What is charged through the contact is more than the lead alone, by this factor, or nothing is touched.
_MORE_THAN_LEAD = 1.5
#: Time constants within half a level: so many leave 1 % of the step.
_SETTLED = 4.6
_SIGMAS = 3.0
#: Scatter under current, against that without, and against the voltage that the resistance makes.
_UNSTEADY, _UNSTEADY_SHARE = 5.0, 0.1


class Proof(StrEnum):
    OHMIC = "ohmic"
    OPEN = "open"
    NOT_OHMIC = "not ohmic"


@dataclass(frozen=True, slots=True)
class OhmicTest:
    """`resistance_ohm` is that of the whole loop: contact, cell and leads, with its standard uncertainty from the
    scatter of the voltage about the lines. `plus_ohm` and `minus_ohm` are those of each direction alone.

    `capacitance_f` is what the test's charge met: a cell's differential capacitance, or the lead's own where nothing is
    touched; infinite where the voltage shows none.
    """

    verdict: Proof
    reason: str
    resistance_ohm: float
    uncertainty_ohm: float
    plus_ohm: float
    minus_ohm: float
    capacitance_f: float
    scatter_v: float


def levels(current_a: float, count: int) -> tuple[float, ...]:
    """The currents of the test, each `count` samples long: 0, +I, -I, 0. No charge remains in the cell."""
    return (0.0,) * count + (current_a,) * count + (-current_a,) * count + (0.0,) * count


def judge(
    voltage_v: Floats,
    current_a: float,
    count: int,
    interval_s: float,
    stray_f: float,
    noise_v: float = 0.0,
    at: float = 1.0,
) -> OhmicTest:
    """From the samples of `levels(current_a, count)`, shape (4 count,). Raises `ValueError` for another shape.

    A straight line is fitted to the second half of each level, where lead and fast elements have settled; where two
    lines meet the instant of a step, what lies between them is the resistance's. What the lines' slopes change by is a
    capacitance's, and what the cell's voltage does as charge goes in drops out to first order. Where the cell is not
    much more than the lead, the lead takes its share C0 of the current for ever: the step is then only
    (1 - C0/C)^2 of I R, which is corrected.

    `stray_f` is the lead's own capacitance, `noise_v` the scatter at zero current: a contact that opens under current,
    which nobody sees without, scatters more. A sample is taken `at` this share of its interval: 1 at its end, 0.5 for
    a mean over all of it.
    """
    if voltage_v.shape != (4 * count,) or count < 8:
        raise ValueError(f"{voltage_v.shape} samples; four levels of at least eight samples are needed")
    first = count // 2
    since = (np.arange(first, count) + at) * interval_s
    centred = since - since.mean()
    spread = float(centred @ centred)
    level_s = count * interval_s
    starts, ends, slopes, squares = [], [], [], 0.0
    for level in range(4):
        voltage = voltage_v[level * count + first : (level + 1) * count]
        mean = float(voltage.mean())
        slope = float(centred @ (voltage - mean)) / spread
        rest = voltage - mean - slope * centred
        squares += float(rest @ rest)
        slopes.append(slope)
        starts.append(mean - slope * float(since.mean()))
        ends.append(mean + slope * (level_s - float(since.mean())))
    scatter = math.sqrt(squares / (4 * (len(since) - 2)))
    steps_a = np.array((current_a, -2.0 * current_a, current_a))
    jumps_v = np.array([starts[k + 1] - ends[k] for k in range(3)])
    weights = steps_a / float(steps_a @ steps_a)
    mean_s = float(since.mean())
    at_start = scatter * math.sqrt(1.0 / len(since) + mean_s**2 / spread)
    at_end = scatter * math.sqrt(1.0 / len(since) + (level_s - mean_s) ** 2 / spread)
    uncertainty = math.hypot(at_start, at_end) * math.sqrt(float(weights @ weights))
    bends = np.diff(slopes)
    elastance = float(weights @ bends)
    doubt = scatter / math.sqrt(spread) * math.sqrt(2.0 * float(weights @ weights))
    capacitance = 1.0 / elastance if elastance > _SIGMAS * doubt else math.inf
    share = (1.0 - stray_f / capacitance) ** 2 if capacitance > _MORE_THAN_LEAD * stray_f else 1.0
    test = OhmicTest(
        Proof.OHMIC,
        "",
        resistance_ohm=float(weights @ jumps_v) / share,
        uncertainty_ohm=uncertainty / share,
        plus_ohm=float(jumps_v[0] / steps_a[0]) / share,
        minus_ohm=float(jumps_v[2] / steps_a[2]) / share,
        capacitance_f=capacitance,
        scatter_v=scatter,
    )
    verdict, reason = _verdict(test, abs(current_a), level_s, stray_f, noise_v)
    return replace(test, verdict=verdict, reason=reason)


def _verdict(test: OhmicTest, current_a: float, level_s: float, stray_f: float, noise_v: float) -> tuple[Proof, str]:
    resistance, uncertainty = test.resistance_ohm, test.uncertainty_ohm
    if test.scatter_v > max(_UNSTEADY * noise_v, _UNSTEADY_SHARE * abs(resistance) * current_a):
        return Proof.NOT_OHMIC, (
            f"the voltage scatters by {test.scatter_v:.3g} V about the answer of a resistance, at zero current by "
            f"{noise_v:.3g} V: the contact opens and closes"
        )
    if test.capacitance_f < _MORE_THAN_LEAD * stray_f:
        return Proof.OPEN, (
            f"the current charges {test.capacitance_f:.3g} F, which is the lead ({stray_f:.3g} F): nothing is touched"
        )
    if abs(resistance) * stray_f * _SETTLED > level_s / 2:
        return Proof.OPEN, (
            f"{resistance:.3g} Ohm and the lead's {stray_f:.3g} F do not settle within half a level of "
            f"{level_s:g} s (test_s)"
        )
    if resistance < -_SIGMAS * uncertainty:
        return Proof.NOT_OHMIC, f"the voltage goes against the current: {resistance:.3g} Ohm"
    if abs(test.plus_ohm - test.minus_ohm) > _ASYMMETRY * abs(resistance) + 2 * _SIGMAS * uncertainty:
        return Proof.NOT_OHMIC, f"one way it is {test.plus_ohm:.3g} Ohm, the other way {test.minus_ohm:.3g} Ohm"
    return Proof.OHMIC, "the voltage follows the current both ways and settles"
