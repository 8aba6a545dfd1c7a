"""What a current really is, from voltage, time and known parts: never from the galvanostat's own reading.

The regulated and the reported current come from the same converter, so pick-up or leakage outside its loop is
invisible to it (domain note 0.10, 2.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .statistics import Floats, drift, effective_number, mean_half_width


@dataclass(frozen=True, slots=True)
class Measured:
    """A value with half its 90 % confidence interval; both in the value's own unit."""

    value: float
    half_width: float


def mean_of(values: Floats) -> Measured:
    """Mean of a series of shape (n,), its interval by the effective number of samples."""
    if len(values) < 2:
        return Measured(float(values.mean()) if len(values) else math.nan, math.inf)
    std = float(values.std(ddof=1))
    return Measured(float(values.mean()), mean_half_width(std, effective_number(values)))


def through_resistor(voltage_v: Floats, resistance_ohm: float) -> Measured:
    """Current (A) through a known resistor, from the voltage across it."""
    seen = mean_of(voltage_v)
    return Measured(seen.value / resistance_ohm, seen.half_width / resistance_ohm)


def into_capacitor(time_s: Floats, voltage_v: Floats, capacitance_f: float) -> Measured:
    """Current (A) into a known capacitance, from the slope of its voltage: 1 pA into 100 pF is 10 mV/s."""
    slope = drift(time_s, voltage_v)
    return Measured(slope.slope_per_s * capacitance_f, slope.half_width_per_s * capacitance_f)


@dataclass(frozen=True, slots=True)
class TwoPoints:
    """From set points +I and -I: half the sum is the offset (A), half the difference over I the gain."""

    offset_a: Measured
    gain: Measured


def two_points(positive: Measured, negative: Measured, current_a: float) -> TwoPoints:
    together = math.hypot(positive.half_width, negative.half_width) / 2
    return TwoPoints(
        Measured((positive.value + negative.value) / 2, together),
        Measured((positive.value - negative.value) / (2 * current_a), together / current_a),
    )


@dataclass(frozen=True, slots=True)
class OpenLead:
    """A lead with nothing on it: its current at 0 V, and the resistance that the current at `voltage_v` shows.

    `resistance_ohm` is infinite where no conductance is seen; `resistance_at_least_ohm` holds with 95 % confidence.
    """

    offset_a: Measured
    leak_a: Measured
    voltage_v: float
    resistance_ohm: float
    resistance_at_least_ohm: float


def open_lead(at_zero_a: Floats, at_voltage_a: Floats, voltage_v: float) -> OpenLead:
    """Offset and leakage from the currents of shape (n,) at 0 V and at `voltage_v`."""
    zero, high = mean_of(at_zero_a), mean_of(at_voltage_a)
    leak = Measured(high.value - zero.value, math.hypot(zero.half_width, high.half_width))
    # half of a two-sided 90 % interval is the one-sided 95 % bound
    highest = leak.value / voltage_v + leak.half_width / abs(voltage_v)
    return OpenLead(
        zero,
        leak,
        voltage_v,
        voltage_v / leak.value if leak.value / voltage_v > 0 else math.inf,
        1 / highest if highest > 0 else math.inf,
    )


def within(measured: Measured, wanted: float, tolerance: float) -> str:
    """pass, fail or inconclusive: is `measured` within `tolerance` of `wanted`, with its interval counted in?"""
    off = abs(measured.value - wanted)
    if off + measured.half_width <= tolerance:
        return "pass"
    return "fail" if off - measured.half_width > tolerance else "inconclusive"
