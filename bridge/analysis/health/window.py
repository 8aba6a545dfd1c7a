"""The voltage outside the hard window: below every schedule's limits, a net that never ends a step normally."""

from __future__ import annotations

import numpy as np

from bridge.analysis.formatting import si
from drivers.samples import EndReason

from .detector import Finding, Samples, Situation

#: In a row, so that one disturbed sample decides nothing.
_SAMPLES = 2
_SHORT_FIRST = 5
_CHECK = "Check polarity, limits and the contact before the cell is connected again."


class WindowDetector:
    """Kind `window` (error): above `high_v`, or below `low_v` unless the current raises the voltage."""

    def __init__(self) -> None:
        self._beyond = 0
        self._told = False
        self._first = 0
        self._since_s = 0.0

    def begin(self, situation: Situation) -> None:
        self._beyond = 0
        self._told = False

    def add(self, samples: Samples, situation: Situation) -> list[Finding]:
        if not len(samples):
            return []
        beyond = np.zeros(len(samples), bool)
        if situation.high_v is not None:
            beyond |= samples.voltage_v > situation.high_v
        if situation.low_v is not None and not (situation.set_a or 0.0) > 0.0:
            low = samples.voltage_v < situation.low_v
            if situation.set_a == 0.0:  # at rest there is time to see whether it is a short, which says more
                low &= samples.time_s >= situation.quiet_s + _SHORT_FIRST * situation.interval_s * samples.stride
            beyond |= low
        if not beyond.any():
            self._beyond, self._told = 0, False
            return []
        found: list[Finding] = []
        for at in range(len(samples)):
            if not beyond[at]:
                self._beyond, self._told = 0, False
                continue
            if self._beyond == 0:
                self._first = samples.index + at * samples.stride
                self._since_s = float(samples.time_s[at])
            self._beyond += 1
            if self._beyond >= _SAMPLES and not self._told:
                self._told = True
                found.append(self._finding(samples, at, situation))
        return found

    def finish(self, end: EndReason | None, situation: Situation) -> list[Finding]:
        return []

    def _finding(self, samples: Samples, at: int, situation: Situation) -> Finding:
        voltage, now = float(samples.voltage_v[at]), float(samples.time_s[at])
        limit = situation.high_v if voltage > (situation.high_v or np.inf) else situation.low_v
        assert limit is not None
        side = "above" if voltage > limit else "below"
        delay = now - self._since_s + samples.stride * situation.interval_s
        return Finding(
            kind="window",
            from_s=self._since_s,
            to_s=now,
            first_index=self._first,
            next_index=samples.index + (at + 1) * samples.stride,
            severity="error",
            charge_c=abs(situation.set_a or 0.0) * delay,
            delay_s=delay,
            action=_CHECK,
            text=f"the voltage is {si(voltage, 'V')}, {side} the hard limit of {si(limit, 'V')}",
            evidence={"voltage_v": voltage, "limit_v": limit},
        )
