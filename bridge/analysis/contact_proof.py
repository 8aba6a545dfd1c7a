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
#: Of the step, what the voltage may still move by between the third and the last quarter of a level.
_UNSETTLED = 0.1
_SIGMAS = 3.0


class Proof(StrEnum):
    OHMIC = "ohmic"
    OPEN = "open"
    NOT_OHMIC = "not ohmic"


@dataclass(frozen=True, slots=True)
class OhmicTest:
    """`resistance_ohm` is that of the whole loop: contact, cell and leads, with its standard uncertainty from the
    scatter of the voltage about the fit (offset, drift and resistance).

    `plus_ohm` and `minus_ohm` are those of each direction alone. `moving` is the share of the step by which the voltage
    still moved in the second half of the levels: on a lead that touches nothing it ramps by I/C and never settles.
    """

    verdict: Proof
    reason: str
    resistance_ohm: float
    uncertainty_ohm: float
    plus_ohm: float
    minus_ohm: float
    moving: float


def levels(current_a: float, count: int) -> tuple[float, ...]:
    """The currents of the test, each `count` samples long: 0, +I, -I, 0. No charge remains in the cell."""
    return (0.0,) * count + (current_a,) * count + (-current_a,) * count + (0.0,) * count


def judge(voltage_v: Floats, current_a: float, count: int, interval_s: float, stray_f: float) -> OhmicTest:
    """From the samples of `levels(current_a, count)`, shape (4 count,). Raises `ValueError` for another shape."""
    if voltage_v.shape != (4 * count,) or count < 4:
        raise ValueError(f"{voltage_v.shape} samples; four levels of at least four samples are needed")
    set_a = np.array(levels(current_a, count))
    index = np.arange(4 * count)
    # The second half of each level: what charges the lead and the cell's fast elements is over by then.
    settled = index % count >= count // 2
    design = np.column_stack((np.ones(4 * count), index * interval_s, set_a))[settled]
    scale = np.array((1.0, 4 * count * interval_s, abs(current_a)))
    fit, _, _, _ = np.linalg.lstsq(design / scale, voltage_v[settled], rcond=None)
    rest = voltage_v[settled] - (design / scale) @ fit
    variance = float(rest @ rest) / (len(rest) - 3)
    covariance = np.linalg.inv((design / scale).T @ (design / scale)) * variance
    resistance, uncertainty = float(fit[2] / scale[2]), math.sqrt(float(covariance[2, 2])) / float(scale[2])
    zero = fit[0] + fit[1] * index * interval_s / scale[1]
    away = voltage_v - zero
    plus = float(np.mean(away[count + count // 2 : 2 * count])) / current_a
    minus = float(np.mean(away[2 * count + count // 2 : 3 * count])) / -current_a
    moving = _moving(away, current_a, count, resistance)
    verdict, reason = _verdict(resistance, uncertainty, plus, minus, moving, count * interval_s, stray_f)
    return OhmicTest(verdict, reason, resistance, uncertainty, plus, minus, moving)


def _moving(away: Floats, current_a: float, count: int, resistance: float) -> float:
    """Mean of the last quarter of both levels less that of the quarter before, over the step."""
    step = abs(resistance * current_a)
    if not step:
        return 0.0
    half, late = count // 2, count - count // 4
    drifts = []
    for level, sign in ((1, 1.0), (2, -1.0)):
        part = away[level * count : (level + 1) * count]
        drifts.append(sign * math.copysign(1.0, current_a) * float(np.mean(part[late:]) - np.mean(part[half:late])))
    return sum(drifts) / 2 / step


def _verdict(
    resistance: float, uncertainty: float, plus: float, minus: float, moving: float, level_s: float, stray_f: float
) -> tuple[Proof, str]:
    if moving > _UNSETTLED:
        return Proof.OPEN, (
            f"under a constant current the voltage goes on moving ({moving:.0%} of the step in the levels' second half), "
            f"as a lead of {stray_f:g} F that touches nothing does"
        )
    if resistance < -_SIGMAS * uncertainty:
        return Proof.NOT_OHMIC, "the voltage goes against the current"
    allowed = _ASYMMETRY * abs(resistance) + _SIGMAS * 2 * uncertainty
    if abs(plus - minus) > 2 * allowed:
        return Proof.NOT_OHMIC, f"one way it is {plus:.3g} Ohm, the other way {minus:.3g} Ohm"
    if resistance * stray_f * 5 > level_s:
        return Proof.OPEN, (
            f"{resistance:.3g} Ohm and the lead's {stray_f:g} F do not settle within a level of {level_s:g} s"
        )
    return Proof.OHMIC, "the voltage follows the current both ways and settles"
