"""A short under a set voltage: the current jumps up and stays.

A current that comes back after a gap (a contact that closes) comes back to what it was, and is none.
"""

from __future__ import annotations

import numpy as np

from bridge.analysis.formatting import si
from drivers.samples import EndReason
from drivers.techniques import Potentiostatic

from .detector import Finding, Samples, Situation, Tail
from .short_finding import short_finding

_KEPT = 160
#: Samples that a current's history goes back: a contact's gap lies within.
_HISTORY = 140
_REFERENCE = 8
_FOLLOW = 6
_SIGMAS = 10.0
#: The current has risen by this, and by this many times what it was. Moved cables leave up to 20 pA.
_LEAST_RISE_A = 30e-12
_RISE = 3.0


class ShortAtVoltageDetector:
    """Kind `short` (error)."""

    def __init__(self) -> None:
        self._tail = Tail(_KEPT)
        self._told = False

    def begin(self, situation: Situation) -> None:
        self._tail.clear()
        self._told = False

    def add(self, samples: Samples, situation: Situation) -> list[Finding]:
        if not len(samples) or self._told or not isinstance(situation.technique, Potentiostatic):
            return []
        joined, new = self._tail.join(samples)
        for at in range(max(new, _REFERENCE + _FOLLOW), len(joined)):
            if joined.time_s[at] < situation.quiet_s:
                continue
            reference = joined.current_a[at - _REFERENCE - _FOLLOW + 1 : at - _FOLLOW + 1]
            now = joined.current_a[at - _FOLLOW + 1 : at + 1]
            before = float(np.mean(reference))
            rise = np.abs(now - before)
            most = float(np.max(np.abs(joined.current_a[max(0, at - _HISTORY) : at - _FOLLOW + 1])))
            least = max(_LEAST_RISE_A, _RISE * most, _SIGMAS * float(np.std(reference)))
            if float(rise.min()) > least and (now > 0).all() == (now > 0).any():
                self._told = True
                leak = float(np.median(now)) - before
                ohm = abs(float(joined.voltage_v[at]) / leak)
                text = f"short: the current rose from {si(before, 'A')} to {si(float(now[-1]), 'A')} at a set voltage"
                since_s = float(joined.time_s[at - _FOLLOW])
                found = {"leak_a": leak, "resistance_ohm": ohm}
                return [short_finding(joined, at, since_s, situation, text, abs(leak), **found)]
        return []

    def finish(self, end: EndReason | None, situation: Situation) -> list[Finding]:
        return []
