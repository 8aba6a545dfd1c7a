"""Internal resistance from the edge between two steps of a cycle: change of voltage over change of current."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .pulse import SETTLED
from .statistics import Floats


@dataclass(frozen=True, slots=True)
class StepResistance:
    """`resistance_ohm` = (V after - V before) / (I after - I before), `delay_s` after the later step began.

    `before_s` is how long before that edge the cell's earlier current ended (a rest; 0 without one): what the cell
    relaxed in it and in the delay is in the resistance. `valid` is false where the lead's capacitance has not settled
    at the delay, which `reason` says.
    """

    resistance_ohm: float
    uncertainty_ohm: float
    delay_s: float
    before_s: float
    valid: bool
    reason: str


def step_resistance(
    before_v: float,
    before_a: float,
    time_s: Floats,
    voltage_v: Floats,
    after_a: float,
    *,
    delay_s: float,
    stray_f: float,
    noise_v: float = 0.0,
    rest_s: float = 0.0,
) -> StepResistance | None:
    """From the last sample before an edge and the samples after it, shape (n,), time from the edge.

    At a delay between two samples a straight line between them is taken; a delay before the first sample becomes that
    sample's, for the step is no line. None without samples, or without a change of current.
    """
    known = np.isfinite(voltage_v)
    t, v = time_s[known], voltage_v[known]
    change = after_a - before_a
    if not len(t) or not change or not math.isfinite(before_v):
        return None
    at = min(max(delay_s, float(t[0])), float(t[-1]))
    resistance = (float(np.interp(at, t, v)) - before_v) / change
    settling = SETTLED * abs(resistance) * stray_f
    valid, reason = True, ""
    if resistance <= 0:
        valid, reason = False, "the voltage went against the current: relaxation, or a contact that has changed"
    elif at < settling:
        valid, reason = False, f"the lead's {stray_f:g} F need {settling:.3g} s to settle"
    return StepResistance(resistance, math.sqrt(2.0) * noise_v / abs(change), at, rest_s, valid, reason)
