"""A short that comes under way: the voltage falls within RC by more than the set current can explain.

In a charge the cell then empties through it: it falls on while it is charged. A fall that is a contact coming back
ends on the cell's curve, and rises on from there. In a discharge everything falls: a lost contact by I/C to the end of
the step, a cell that is empty by a slope that stays; the fall of a short has slowed down within three RC.

A short that takes the voltage below the limit of a discharge within a sample is seen only where neither a lost contact
nor a cell that runs empty could be that fast; else the step is over, with the source off, and the next charge shows it.

Sources: domain note, section 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from itertools import pairwise

import numpy as np

from bridge.analysis.formatting import si
from drivers.samples import EndReason
from drivers.techniques import Galvanostatic, OpenCircuit

from .detector import NOTHING, STEEPEST_V_M2_PER_C, Array, Finding, Samples, Situation, Tail
from .short_finding import noise_v, short_finding

_KEPT = 160
_REFERENCE = 8
#: A contact's gap and its return lie within so many samples: what fell back to the curve before them has not fallen.
_HISTORY = 140
_LEAST_FALL_V = 0.008
_SIGMAS = 10.0
#: For so many samples a fall is followed; in a discharge for three RC if that is longer.
_FOLLOW = 6
_FOLLOW_UNKNOWN = 20
#: A fall of so much in a charge is no contact's resistance going away.
_CLEAR_FALL_V = 0.5
#: The second interval of a fall is that of a lost contact if it has so much of an open lead's slope.
_SLOWS = 0.4
#: The first interval of a fall has at least this share of it: one disturbed sample has none.
_FIRST_SHARE = 0.1
#: The fall of a short in a discharge has slowed down to this share of its first slope; an empty cell's has not.
_SLOWED = 0.5
#: Faster than an open lead, and than an empty cell, by these factors.
_FASTER_THAN_OPEN, _FASTER_THAN_EMPTY = 1.6, 1.5


@dataclass(slots=True)
class _Fall:
    """A fall being watched. `size_v` is how deep it has been, `first_v_per_s` how fast it began."""

    from_s: float
    level_v: float
    size_v: float
    noise_v: float
    first_v_per_s: float
    times: list[float] = field(default_factory=list)
    voltages: list[float] = field(default_factory=list)

    @property
    def has_slowed(self) -> bool:
        """As the fall of a short does, while an empty cell falls on."""
        if len(self.voltages) < 4:
            return False
        late = (self.voltages[-4] - self.voltages[-1]) / (self.times[-1] - self.times[-4])
        pairs = zip(pairwise(self.times), pairwise(self.voltages), strict=True)
        fastest = max((before_v - v) / (t - before_s) for (before_s, t), (before_v, v) in pairs)
        return late < _SLOWED * max(self.first_v_per_s, fastest)


class SuddenShortDetector:
    """Kinds `short` (error) and, for a sudden leak that is smaller than the current, `partial_short` (warning).

    `caution` scales how large a fall has to be.
    """

    def __init__(self, caution: float = 1.0) -> None:
        self._caution = caution
        self._tail = Tail(_KEPT)
        self._fall: _Fall | None = None

    def begin(self, situation: Situation) -> None:
        self._tail.clear()
        self._fall = None

    def add(self, samples: Samples, situation: Situation) -> list[Finding]:
        if not len(samples) or not isinstance(situation.technique, Galvanostatic | OpenCircuit):
            return []
        joined, new = self._tail.join(samples)
        charging = (situation.set_a or 0.0) >= 0.0
        soon = _falls(joined, situation, self._caution, 2)
        candidates = soon if charging else soon | _falls(joined, situation, self._caution, 3)
        found: list[Finding] = []
        at = new
        while at < len(joined):
            if self._fall is None:
                rest = np.flatnonzero(candidates[at:])
                if not len(rest):
                    break
                at += int(rest[0])
                self._fall = _begun(joined, at, 2 if soon[at] else 3, charging=charging, caution=self._caution)
            if self._fall is not None:
                found += self._follow(joined, at, situation, self._fall)
            at += 1
        return found

    def finish(self, end: EndReason | None, situation: Situation) -> list[Finding]:
        if end is not EndReason.VOLTAGE_MIN:
            return []
        joined, _ = self._tail.join(NOTHING)
        fall, self._fall = self._fall, None
        if fall is not None and fall.has_slowed:
            return self._found(joined, len(joined) - 1, situation, fall)
        return self._ended_by_fall(joined, situation)

    def _follow(self, samples: Samples, at: int, situation: Situation, fall: _Fall) -> list[Finding]:
        voltage = float(samples.voltage_v[at])
        if not math.isfinite(voltage):
            return []
        fall.voltages.append(voltage)
        fall.times.append(float(samples.time_s[at]))
        size = fall.level_v - voltage
        if size < 0.3 * fall.size_v:
            self._fall = None
            return []
        fall.size_v = max(fall.size_v, size)
        charging = (situation.set_a or 0.0) >= 0.0
        if charging and size >= _CLEAR_FALL_V:
            return self._found(samples, at, situation, fall)
        if len(fall.voltages) < (_FOLLOW if charging else _long_enough(situation, samples)):
            return []
        if charging:
            change = float(np.median(np.diff(fall.voltages[1:]))) * (len(fall.voltages) - 2)
            real = change < -4.0 * fall.noise_v  # else a contact has become better, or a leak is small
        else:
            real = fall.has_slowed
        if not real:
            self._fall = None
            return []
        return self._found(samples, at, situation, fall)

    def _found(self, samples: Samples, at: int, situation: Situation, fall: _Fall) -> list[Finding]:
        self._fall = None
        set_a = situation.set_a or 0.0
        voltage = float(samples.voltage_v[at])
        size = fall.level_v - voltage
        leak = None if situation.cell_ohm is None else size / situation.cell_ohm
        small = leak is not None and leak < abs(set_a)
        text = f"{'partial short' if small else 'short'}: the voltage fell by {si(size, 'V')}, faster than "
        text += f"{si(set_a, 'A')} can make it" if set_a else "a cell at rest can"
        evidence = {"fall_v": size, "from_v": fall.level_v, "to_v": voltage}
        if leak is not None:
            evidence |= {"leak_a": leak, "resistance_ohm": max(voltage, 0.0) / leak}
        finding = short_finding(samples, at, fall.from_s, situation, text, leak or 0.0, **evidence)
        return [_partial(finding) if small else finding]

    def _ended_by_fall(self, joined: Samples, situation: Situation) -> list[Finding]:
        """A discharge whose last sample fell below the limit faster than a lost contact or an empty cell can do."""
        at, before = len(joined) - 1, len(joined) - 2
        if at <= _REFERENCE or joined.time_s[at] < situation.quiet_s or situation.area_m2 is None:
            return []
        time, voltage = joined.time_s, joined.voltage_v
        first = before - _REFERENCE
        slope = abs(float(voltage[before] - voltage[first]) / float(time[before] - time[first]))
        span = float(time[at] - time[before])
        allowed = self._caution * max(_LEAST_FALL_V, _SIGMAS * noise_v(joined, before))
        set_a = abs(situation.set_a or 0.0)
        empty = STEEPEST_V_M2_PER_C * set_a / situation.area_m2
        allowed += max(_FASTER_THAN_OPEN * set_a / situation.stray_f, _FASTER_THAN_EMPTY * empty, 10.0 * slope) * span
        fall = float(voltage[before] - voltage[at])
        if not fall > allowed:
            return []
        text = f"short: the step ended by a fall of {si(fall, 'V')} within a sample, more than an empty cell or a lost "
        text += "contact can make"
        leak = 0.0 if situation.cell_ohm is None else fall / situation.cell_ohm
        since_s = float(time[before])
        return [short_finding(joined, at, since_s, situation, text, leak, fall_v=fall, allowed_v=allowed, leak_a=leak)]


def _partial(finding: Finding) -> Finding:
    values = {f.name: getattr(finding, f.name) for f in fields(finding)}
    return Finding(**(values | {"kind": "partial_short", "severity": "warning"}))


def _long_enough(situation: Situation, samples: Samples) -> int:
    """How many samples of a discharge show whether a fall slows down."""
    if situation.cell_ohm is None:
        return _FOLLOW_UNKNOWN
    interval_s = max(situation.interval_s * samples.stride, 1e-9)
    return max(_FOLLOW, math.ceil(3.0 * situation.cell_ohm * situation.stray_f / interval_s))


def _falls(samples: Samples, situation: Situation, caution: float, lag: int) -> Array:
    """At which samples the voltage has fallen, over `lag` intervals, by more than it can, shape (n,)."""
    n = len(samples)
    seen = np.zeros(n, bool)
    if n < 2 + lag + _REFERENCE:
        return seen
    time, voltage = samples.time_s, samples.voltage_v
    fall = voltage[:-lag] - voltage[lag:]
    once = voltage[:-lag] - voltage[1 : n - lag + 1]
    span = time[lag:] - time[:-lag]
    slope = np.zeros(n - lag)
    slope[_REFERENCE:] = np.abs(voltage[_REFERENCE:-lag] - voltage[: n - lag - _REFERENCE]) / (
        time[_REFERENCE:-lag] - time[: n - lag - _REFERENCE]
    )
    allowed = np.full(n - lag, caution * _LEAST_FALL_V) + 10.0 * caution * slope * span
    seen[lag:] = (fall > allowed) & (once > _FIRST_SHARE * fall) & (time[lag:] >= situation.quiet_s)
    set_a = situation.set_a or 0.0
    if set_a < 0.0:
        # a lost contact falls by I/C, and goes on to
        open_slope = abs(set_a) / situation.stray_f
        last = voltage[lag - 1 : -1] - voltage[lag:]
        slows = last < _SLOWS * open_slope * (time[lag:] - time[lag - 1 : -1])
        seen[lag:] &= slows | (fall > allowed + _FASTER_THAN_OPEN * open_slope * span)
    seen[: 1 + lag + _REFERENCE] = False
    for at in np.flatnonzero(seen):
        seen[at] = fall[at - lag] > caution * _SIGMAS * noise_v(samples, int(at) - lag)
    return seen


def _begun(samples: Samples, at: int, lag: int, *, charging: bool, caution: float) -> _Fall | None:
    """The fall seen at sample `at`, or None if the voltage has only come back to where it was a while ago."""
    base = at - lag
    level = float(samples.voltage_v[base])
    if charging:
        level = min(level, _curve_before(samples, base))
    noise = noise_v(samples, base)
    size = level - float(samples.voltage_v[at])
    if size < caution * max(_LEAST_FALL_V, _SIGMAS * noise):
        return None
    span = float(samples.time_s[at] - samples.time_s[base])
    first = float(samples.voltage_v[base] - samples.voltage_v[at]) / span
    return _Fall(float(samples.time_s[base]), level, size, noise, first)


def _curve_before(samples: Samples, base: int) -> float:
    """Where the curve of a while ago would be at sample `base`: below it, the contact was open until now."""
    first = max(0, base - _HISTORY)
    if base - first <= _REFERENCE:
        return math.inf
    time, voltage = samples.time_s, samples.voltage_v
    start, stop = first, first + _REFERENCE
    slope = float(voltage[stop] - voltage[start]) / float(time[stop] - time[start])
    return float(voltage[stop]) + slope * float(time[base] - time[stop])
