"""A leak from the voltage of a rest, and what it says about the charge that did not come back.

With no current a leak lets the voltage sink and goes on, while relaxation dies away. The slope over the last half of
the rest against that of the charge at the same voltage gives the leak: the cell took I - Il then and -Il now, at the
same dQ/dV, so Il = I r / (1 + r) with r the ratio of the two slopes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .formatting import with_uncertainty
from .leak_or_trap import SIGMAS, CycleCharges, Verdict, pure_leak_s, undecided
from .statistics import Floats, drift

#: The slope of the last quarter of a rest against that of the one before: a leak keeps it, relaxation does not.
GOES_ON = 0.7
#: Less of the charging current than this is no leak that matters.
LEAST_SHARE = 0.01
#: Leak in the rest and leak that the cycle needs may be so far apart: one is at one voltage, the other at all of them.
MODEL_SHARE = 0.15
#: What a cell's own hysteresis relaxes by that looks like a leak, as a standard uncertainty: the mock of silicon does
#: 7 uV/s half an hour after a charge.
RELAXATION_V_PER_S = 5e-6
#: The slope of the charge is taken over at least this much above and below the rest's voltage.
_WINDOW_V = 0.010
#: Samples that the last half of a rest must have.
_LEAST_SAMPLES = 16
#: Half-widths of intervals of this confidence are standard uncertainties.
_ONE_SIGMA = 0.6827


@dataclass(frozen=True, slots=True)
class RestLeak:
    """A leak from a rest: `leak_a` with its standard uncertainty at `voltage_v`. Slopes in V/s, of the last half and of
    its two quarters, and of the charge there; `goes_on` false: it slows down, so it is relaxation, and the leak is an
    upper bound."""

    leak_a: float
    uncertainty_a: float
    voltage_v: float
    slope_v_per_s: float
    slope_uncertainty_v_per_s: float
    third_quarter_v_per_s: float
    last_quarter_v_per_s: float
    charge_slope_v_per_s: float
    goes_on: bool


def leak_from_rest(
    time_s: Floats, voltage_v: Floats, charge_time_s: Floats, charge_voltage_v: Floats, charge_current_a: float
) -> RestLeak | None:
    """From a rest with its voltage measured, arrays of shape (n,), after a charge at `charge_current_a`, shape (m,).

    None with fewer than 16 samples in the last half, or where the charge has not been at these voltages. A voltage that
    rises gives a negative leak: none.
    """
    known = np.isfinite(voltage_v)
    t, v = time_s[known], voltage_v[known]
    if not len(t):
        return None
    end = float(t[-1])
    half, third, last = t >= 0.5 * end, (t >= 0.5 * end) & (t < 0.75 * end), t >= 0.75 * end
    if half.sum() < _LEAST_SAMPLES or third.sum() < 3 or last.sum() < 3:
        return None
    line = drift(t[half], v[half], _ONE_SIGMA)
    early, late = drift(t[third], v[third], _ONE_SIGMA), drift(t[last], v[last], _ONE_SIGMA)
    level, fallen = float(v[half].mean()), 0.5 * abs(line.slope_per_s) * (end - float(t[half][0]))
    slope = _slope_at(charge_time_s, charge_voltage_v, level, max(fallen, _WINDOW_V), first_v=float(v[0]))
    if slope is None:
        return None
    r = -line.slope_per_s / slope
    r_sigma = math.hypot(line.half_width_per_s, RELAXATION_V_PER_S) / slope
    # the derivative of I r / (1 + r) is I / (1 + r)^2
    leak, sigma = charge_current_a * r / (1.0 + r), charge_current_a * r_sigma / (1.0 + r) ** 2
    doubt = 2.0 * math.hypot(early.half_width_per_s, late.half_width_per_s)
    return RestLeak(
        leak,
        sigma,
        level,
        line.slope_per_s,
        line.half_width_per_s,
        early.slope_per_s,
        late.slope_per_s,
        slope,
        -late.slope_per_s >= GOES_ON * -early.slope_per_s - doubt,
    )


def _slope_at(time_s: Floats, voltage_v: Floats, level_v: float, half_v: float, *, first_v: float) -> float | None:
    """dV/dt of the charge over `level_v` +- `half_v`, put higher by the current's own voltage drop: the charge's last
    voltage less the rest's first; not above its end. None where it was not there."""
    known = np.isfinite(voltage_v)
    t, v = time_s[known], np.maximum.accumulate(voltage_v[known])
    if len(t) < 2:
        return None
    level = min(level_v + max(0.0, float(v[-1]) - first_v), float(v[-1]) - half_v)
    low, high = max(level - half_v, float(v[0])), min(level + half_v, float(v[-1]))
    if high <= low:
        return None
    rising = np.append(np.diff(v) > 0, True)
    begin, end = (float(np.interp(edge, v[rising], t[rising])) for edge in (low, high))
    return (high - low) / (end - begin) if end > begin else None


def verdict_from_rest(rest: RestLeak, cycle: CycleCharges, *, model_share: float = MODEL_SHARE) -> Verdict:
    """From the rest of a cycle whose discharge followed: does the leak that the rest shows explain the charge that is
    missing, or none of it? `model_share`: see `MODEL_SHARE`.
    """
    needed_s = pure_leak_s(cycle)
    needed = needed_s * rest.voltage_v
    needed_sigma = math.hypot(
        math.sqrt(2.0) * cycle.uncertainty_c / (cycle.charge_v_s + cycle.discharge_v_s) * rest.voltage_v,
        model_share * needed,
    )
    sigma = rest.uncertainty_a
    evidence = {
        "ratio": cycle.ratio,
        "leak_needed_a": needed,
        "leak_needed_uncertainty_a": needed_sigma,
        "rest_slope_v_per_s": rest.slope_v_per_s,
        "rest_slope_uncertainty_v_per_s": rest.slope_uncertainty_v_per_s,
        "third_quarter_v_per_s": rest.third_quarter_v_per_s,
        "last_quarter_v_per_s": rest.last_quarter_v_per_s,
        "leak_over_needed": rest.leak_a / needed if needed else 0.0,
    }
    found = (
        f"the rest shows {with_uncertainty(rest.leak_a, rest.uncertainty_a, 'A')} at {rest.voltage_v:.3g} V; "
        f"the missing charge needs {with_uncertainty(needed, needed_sigma, 'A')}"
    )
    share = cycle.ratio
    leaks = rest.leak_a > SIGMAS * sigma and rest.goes_on
    explains = abs(rest.leak_a - needed) <= SIGMAS * math.hypot(sigma, needed_sigma)
    explains_nothing = needed - rest.leak_a > SIGMAS * math.hypot(sigma, needed_sigma)
    if needed <= SIGMAS * LEAST_SHARE * cycle.current_a:
        return undecided(f"the cycle gave {share:.3g} of its charge back: nothing is missing", rest.voltage_v, evidence)
    if leaks and explains:
        return Verdict(
            "leak",
            found,
            rest.leak_a,
            rest.uncertainty_a,
            rest.voltage_v,
            rest.voltage_v / rest.leak_a,
            None,
            evidence,
        )
    if explains_nothing and not leaks:
        return Verdict("trap", found, rest.leak_a, sigma, rest.voltage_v, None, share, evidence)
    if leaks and explains_nothing:
        return undecided(f"{found}: a leak, but not all of what is missing", rest.voltage_v, evidence)
    return undecided(f"{found}, and {'goes on' if rest.goes_on else 'slows down'}", rest.voltage_v, evidence)
