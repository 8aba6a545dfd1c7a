"""Did the charge that did not come back leak away, or is it trapped in the cell?

One cycle cannot tell (domain note, section 0.5). Two things can:

- **A second rate.** A leak takes charge by time, so at a higher rate less of it is lost; a trap takes it by charge. The
  leak is taken as a resistor, G V, over the measured voltage, so that with S the integral of V over time a charge
  stores Qc - G Sc and a discharge takes out Qd + G Sd. A trap keeps 1 - phi of the charge that goes in for the first
  time. Two cycles give G and phi.
- **A rest.** With no current a leak lets the voltage sink and goes on, relaxation dies away. Over the last half of the
  rest, the slope against that at the end of the charge gives the leak: the cell took I - Il then and -Il now, at the
  same dQ/dV, so Il = I r / (1 + r) with r the ratio of the two slopes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from bridge.analysis.formatting import si, with_uncertainty

from .statistics import Floats, drift

#: What a real cell may be off from the two models, in shares of the charge that is returned: polarisation and
#: hysteresis cut a discharge short by as much at another rate.
MODEL_SHARE = 0.02
#: A hypothesis is rejected beyond so many standard uncertainties.
SIGMAS = 3.0
#: The slope of the last quarter of a rest against that of the one before: a leak keeps it, relaxation does not.
GOES_ON = 0.7
#: Less of the charging current than this is no leak that matters.
LEAST_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class CycleCharges:
    """A charge and the discharge after it: coulombs, unsigned, with the standard uncertainty of either, and the integral
    of the voltage over each of them in volt-seconds (a rest in between belongs to the charge)."""

    current_a: float
    charge_c: float
    discharge_c: float
    charge_v_s: float
    discharge_v_s: float
    uncertainty_c: float = 0.0

    @property
    def ratio(self) -> float:
        return self.discharge_c / self.charge_c

    @property
    def ratio_uncertainty(self) -> float:
        return math.hypot(self.uncertainty_c, self.ratio * self.uncertainty_c) / self.charge_c

    @property
    def mean_voltage_v(self) -> float:
        return (self.charge_v_s + self.discharge_v_s) / self.duration_s

    @property
    def duration_s(self) -> float:
        return (self.charge_c + self.discharge_c) / self.current_a


@dataclass(frozen=True, slots=True)
class Verdict:
    """`verdict` is "leak", "trap" or "undecided". `leak_a` at `at_voltage_v` with its standard uncertainty, and the same
    as a resistance (None where no leak was found). `returned_share` is phi: what comes back of charge put in for the
    first time, the leak aside. `evidence` has the numbers that decided."""

    verdict: str
    reason: str
    leak_a: float
    leak_uncertainty_a: float
    at_voltage_v: float
    resistance_ohm: float | None
    returned_share: float | None
    evidence: dict[str, float]


def leak_for_ratio(current_a: float, ratio: float) -> float:
    """The constant leak that alone gives `ratio` at equal currents: (I - Il) / (I + Il) = ratio."""
    return current_a * (1.0 - ratio) / (1.0 + ratio)


def ratio_with_leak(current_a: float, leak_a: float) -> float:
    """What a leak alone leaves at another current."""
    return (current_a - leak_a) / (current_a + leak_a)


def pure_leak_s(cycle: CycleCharges) -> float:
    """Conductance of the leak that alone explains a cycle: all that was stored came out."""
    return (cycle.charge_c - cycle.discharge_c) / (cycle.charge_v_s + cycle.discharge_v_s)


def predicted_discharge(
    first: CycleCharges, second: CycleCharges, leak_s: float, returned_share: float, *, same_cell: bool
) -> float:
    """What the second discharge gives, by both models together.

    In the same cell what has been trapped stays so: only charge beyond the highest that it ever stored is trapped anew.
    Another cell of the same make (`same_cell` false) is as fresh as the first one was.
    """
    stored = second.charge_c - leak_s * second.charge_v_s
    fresh = stored
    if same_cell:
        peak = first.charge_c - leak_s * first.charge_v_s
        trapped = (1.0 - returned_share) * peak
        fresh = min(max(0.0, trapped + stored - peak), stored)
    return stored - (1.0 - returned_share) * fresh - leak_s * second.discharge_v_s


def _share_for(first: CycleCharges, leak_s: float) -> float:
    """phi by the first cycle, at that leak."""
    return (first.discharge_c + leak_s * first.discharge_v_s) / (first.charge_c - leak_s * first.charge_v_s)


def _solve(first: CycleCharges, second: CycleCharges, same_cell: bool) -> tuple[float, float] | None:
    """(G, phi) that give both discharges; None if there are none with 0 <= G and phi <= 1."""

    def off(leak_s: float) -> float:
        share = _share_for(first, leak_s)
        return predicted_discharge(first, second, leak_s, share, same_cell=same_cell) - second.discharge_c

    low, high = 0.0, pure_leak_s(first)
    if high <= 0 or off(low) * off(high) > 0:
        return None
    leak_s = float(brentq(off, low, high))
    return leak_s, _share_for(first, leak_s)


def verdict_from_rates(
    first: CycleCharges, second: CycleCharges, *, same_cell: bool = True, model_share: float = MODEL_SHARE
) -> Verdict:
    """From two cycles at different currents.

    Each hypothesis alone (only a leak, only a trap) is fitted to the first cycle and predicts the second one's
    discharge. One that is more than `SIGMAS` standard uncertainties off is rejected; if exactly one survives, that is
    the verdict. The uncertainty has the charges' own, carried through the prediction, and `model_share`.
    """
    trap_share = _share_for(first, 0.0)
    leak_s = pure_leak_s(first)
    by_leak, leak_doubt = _predict(first, lambda f: predicted_discharge(f, second, pure_leak_s(f), 1.0, same_cell=True))
    by_trap, trap_doubt = _predict(
        first, lambda f: predicted_discharge(f, second, 0.0, _share_for(f, 0.0), same_cell=same_cell)
    )
    model = model_share * second.charge_c
    leak_sigma = math.hypot(leak_doubt, second.uncertainty_c, model)
    trap_sigma = math.hypot(trap_doubt, second.uncertainty_c, model)
    leak_off, trap_off = (by_leak - second.discharge_c) / leak_sigma, (by_trap - second.discharge_c) / trap_sigma
    evidence = {
        "first_ratio": first.ratio,
        "first_ratio_uncertainty": first.ratio_uncertainty,
        "second_ratio": second.ratio,
        "second_ratio_uncertainty": second.ratio_uncertainty,
        "second_ratio_if_leak": by_leak / second.charge_c,
        "second_ratio_if_trap": by_trap / second.charge_c,
        "sigmas_from_leak": leak_off,
        "sigmas_from_trap": trap_off,
        "model_share": model_share,
    }
    both = _solve(first, second, same_cell)
    voltage = second.mean_voltage_v
    lost = first.charge_c - first.discharge_c
    if lost <= SIGMAS * math.hypot(math.sqrt(2.0) * first.uncertainty_c, model_share * first.charge_c):
        share = f"{first.ratio:.3g}"
        return _undecided(f"the first cycle gave {share} of its charge back: nothing is missing", voltage, evidence)
    fits_leak, fits_trap = abs(leak_off) <= SIGMAS, abs(trap_off) <= SIGMAS
    said = (
        f"the second rate gave {second.ratio:.3f} back, where a leak gives {by_leak / second.charge_c:.3f} and a trap "
    )
    said += f"{by_trap / second.charge_c:.3f}"
    if fits_leak and not fits_trap:
        fitted = leak_s if both is None else both[0]
        sigma = _leak_sigma(first, second, same_cell, model_share)
        return Verdict(
            "leak",
            said,
            fitted * voltage,
            sigma * voltage,
            voltage,
            1.0 / fitted,
            1.0 if both is None else both[1],
            evidence,
        )
    if fits_trap and not fits_leak:
        sigma = _leak_sigma(first, second, same_cell, model_share)
        fitted = 0.0 if both is None else both[0]
        return Verdict("trap", said, fitted * voltage, sigma * voltage, voltage, None, trap_share, evidence)
    if both is not None and not fits_leak:
        evidence |= {"leak_if_both_a": both[0] * voltage, "returned_share_if_both": both[1]}
        said += f"; both together fit: {si(both[0] * voltage, 'A')} leaks and {1 - both[1]:.2g} of fresh charge stays"
    elif fits_leak and fits_trap:
        said += ": too close to tell"
    return _undecided(said, voltage, evidence)


def _predict(first: CycleCharges, predict: Callable[[CycleCharges], float]) -> tuple[float, float]:
    """A prediction from the first cycle and its standard uncertainty, by the change with each of its charges."""
    value = predict(first)
    step = first.uncertainty_c or 1e-6 * first.charge_c
    moved = [
        predict(_changed(first, charge_c=first.charge_c + step)) - value,
        predict(_changed(first, discharge_c=first.discharge_c + step)) - value,
    ]
    return value, math.hypot(*moved) * (first.uncertainty_c / step)


def _leak_sigma(first: CycleCharges, second: CycleCharges, same_cell: bool, model_share: float) -> float:
    """Standard uncertainty of the conductance of both models together, in siemens: from the second discharge's."""

    def conductance(change_c: float) -> float:
        found = _solve(first, _changed(second, discharge_c=second.discharge_c + change_c), same_cell)
        return math.nan if found is None else found[0]

    sigma = math.hypot(second.uncertainty_c, math.sqrt(2.0) * first.uncertainty_c, model_share * second.charge_c)
    here = [conductance(change) for change in (-sigma, 0.0, sigma)]
    known = [value for value in here if math.isfinite(value)]
    if len(known) >= 2:
        return (max(known) - min(known)) / (len(known) - 1)
    # beyond the physical range: by the slope of the pure leak
    return sigma / (second.charge_v_s + second.discharge_v_s)


def _changed(cycle: CycleCharges, *, charge_c: float | None = None, discharge_c: float | None = None) -> CycleCharges:
    return CycleCharges(
        cycle.current_a,
        cycle.charge_c if charge_c is None else charge_c,
        cycle.discharge_c if discharge_c is None else discharge_c,
        cycle.charge_v_s,
        cycle.discharge_v_s,
        cycle.uncertainty_c,
    )


def _undecided(reason: str, voltage: float, evidence: dict[str, float]) -> Verdict:
    return Verdict("undecided", reason, 0.0, math.inf, voltage, None, None, evidence)


@dataclass(frozen=True, slots=True)
class RestLeak:
    """A leak from a rest: `leak_a` with its standard uncertainty at `voltage_v`. Slopes in V/s, of the last half and of
    its two quarters; `goes_on` false: it slows down, so it is relaxation, and the leak is an upper bound."""

    leak_a: float
    uncertainty_a: float
    voltage_v: float
    slope_v_per_s: float
    slope_uncertainty_v_per_s: float
    third_quarter_v_per_s: float
    last_quarter_v_per_s: float
    goes_on: bool


def leak_from_rest(
    time_s: Floats,
    voltage_v: Floats,
    *,
    charge_current_a: float,
    charge_slope_v_per_s: float,
    charge_slope_uncertainty_v_per_s: float = 0.0,
) -> RestLeak | None:
    """From a rest with its voltage measured, arrays of shape (n,), after a charge that had ended at that slope.

    None with fewer than 16 samples in the last half. A voltage that rises gives a negative leak: none.
    """
    known = np.isfinite(voltage_v)
    t, v = time_s[known], voltage_v[known]
    if not len(t):
        return None
    end = float(t[-1])
    half, third, last = t >= 0.5 * end, (t >= 0.5 * end) & (t < 0.75 * end), t >= 0.75 * end
    if half.sum() < 16 or charge_slope_v_per_s <= 0:
        return None
    confidence = 0.6827  # half-widths as standard uncertainties
    line = drift(t[half], v[half], confidence)
    early, late = drift(t[third], v[third], confidence), drift(t[last], v[last], confidence)
    r = -line.slope_per_s / charge_slope_v_per_s
    leak = charge_current_a * r / (1.0 + r)
    # d(leak)/dr = I / (1 + r)^2
    r_sigma = math.hypot(
        line.half_width_per_s / charge_slope_v_per_s, r * charge_slope_uncertainty_v_per_s / charge_slope_v_per_s
    )
    sigma = charge_current_a * r_sigma / (1.0 + r) ** 2
    doubt = 2.0 * math.hypot(early.half_width_per_s, late.half_width_per_s)
    goes_on = -late.slope_per_s >= GOES_ON * -early.slope_per_s - doubt
    return RestLeak(
        leak,
        sigma,
        float(v[half].mean()),
        line.slope_per_s,
        line.half_width_per_s,
        early.slope_per_s,
        late.slope_per_s,
        goes_on,
    )


def verdict_from_rest(rest: RestLeak, cycle: CycleCharges, *, model_share: float = 0.25) -> Verdict:
    """From the rest of a cycle whose discharge followed: is the leak that the rest shows the one that the missing charge
    needs?

    `model_share` is how far the two may be apart: the rest looks at one voltage, the cycle at all of them.
    """
    needed_s = pure_leak_s(cycle)
    needed = needed_s * rest.voltage_v
    needed_sigma = math.hypot(
        math.sqrt(2.0) * cycle.uncertainty_c / (cycle.charge_v_s + cycle.discharge_v_s) * rest.voltage_v,
        model_share * needed,
    )
    sigma = math.hypot(rest.uncertainty_a, LEAST_SHARE * cycle.current_a / SIGMAS)
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
        f"the rest shows {with_uncertainty(rest.leak_a, rest.uncertainty_a, 'A')} at {rest.voltage_v:.3g} V; the missing "
        f"charge needs {with_uncertainty(needed, needed_sigma, 'A')}"
    )
    share = cycle.ratio
    leaks = rest.leak_a > SIGMAS * sigma and rest.goes_on
    explains = abs(rest.leak_a - needed) <= SIGMAS * math.hypot(sigma, needed_sigma)
    explains_nothing = needed - rest.leak_a > SIGMAS * math.hypot(sigma, needed_sigma)
    if needed <= SIGMAS * LEAST_SHARE * cycle.current_a:
        return _undecided(
            f"the cycle gave {share:.3g} of its charge back: nothing is missing", rest.voltage_v, evidence
        )
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
    if explains_nothing and rest.leak_a < needed / 2:
        return _undecided(f"{found}: a leak, but not all of what is missing", rest.voltage_v, evidence)
    return _undecided(f"{found}, and {'goes on' if rest.goes_on else 'slows down'}", rest.voltage_v, evidence)
