"""A cell that is a resistor: shorted when it was made (re-deposition bridges the electrodes), or since.

Its voltage stands still below the window although charge goes in, is V = I R at any current, and nothing at none. A
resistance that puts the voltage into the window cannot be told from a plateau by one current: 30 GOhm across 125 pA
is 3.75 V; the step at another current then tells.

Sources: domain note, section 4.
"""

from __future__ import annotations

import math

import numpy as np

from bridge.analysis.formatting import si
from drivers.samples import EndReason
from drivers.techniques import Galvanostatic, OpenCircuit

from .detector import CELL_LEAST_F_PER_M2, NOTHING, Array, Finding, Samples, Situation, Tail
from .short_finding import short_finding

_KEPT = 16
#: Over so many samples a voltage is judged to stand still, and so many verdicts in a row are needed.
_STILL = 10
_NEEDED = 3
#: The share of the least slope that a living cell has below its window; a short has none.
_FLAT = 0.1
_LOW_V = 1.0
_HIGHEST_LOW_V = 2.0
#: Two currents: equal resistances within 5 %, and what is left at no current.
_SAME_RESISTANCE = 0.05
_INTERCEPT_V = 0.010
#: At open circuit a cell that held `_HELD_V` and now shows less than this is shorted.
_OPEN_CIRCUIT_V = 0.1
_HELD_V = 2.0


class StandingShortDetector:
    """Kind `short` (error)."""

    def __init__(self) -> None:
        self._tail = Tail(_KEPT)
        self._flat = 0
        self._told = False
        self._held = False
        self._level: tuple[float, float] | None = None

    def begin(self, situation: Situation) -> None:
        self._tail.clear()
        self._flat = 0
        self._told = False

    def add(self, samples: Samples, situation: Situation) -> list[Finding]:
        if not len(samples) or not isinstance(situation.technique, Galvanostatic | OpenCircuit):
            return []
        joined, new = self._tail.join(samples)
        found = [] if self._told else self._stands_still(joined, new, situation)
        self._held = self._held or bool((joined.voltage_v[new:] > _HELD_V).any())
        return found

    def finish(self, end: EndReason | None, situation: Situation) -> list[Finding]:
        """Compares the level that the step has reached with the last one at another current."""
        joined, _ = self._tail.join(NOTHING)
        set_a = situation.set_a
        if not set_a or not len(joined):
            return []
        level_v = float(np.median(joined.voltage_v[-3:]))
        before, self._level = self._level, (set_a, level_v)
        if before is None or self._told:
            return []
        before_a, before_v = before
        if abs(set_a - before_a) < 0.5 * max(abs(set_a), abs(before_a)):
            return []
        intercept = (before_v * set_a - level_v * before_a) / (set_a - before_a)
        one, other = before_v / before_a, level_v / set_a
        if not (0 < one < math.inf and abs(one - other) < _SAME_RESISTANCE * one and abs(intercept) < _INTERCEPT_V):
            return []
        text = f"short: V/I is {si(other, 'Ohm')} at {si(set_a, 'A')} and {si(one, 'Ohm')} at {si(before_a, 'A')}"
        at, since_s = len(joined) - 1, float(joined.time_s[0])
        return [short_finding(joined, at, since_s, situation, text, resistance_ohm=other, intercept_v=intercept)]

    def _stands_still(self, joined: Samples, new: int, situation: Situation) -> list[Finding]:
        set_a = situation.set_a or 0.0
        if set_a > 0.0:
            still, low = _still(joined, situation)
        elif set_a == 0.0 and self._held:
            still, low = np.abs(joined.voltage_v) < _OPEN_CIRCUIT_V, _OPEN_CIRCUIT_V
            still &= joined.time_s >= situation.quiet_s
        else:
            return []
        for at in range(new, len(joined)):
            self._flat = self._flat + 1 if still[at] else 0
            if self._flat >= _NEEDED:
                self._told = True
                voltage = float(joined.voltage_v[at])
                evidence = {"voltage_v": voltage}
                if set_a:
                    text = f"short: {si(voltage, 'V')} stands still below {low:g} V although {si(set_a, 'A')} charges"
                    evidence["resistance_ohm"] = voltage / set_a
                else:
                    text = f"short: {si(voltage, 'V')} at open circuit; the cell held more than {_HELD_V:g} V before"
                return [short_finding(joined, at, 0.0, situation, text, **evidence)]
        return []


def _still(samples: Samples, situation: Situation) -> tuple[Array, float]:
    """Where the voltage of a cell being charged stands still below its window, shape (n,), and that limit."""
    still = np.zeros(len(samples), bool)
    technique = situation.technique
    given = technique.voltage_min_v if isinstance(technique, Galvanostatic) else None
    low = min(given, _HIGHEST_LOW_V) if given is not None and given > _LOW_V else _LOW_V
    if len(samples) <= _STILL:
        return still, low
    time, voltage = samples.time_s, samples.voltage_v
    # empty, a cell has about its least capacitance; five times that leaves room for another chemistry
    farads = situation.stray_f + 5.0 * CELL_LEAST_F_PER_M2 * (situation.area_m2 or 0.0)
    least = _FLAT * abs(situation.set_a or 0.0) / farads
    slope = np.abs(voltage[_STILL:] - voltage[:-_STILL]) / (time[_STILL:] - time[:-_STILL])
    still[_STILL:] = (slope < least) & (voltage[_STILL:] < low) & (time[:-_STILL] >= situation.quiet_s)
    return still, low
