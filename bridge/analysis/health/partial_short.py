"""A leak that is smaller than the current: seen in a rest, or in a charge that takes more than was planned.

In a rest the cell loses what the leak takes, I = dQ/dV * dV/dt, with dQ/dV from the end of the charge before. A cell
that only relaxes slows down; a leak goes on. So the rest's last half is looked at, whether it slows, at 300 s and at
each doubling of that. A leak of less than the share given, or of less than 20 uV/s (a
silicon anode's own), or in a rest that is shorter, is not seen; nor is one in a
rest with the cell disconnected, as no voltage is read then: compare the rested voltages before and after.

Sources: domain note, section 4.
"""

from __future__ import annotations

import math

import numpy as np

from bridge.analysis.formatting import si
from drivers.samples import EndReason
from drivers.techniques import Galvanostatic, OpenCircuit

from .detector import NOTHING, Array, Finding, Samples, Situation, Tail

FIRST_LOOK_S = 300.0
#: The slope of the last quarter against that of the quarter before: less is relaxation.
_GOES_ON = 0.85
_SIGMAS = 6.0
#: A silicon anode's hysteresis (0.2 to 0.4 V) is forgotten within some 3e4 s: up to 13 uV/s that do not slow either.
_HYSTERESIS_V_PER_S = 20e-6
#: Charge beyond the plan by this factor (domain note, section 3).
_BEYOND = 1.2
_KEPT = 32
#: A rest is kept at so many points at most, evenly; then every second one is dropped.
_POINTS = 4096
_WHAT = "Repeat the charge at another current, or rest with the voltage measured: a leak grows with time, a trap not."


class PartialShortDetector:
    """Kind `partial_short` (warning). `share` is the part of the last current from which on a leak is told."""

    def __init__(self, share: float = 0.05) -> None:
        self._share = share
        self._tail = Tail(_KEPT)
        self._farads: float | None = None
        self._current_a = 0.0
        self._rest: list[tuple[float, float]] = []
        self._every = 1
        self._seen = 0
        self._look_s = FIRST_LOOK_S
        self._told = False

    def begin(self, situation: Situation) -> None:
        self._tail.clear()
        self._rest = []
        self._every, self._seen = 1, 0
        self._look_s = FIRST_LOOK_S
        self._told = False

    def add(self, samples: Samples, situation: Situation) -> list[Finding]:
        if not len(samples):
            return []
        if isinstance(situation.technique, Galvanostatic):
            self._tail.join(samples)
            return self._beyond_plan(samples, situation)
        if isinstance(situation.technique, OpenCircuit):
            return self._at_rest(samples)
        return []

    def finish(self, end: EndReason | None, situation: Situation) -> list[Finding]:
        """After a charge, keeps dQ/dV at its end for the rest that may follow."""
        set_a = situation.set_a
        if isinstance(situation.technique, Galvanostatic) and set_a:
            joined, _ = self._tail.join(NOTHING)
            self._farads, self._current_a = None, max(set_a, 0.0)
            if set_a > 0.0 and len(joined) >= 8 and joined.time_s[-1] > situation.quiet_s:
                slope, sigma = _slope(joined.time_s, joined.voltage_v)
                if slope > _SIGMAS * sigma:
                    self._farads = set_a / slope - situation.stray_f
        return []

    def _beyond_plan(self, samples: Samples, situation: Situation) -> list[Finding]:
        set_a, planned = situation.set_a, situation.planned_c
        if self._told or not set_a or set_a < 0.0 or not planned:
            return []
        limit_s = _BEYOND * planned / set_a
        beyond = np.flatnonzero(samples.time_s > limit_s)
        if not len(beyond):
            return []
        at = int(beyond[0])
        self._told = True
        now = float(samples.time_s[at])
        text = f"the charge is {_BEYOND:g} times what was planned and has not reached its limit: a leak, or plating"
        return [
            self._finding(limit_s / _BEYOND, now, samples, at, text, {"planned_c": planned, "passed_c": set_a * now})
        ]

    def _at_rest(self, samples: Samples) -> list[Finding]:
        if not self._current_a or self._told:
            return []
        found: list[Finding] = []
        for at, (time, voltage) in enumerate(zip(samples.time_s.tolist(), samples.voltage_v.tolist(), strict=True)):
            if time >= self._look_s and not self._told:
                self._look_s *= 2.0
                found += self._look(samples, at)
            if self._seen % self._every == 0 and math.isfinite(voltage):
                self._rest.append((time, voltage))
                if len(self._rest) >= _POINTS:
                    self._rest = self._rest[::2]
                    self._every *= 2
            self._seen += 1
        return found

    def _look(self, samples: Samples, at: int) -> list[Finding]:
        if len(self._rest) < 16:
            return []
        points = np.array(self._rest)
        time, voltage = points[:, 0], points[:, 1]
        end = float(time[-1])
        third = (time >= 0.5 * end) & (time < 0.75 * end)
        fourth = time >= 0.75 * end
        if third.sum() < 4 or fourth.sum() < 4:
            return []
        (early, early_sigma), (late, late_sigma) = (_slope(time[part], voltage[part]) for part in (third, fourth))
        sigma = math.hypot(early_sigma, late_sigma)
        if -late < max(_SIGMAS * sigma, _HYSTERESIS_V_PER_S):
            return []
        # a charge in which the voltage did not rise says that as much leaked as was put in
        leak = self._current_a if self._farads is None else -late * self._farads
        if leak < self._share * self._current_a:
            return []
        if -late < _GOES_ON * -early - 2.0 * sigma:
            return []  # it slows down: relaxation
        self._told = True
        level = float(voltage[-1])
        text = f"the rested voltage falls by {si(-late, 'V/s')} and does not slow: {si(leak, 'A')} leaks"
        evidence = {
            "slope_v_per_s": late,
            "slope_before_v_per_s": early,
            "leak_a": leak,
            "share_of_current": leak / self._current_a,
            "resistance_ohm": level / leak,
        }
        return [self._finding(0.0, float(samples.time_s[at]), samples, at, text, evidence, leak)]

    def _finding(
        self,
        since_s: float,
        now_s: float,
        samples: Samples,
        at: int,
        text: str,
        evidence: dict[str, float],
        leak_a: float = 0.0,
    ) -> Finding:
        return Finding(
            kind="partial_short",
            from_s=since_s,
            to_s=now_s,
            first_index=0,
            next_index=samples.index + (at + 1) * samples.stride,
            severity="warning",
            charge_c=leak_a * (now_s - since_s),
            delay_s=now_s - since_s,
            action=_WHAT,
            text=text,
            evidence=evidence,
        )


def _slope(time_s: Array, voltage_v: Array) -> tuple[float, float]:
    """Straight line through the points: slope, and its standard deviation from their scatter."""
    t = time_s - time_s.mean()
    v = voltage_v - voltage_v.mean()
    square = float(t @ t)
    if square <= 0.0:
        return 0.0, math.inf
    slope = float(t @ v) / square
    rest = v - slope * t
    return slope, math.sqrt(float(rest @ rest) / max(len(t) - 2, 1) / square)
