"""Energy that went into a cell and came out of it, by the trapezoid of the power over the device's own time."""

from __future__ import annotations

from .capacity import integrate
from .statistics import Floats

#: Joules in one watt-hour.
JOULE_PER_WH = 3600.0


def wh(energy_j: float) -> float:
    """Watt-hours."""
    return energy_j / JOULE_PER_WH


def energies(
    time_s: Floats, voltage_v: Floats, current_a: Floats, *, period_s: float | None = None, start_s: float | None = None
) -> tuple[float, float]:
    """(in, out) of one step in joules, both unsigned; arrays of shape (n,). Gaps are left out, as for the charge."""
    power = integrate(time_s, voltage_v * current_a, period_s=period_s, start_s=start_s)
    return power.charge_c, power.discharge_c


def ratio(part: float | None, whole: float | None) -> float | None:
    """`part` of `whole`; None where either is missing or there is no whole."""
    return part / whole if whole and part is not None else None
