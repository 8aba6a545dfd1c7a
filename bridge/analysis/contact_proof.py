"""Whether a contact is ohmic: the voltage's answer to a small current one way, then the other. Pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: A contact's two directions may differ by this share of the resistance, beyond what the noise allows.
_ASYMMETRY = 0.1
#: What is charged through the contact is more than the lead alone, by this factor, or nothing is touched.
_MORE_THAN_LEAD = 1.5
#: Time constants within half a level: so many leave 1 % of the step.
_SETTLED = 4.6
_SIGMAS = 3.0


class Proof(StrEnum):
    OHMIC = "ohmic"
    OPEN = "open"
    NOT_OHMIC = "not ohmic"


@dataclass(frozen=True, slots=True)
class OhmicTest:
    """`resistance_ohm` is that of the whole loop: contact, cell and leads, with its standard uncertainty from the
    scatter of the voltage about the fit. `plus_ohm` and `minus_ohm` are those of each direction alone.

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


def levels(current_a: float, count: int) -> tuple[float, ...]:
    """The currents of the test, each `count` samples long: 0, +I, -I, 0. No charge remains in the cell."""
    return (0.0,) * count + (current_a,) * count + (-current_a,) * count + (0.0,) * count


def judge(voltage_v: Floats, current_a: float, count: int, interval_s: float, stray_f: float) -> OhmicTest:
    """From the samples of `levels(current_a, count)`, shape (4 count,). Raises `ValueError` for another shape.

    Fitted by least squares to the second half of each level, where lead and fast elements have settled: an offset, a
    drift, a resistance, and a capacitance that the current charges. `stray_f` is the lead's own.
    """
    if voltage_v.shape != (4 * count,) or count < 4:
        raise ValueError(f"{voltage_v.shape} samples; four levels of at least four samples are needed")
    index = np.arange(4 * count)
    time = index * interval_s
    currents = np.array(levels(current_a, count))
    charge = np.cumsum(currents) * interval_s
    settled = index % count >= count // 2
    parts = np.column_stack((np.ones(4 * count), time, currents, charge))
    scale = np.array((1.0, time[-1], abs(current_a), abs(current_a) * count * interval_s))
    design = (parts / scale)[settled]
    fit = np.linalg.lstsq(design, voltage_v[settled], rcond=None)[0]
    rest = voltage_v[settled] - design @ fit
    variance = float(rest @ rest) / (len(rest) - 4)
    errors = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * variance) / scale
    fit = fit / scale
    resistance, uncertainty = float(fit[2]), float(errors[2])
    own = voltage_v - parts[:, [0, 1, 3]] @ fit[[0, 1, 3]]
    plus = float(np.mean(own[count + count // 2 : 2 * count])) / current_a
    minus = float(np.mean(own[2 * count + count // 2 : 3 * count])) / -current_a
    elastance = float(fit[3])
    capacitance = 1.0 / elastance if elastance > _SIGMAS * float(errors[3]) else math.inf
    test = OhmicTest(Proof.OHMIC, "", resistance, uncertainty, plus, minus, capacitance)
    verdict, reason = _verdict(test, count * interval_s, stray_f)
    return OhmicTest(verdict, reason, resistance, uncertainty, plus, minus, capacitance)


def _verdict(test: OhmicTest, level_s: float, stray_f: float) -> tuple[Proof, str]:
    resistance, uncertainty = test.resistance_ohm, test.uncertainty_ohm
    if test.capacitance_f < _MORE_THAN_LEAD * stray_f:
        return Proof.OPEN, (
            f"the current charges {test.capacitance_f:.3g} F, which is the lead ({stray_f:.3g} F): nothing is touched"
        )
    if abs(resistance) * stray_f * _SETTLED > level_s / 2:
        return Proof.OPEN, (
            f"{resistance:.3g} Ohm and the lead's {stray_f:.3g} F do not settle within half a level of {level_s:g} s"
        )
    if resistance < -_SIGMAS * uncertainty:
        return Proof.NOT_OHMIC, f"the voltage goes against the current: {resistance:.3g} Ohm"
    if abs(test.plus_ohm - test.minus_ohm) > 2 * (_ASYMMETRY * abs(resistance) + _SIGMAS * uncertainty):
        return Proof.NOT_OHMIC, f"one way it is {test.plus_ohm:.3g} Ohm, the other way {test.minus_ohm:.3g} Ohm"
    return Proof.OHMIC, "the voltage follows the current both ways and settles"
