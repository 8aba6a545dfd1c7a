"""Direct-current resistance and diffusion from a current pulse. Pure functions on one pulse's samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: The stretch before a pulse from which its voltage is carried on: so many of the last samples at most.
_BASELINE = 50
#: A lead's capacitance has settled after so many time constants (to 0.7 %).
SETTLED = 5.0


@dataclass(frozen=True, slots=True)
class PulseResistance:
    """`resistance_ohm` = change of voltage over current at `delay_s` after the edge, with its standard uncertainty from
    the noise and drift of the voltage; None where there is no sample early enough. `valid` is false if the lead's
    capacitance has not settled by then, which `reason` says."""

    delay_s: float
    resistance_ohm: float | None
    uncertainty_ohm: float | None
    valid: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line through samples, for carrying it on: value at time `t` and its standard uncertainty."""

    mean_s: float
    mean: float
    slope: float
    noise: float
    count: int
    spread: float

    def at(self, t: float) -> tuple[float, float]:
        away = t - self.mean_s
        variance = 1 / self.count + (away * away / self.spread if self.spread > 0 else 0.0)
        return self.mean + self.slope * away, self.noise * math.sqrt(variance)


def baseline(time_s: Floats, voltage_v: Floats) -> Line | None:
    """Through the last samples before an edge, shape (n,); None without three with numbers."""
    good = np.isfinite(voltage_v)
    t, v = time_s[good][-_BASELINE:], voltage_v[good][-_BASELINE:]
    if len(t) < 3:
        return None
    x = t - t.mean()
    spread = float(x @ x)
    slope = float(x @ (v - v.mean())) / spread if spread > 0 else 0.0
    rest = v - v.mean() - slope * x
    noise = float(np.sqrt(rest @ rest / (len(t) - 2)))
    return Line(float(t.mean()), float(v.mean()), slope, noise, len(t), spread)


def resistances(
    before: Line | None,
    time_s: Floats,
    voltage_v: Floats,
    step_a: float,
    delays_s: tuple[float, ...],
    stray_f: float,
) -> list[PulseResistance]:
    """At each delay after time zero, the instant of the step by `step_a`; samples of shape (n,) after it.

    The voltage before is carried on as the straight line that it was. At a delay between two samples a straight line
    between them is taken; a delay before the first sample has no value, for the step is not a line.
    """
    found = []
    good = np.isfinite(voltage_v)
    t, v = time_s[good], voltage_v[good]
    for delay in delays_s:
        if before is None or not len(t):
            found.append(PulseResistance(delay, None, None, False, "no voltage was measured before or in the pulse"))
        elif delay < t[0] * (1 - 1e-9) or delay > t[-1] * (1 + 1e-9):
            found.append(PulseResistance(delay, None, None, False, _outside(delay, float(t[0]), float(t[-1]))))
        else:
            expected, doubt = before.at(delay)
            resistance = (float(np.interp(delay, t, v)) - expected) / step_a
            uncertainty = math.hypot(before.noise, doubt) / abs(step_a)
            settling = SETTLED * abs(resistance) * stray_f
            valid = delay >= settling
            reason = "" if valid else f"the lead's {stray_f:g} F need {settling:.3g} s to settle"
            found.append(PulseResistance(delay, resistance, uncertainty, valid, reason))
    return found


def _outside(delay: float, first: float, last: float) -> str:
    if delay < first:
        return f"the first sample comes {first:g} s after the edge: a shorter interval is needed"
    return f"the last sample comes {last:g} s after the edge: a longer pulse is needed"


@dataclass(frozen=True, slots=True)
class Extrapolated:
    """The voltage step at time zero, from the line through the pulse once its lead has settled: what the cell's own
    charging adds until a delay is not in it. Standard uncertainty from the two lines."""

    resistance_ohm: float
    uncertainty_ohm: float
    from_s: float
    to_s: float


def extrapolated(
    before: Line | None, time_s: Floats, voltage_v: Floats, step_a: float, stray_f: float
) -> Extrapolated | None:
    """Over the samples after the lead has settled, up to three times as long; None without four of them."""
    if before is None or not len(time_s):
        return None
    expected, doubt = before.at(0.0)
    rough = abs((float(voltage_v[-1]) - expected) / step_a)
    start = max(SETTLED * rough * stray_f, float(time_s[0]))
    within = np.isfinite(voltage_v) & (time_s >= start) & (time_s <= max(4 * start, float(time_s[0]) * 10))
    t, v = time_s[within], voltage_v[within]
    if len(t) < 4:
        return None
    x = t - t.mean()
    spread = float(x @ x)
    slope = float(x @ (v - v.mean())) / spread
    rest = v - v.mean() - slope * x
    noise = math.sqrt(float(rest @ rest) / (len(t) - 2) * (1 / len(t) + float(t.mean()) ** 2 / spread))
    step_v = float(v.mean()) - slope * float(t.mean()) - expected
    return Extrapolated(step_v / step_a, math.hypot(noise, doubt) / abs(step_a), float(t[0]), float(t[-1]))


@dataclass(frozen=True, slots=True)
class Diffusion:
    """Of one pulse of a titration. `slope_v_per_sqrt_s` is dV/d(sqrt t) with its standard error and r2, over the window
    `from_s` to `to_s` of the pulse."""

    slope_v_per_sqrt_s: float
    uncertainty_v_per_sqrt_s: float
    r2: float
    from_s: float
    to_s: float
    samples: int


def sqrt_slope(time_s: Floats, voltage_v: Floats, from_share: float = 0.1) -> Diffusion | None:
    """Voltage against the square root of time within a pulse, the first `from_share` of it left out (resistance and
    charge transfer). None without four samples."""
    good = np.isfinite(voltage_v) & (time_s >= from_share * (time_s[-1] if len(time_s) else 0.0))
    t, v = time_s[good], voltage_v[good]
    if len(t) < 4:
        return None
    x = np.sqrt(t)
    dx, dv = x - x.mean(), v - v.mean()
    spread = float(dx @ dx)
    slope = float(dx @ dv) / spread
    rest = dv - slope * dx
    total = float(dv @ dv)
    left = float(rest @ rest)
    error = math.sqrt(left / (len(t) - 2) / spread)
    r2 = 1 - left / total if total > 0 else 1.0
    return Diffusion(slope, error, r2, float(t[0]), float(t[-1]), len(t))


def diffusion_time(pulse_s: float, relaxed_change_v: float, pulse_change_v: float) -> float | None:
    """L^2/D of a thin film in seconds, after Weppner and Huggins (1977): pi tau / 4 times (dEt / dEs) squared.

    `relaxed_change_v` is between the relaxed voltages before and after the pulse, `pulse_change_v` within the pulse
    without the resistive step. It holds where the pulse is much shorter than L^2/D. None where nothing changed.
    """
    if not relaxed_change_v or not pulse_change_v:
        return None
    return math.pi * pulse_s / 4 * (pulse_change_v / relaxed_change_v) ** 2
