"""Did the charge that did not come back leak away, or is it trapped in the cell? By a second rate.

One cycle cannot tell (domain note, section 0.5). A leak takes charge by time, so at a higher rate less of it is lost; a
trap takes it by charge. The leak is taken as a resistor, G V, over the measured voltage, so that with S the integral of
V over time a charge stores Qc - G Sc and a discharge takes out Qd + G Sd. A trap keeps 1 - phi of the charge that goes
in for the first time. Two cycles give G and phi. The other way, a rest, is in `leak_in_rest`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from .formatting import si

#: What a real cell may be off from the two models, in shares of the charge that is returned: polarisation and
#: hysteresis cut a discharge short by as much at another rate.
MODEL_SHARE = 0.02
#: A hypothesis is rejected beyond so many standard uncertainties.
SIGMAS = 3.0
_SQRT2 = math.sqrt(2.0)


@dataclass(frozen=True, slots=True)
class CycleCharges:
    """A charge and the discharge after it: coulombs, unsigned, with the standard uncertainty of either, and the
    integral of the voltage over each of them in volt-seconds (a rest of
    `rest_s` in between belongs to the charge)."""

    current_a: float
    charge_c: float
    discharge_c: float
    charge_v_s: float
    discharge_v_s: float
    uncertainty_c: float = 0.0
    rest_s: float = 0.0

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
        return (self.charge_c + self.discharge_c) / self.current_a + self.rest_s


@dataclass(frozen=True, slots=True)
class Verdict:
    """`verdict` is "leak", "trap" or "undecided". `leak_a` at `at_voltage_v` with its standard uncertainty (None where
    neither is known), and the same as a resistance (None where no leak was found). `returned_share` is phi: what comes
    back of charge put in for the first time, the leak aside. `evidence` has the numbers that decided."""

    verdict: str
    reason: str
    leak_a: float | None
    leak_uncertainty_a: float | None
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
    from scipy.optimize import brentq  # takes long to import

    highest = pure_leak_s(first)

    def off(part: float) -> float:
        leak_s = part * highest
        share = _share_for(first, leak_s)
        return predicted_discharge(first, second, leak_s, share, same_cell=same_cell) - second.discharge_c

    if highest <= 0 or off(0.0) * off(1.0) > 0:
        return None
    leak_s = highest * float(brentq(off, 0.0, 1.0))
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
    if lost <= SIGMAS * math.hypot(_SQRT2 * first.uncertainty_c, model_share * first.charge_c):
        share = f"{first.ratio:.3g}"
        return undecided(f"the first cycle gave {share} of its charge back: nothing is missing", voltage, evidence)
    fits_leak, fits_trap = abs(leak_off) <= SIGMAS, abs(trap_off) <= SIGMAS
    said = (
        f"the second rate gave {second.ratio:.3f} back, where a leak gives {by_leak / second.charge_c:.3f} and a trap "
    )
    said += f"{by_trap / second.charge_c:.3f}"
    if fits_leak and not fits_trap:
        fitted, sigma = _leak_of_both(first, second)
        return Verdict("leak", said, fitted * voltage, sigma * voltage, voltage, 1.0 / fitted, 1.0, evidence)
    if fits_trap and not fits_leak:
        fitted = 0.0 if both is None else both[0]
        sigma = _leak_sigma(first, second, fitted, same_cell=same_cell)
        return Verdict("trap", said, fitted * voltage, sigma * voltage, voltage, None, trap_share, evidence)
    if both is not None and not fits_leak:
        evidence |= {"leak_if_both_a": both[0] * voltage, "returned_share_if_both": both[1]}
        said += f"; both together fit: {si(both[0] * voltage, 'A')} leaks and {1 - both[1]:.2g} of fresh charge stays"
    elif fits_leak and fits_trap:
        said += ": too close to tell"
    return undecided(said, voltage, evidence)


def _predict(first: CycleCharges, predict: Callable[[CycleCharges], float]) -> tuple[float, float]:
    """A prediction from the first cycle and its standard uncertainty, by the change with each of its charges."""
    value = predict(first)
    step = first.uncertainty_c or 1e-6 * first.charge_c
    moved = [
        predict(replace(first, charge_c=first.charge_c + step)) - value,
        predict(replace(first, discharge_c=first.discharge_c + step)) - value,
    ]
    return value, math.hypot(*moved) * (first.uncertainty_c / step)


def _leak_sigma(first: CycleCharges, second: CycleCharges, leak_s: float, *, same_cell: bool) -> float:
    """Standard uncertainty in siemens of the leak that both models together find: that of the charges over how fast the
    predicted discharge changes with the leak."""

    def predicted(at_s: float) -> float:
        return predicted_discharge(first, second, at_s, _share_for(first, at_s), same_cell=same_cell)

    step = 1e-3 * pure_leak_s(first)
    slope = (predicted(leak_s + step) - predicted(leak_s)) / step
    charges = math.hypot(_SQRT2 * first.uncertainty_c, _SQRT2 * second.uncertainty_c)
    return charges / abs(slope) if slope else math.inf


def _leak_of_both(first: CycleCharges, second: CycleCharges) -> tuple[float, float]:
    """Conductance that explains both cycles alone, weighted by their uncertainties, and its standard uncertainty."""
    values, weights = [], []
    for cycle in (first, second):
        seconds = cycle.charge_v_s + cycle.discharge_v_s
        sigma = math.hypot(_SQRT2 * cycle.uncertainty_c, MODEL_SHARE * cycle.charge_c) / seconds
        values.append(pure_leak_s(cycle))
        weights.append(sigma**-2)
    total = sum(weights)
    mean = sum(value * weight for value, weight in zip(values, weights, strict=True)) / total
    return mean, max(total**-0.5, abs(values[0] - values[1]) / 2)


def undecided(reason: str, voltage_v: float, evidence: dict[str, float]) -> Verdict:
    return Verdict("undecided", reason, None, None, voltage_v, None, None, evidence)
