"""Sweeps of a cyclic voltammogram: where each begins and ends, its charge, its peak. Pure functions on arrays."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .capacity import integrate

Floats = npt.NDArray[np.float64]

#: A peak lies inside the sweep: so far from its ends, as a share of its length.
_MARGIN = 0.03
#: Samples averaged before the greatest is looked for, as a share of the sweep.
_SMOOTH = 0.01


@dataclass(frozen=True, slots=True)
class Peak:
    """`height_a` is above the straight line between the sweep's first and last current."""

    voltage_v: float
    current_a: float
    height_a: float


@dataclass(frozen=True, slots=True)
class SweepCharge:
    """One leg from vertex to vertex. Charges unsigned, in coulombs; `peak` is None where the current has none inside.

    `first` and `last` are the places of its samples in the record, `last` excluded.
    """

    cycle: int
    from_v: float
    to_v: float
    charge_c: float
    discharge_c: float
    peak: Peak | None
    first: int
    last: int


def sweeps(
    time_s: Floats,
    voltage_v: Floats,
    current_a: Floats,
    *,
    begin_v: float,
    vertex1_v: float,
    vertex2_v: float,
    rate_v_per_s: float,
    cycles: int,
    period_s: float,
) -> list[SweepCharge]:
    """Cut at the instants of the vertices, by the device's time since the beginning; samples of shape (n,)."""
    corners = [begin_v, *([vertex1_v, vertex2_v, begin_v] * cycles)]
    found: list[SweepCharge] = []
    start_s = 0.0
    for number, (left_v, right_v) in enumerate(itertools.pairwise(corners)):
        end_s = start_s + abs(right_v - left_v) / rate_v_per_s
        first, last = np.searchsorted(time_s, [start_s + period_s / 4, end_s + period_s / 4])
        if last - first >= 2:
            part = slice(int(first), int(last))
            charge = integrate(time_s[part], current_a[part], period_s=period_s, start_s=start_s)
            peak = _peak(voltage_v[part], current_a[part], rising=right_v > left_v)
            found.append(
                SweepCharge(
                    number // 3 + 1, left_v, right_v, charge.charge_c, charge.discharge_c, peak, int(first), int(last)
                )
            )
        start_s = end_s
    return found


def _peak(voltage_v: Floats, current_a: Floats, *, rising: bool) -> Peak | None:
    good = np.isfinite(voltage_v) & np.isfinite(current_a)
    v, i = voltage_v[good], current_a[good]
    count = len(i)
    if count < 7:
        return None
    width = max(1, round(_SMOOTH * count)) | 1
    smooth = np.convolve(i, np.ones(width) / width, "valid")
    offset = width // 2
    line = np.interp(np.arange(count), [0, count - 1], [smooth[0], smooth[-1]])[offset : offset + len(smooth)]
    above = smooth - line if rising else line - smooth
    place = int(np.argmax(smooth if rising else -smooth))
    margin = max(1, round(_MARGIN * count))
    if place + offset < margin or place + offset >= count - margin or above[place] <= 0:
        return None
    return Peak(float(v[place + offset]), float(smooth[place]), float(above[place]))
