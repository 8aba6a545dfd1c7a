"""The instrument at the end of its range: what it reads, or sets, is not what is there."""

from __future__ import annotations

import numpy as np

from drivers.samples import EndReason, Flag

from .detector import Finding, Samples, Situation

#: The flag of the device comes first; without one, this share of full scale counts (domain note, section 4).
_FULL = 0.98
_BITS = Flag.OVERLOAD | Flag.RANGE_COMPLIANCE
#: Of the last `_OF` samples so many, before it is believed.
_NEEDED, _OF = 2, 3
#: Samples without, before it is over.
_CLEAR = 5
_WIDEN = "Choose a wider current range before the next step (never within one)."


class OverloadDetector:
    """Kind `overload`: a warning when it begins, an error once it has stayed for `stays_s`."""

    def __init__(self, stays_s: float = 10.0) -> None:
        self._stays_s = stays_s
        self._window: list[bool] = []
        self._since: tuple[float, int] | None = None
        self._clear = 0
        self._told = False
        self._before_s = 0.0

    def begin(self, situation: Situation) -> None:
        self._window = []
        self._since = None
        self._clear = 0
        self._told = False
        self._before_s = 0.0

    def add(self, samples: Samples, situation: Situation) -> list[Finding]:
        if not len(samples):
            return []
        over = (samples.flags & int(_BITS)) != 0
        if situation.range_a:
            over |= np.abs(samples.current_a) >= _FULL * situation.range_a
        if self._since is None and not over.any():
            self._window = [*self._window, *[False] * min(len(samples), _OF)][-_OF:]
            self._before_s = float(samples.time_s[-1])
            return []
        found: list[Finding] = []
        for at in range(len(samples)):
            found += self._one(samples, at, bool(over[at]), situation)
        return found

    def finish(self, end: EndReason | None, situation: Situation) -> list[Finding]:
        return []

    def _one(self, samples: Samples, at: int, over: bool, situation: Situation) -> list[Finding]:
        now, index = float(samples.time_s[at]), samples.index + at * samples.stride
        before_s, self._before_s = self._before_s, now
        self._window = [*self._window, over][-_OF:]
        if self._since is None:
            if sum(self._window) < _NEEDED:
                return []
            self._since = (before_s, max(0, index - samples.stride))
            self._clear, self._told = 0, False
            return [self._finding(now, index + samples.stride, "warning", "the instrument is over range", situation)]
        self._clear = 0 if over else self._clear + 1
        if self._clear >= _CLEAR:
            self._since = None
            return []
        if not self._told and now - self._since[0] >= self._stays_s:
            self._told = True
            text = f"the instrument has been over range for {self._stays_s:g} s"
            return [self._finding(now, index + samples.stride, "error", text, situation)]
        return []

    def _finding(self, now_s: float, next_index: int, severity: str, text: str, situation: Situation) -> Finding:
        assert self._since is not None
        since_s, first = self._since
        evidence = {"range_a": situation.range_a} if situation.range_a else {}
        return Finding(
            kind="overload",
            from_s=since_s,
            to_s=now_s,
            first_index=first,
            next_index=next_index,
            severity=severity,
            charge_c=abs(situation.set_a or 0.0) * (now_s - since_s),
            delay_s=now_s - since_s,
            action=_WIDEN,
            text=text,
            evidence=evidence,
        )
