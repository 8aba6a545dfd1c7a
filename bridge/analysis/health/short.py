"""A shorted cell: born so (re-deposition bridges the electrodes), or shorted while it runs.

A short that comes under way lets the voltage fall within RC by more than the set current can explain, and the cell then
empties through it: it falls on while it is charged. A short from the beginning is a resistor: a voltage that stands
still below the window although charge goes in, V = I R with no voltage left at zero current. Under a set voltage the
current jumps up and stays.

A fall that is a contact coming back (the lead returns to the cell's curve, and rises on from there) is none. Where the
voltage neither falls nor lies below the window nothing can be seen: 30 GOhm across 125 pA is 3.7 V, a plateau.

Sources: domain note, section 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bridge.analysis.formatting import si
from drivers.samples import EndReason
from drivers.techniques import Galvanostatic, OpenCircuit, Potentiostatic

from .detector import CELL_LEAST_F_PER_M2, Array, Finding, Samples, Situation, Tail

_KEPT = 160
_REFERENCE = 8
#: A contact's gap and its return lie within so many samples: what fell back to a level of theirs has not fallen.
_HISTORY = 140
_LEAST_FALL_V = 0.010
_SIGMAS = 10.0
#: Over so many samples a voltage is judged to stand still, or to fall on.
_STILL = 10
_FOLLOW = 6
#: A fall of so much is no contact's resistance going away.
_CLEAR_FALL_V = 0.5
#: The second interval of a fall is that of a lost contact if it has so much of an open lead's slope.
_SLOWS = 0.4
#: The first interval of a fall has at least this share of it: one disturbed sample has none.
_FIRST_SHARE = 0.1
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
#: A set voltage: the current has risen by this, and by this many times what it was. Moved cables leave up to 20 pA.
_LEAST_RISE_A = 30e-12
_RISE = 3.0

_RECLEAN = "Disconnect. Clean the cross-section again, enter the new length and width, and repeat the short test."


@dataclass(slots=True)
class _Fall:
    """A fall being watched."""

    from_s: float
    index: int
    level_v: float
    size_v: float
    noise_v: float
    steps: int = 0
    first_v: float = 0.0
    voltages: list[float] | None = None
    times: list[float] | None = None


class ShortDetector:
    """Kinds `short` (error) and, for a sudden leak that is smaller than the current, `partial_short` (warning).

    `caution` scales how large a fall has to be.
    """

    def __init__(self, caution: float = 1.0) -> None:
        self._caution = caution
        self._tail = Tail(_KEPT)
        self._fall: _Fall | None = None
        self._flat = 0
        self._told = False
        self._held = False
        self._level: tuple[float, float] | None = None
        self._last: tuple[float, float] | None = None
        self._start: tuple[float, float] | None = None

    def begin(self, situation: Situation) -> None:
        self._tail.clear()
        self._fall = None
        self._flat = 0
        self._told = False
        self._start = None

    def add(self, samples: Samples, situation: Situation) -> list[Finding]:
        if not len(samples) or not isinstance(situation.technique, Galvanostatic | OpenCircuit | Potentiostatic):
            return []
        joined, new = self._tail.join(samples)
        if isinstance(situation.technique, Potentiostatic):
            found = self._risen(joined, new, situation)
        else:
            found = self._fallen(joined, new, situation)
            found += self._stands_still(joined, new, situation)
        self._held = self._held or bool((joined.voltage_v[new:] > _HELD_V).any())
        self._last = (float(joined.time_s[-1]), float(joined.voltage_v[-1]))
        return found

    def finish(self, end: EndReason | None, situation: Situation) -> list[Finding]:
        """Compares the level that the step has reached with the last one at another current."""
        joined, _ = self._tail.join(_NOTHING)
        set_a = situation.set_a
        if set_a is None or not len(joined):
            return []
        if end is EndReason.VOLTAGE_MIN and not self._told and (ended := self._ended_by_fall(joined, situation)):
            return [ended]
        level_v = float(np.median(joined.voltage_v[-3:]))
        before, self._level = self._level, (set_a, level_v) if set_a else self._level
        if before is None or not set_a or self._told:
            return []
        before_a, before_v = before
        if abs(set_a - before_a) < 0.5 * max(abs(set_a), abs(before_a)):
            return []
        intercept = (before_v * set_a - level_v * before_a) / (set_a - before_a)
        one, other = before_v / before_a, level_v / set_a
        if not (0 < one < math.inf and abs(one - other) < _SAME_RESISTANCE * one and abs(intercept) < _INTERCEPT_V):
            return []
        text = f"short: V/I is {si(other, 'Ohm')} at {si(set_a, 'A')} and {si(one, 'Ohm')} at {si(before_a, 'A')}"
        return [self._short(joined, len(joined) - 1, float(joined.time_s[0]), situation, text, resistance_ohm=other)]

    # --- a short that comes ----------------------------------------------------------------------------------------

    def _fallen(self, joined: Samples, new: int, situation: Situation) -> list[Finding]:
        set_a = situation.set_a or 0.0
        candidates = _falls(joined, situation, self._caution)
        found: list[Finding] = []
        at = new
        while at < len(joined):
            if self._fall is None:
                rest = np.flatnonzero(candidates[at:])
                if not len(rest):
                    break
                at += int(rest[0])
                self._fall = _begun(joined, at, charging=set_a >= 0.0, caution=self._caution)
            if self._fall is not None:
                found += self._follow(joined, at, situation)
            at += 1
        return found

    def _follow(self, samples: Samples, at: int, situation: Situation) -> list[Finding]:
        fall = self._fall
        assert fall is not None
        voltage = float(samples.voltage_v[at])
        if not math.isfinite(voltage):
            return []
        fall.steps += 1
        if fall.voltages is None or fall.times is None:
            fall.voltages, fall.times = [], []
        fall.voltages.append(voltage)
        fall.times.append(float(samples.time_s[at]))
        size = fall.level_v - voltage
        if size < 0.3 * fall.size_v:
            self._fall = None
            return []
        fall.size_v = max(fall.size_v, size)
        if size < _CLEAR_FALL_V and fall.steps < _FOLLOW:
            return []
        leak = None if situation.cell_ohm is None else size / situation.cell_ohm
        set_a = situation.set_a or 0.0
        if size < _CLEAR_FALL_V:
            change = float(np.median(np.diff(fall.voltages[1:]))) * (len(fall.voltages) - 2)
            onwards = change < -4.0 * fall.noise_v
            if set_a >= 0.0 and not onwards:
                self._fall = None  # a contact has become better, or a small leak: the curve goes on rising
                return []
        self._fall = None
        self._told = True
        small = leak is not None and leak < abs(set_a)
        text = f"{'partial short' if small else 'short'}: the voltage fell by {si(size, 'V')}, faster than "
        text += f"{si(set_a, 'A')} can make it" if set_a else "a cell at rest can"
        evidence = {"fall_v": size, "from_v": fall.level_v, "to_v": voltage}
        if leak is not None:
            evidence |= {"leak_a": leak, "resistance_ohm": max(voltage, 0.0) / leak if leak else math.inf}
        finding = self._short(samples, at, fall.from_s, situation, text, leak or 0.0, **evidence)
        if not small:
            return [finding]
        kind, severity = "partial_short", "warning"
        return [_changed(finding, kind, severity)]

    def _ended_by_fall(self, joined: Samples, situation: Situation) -> Finding | None:
        """A discharge whose last sample fell below the limit faster than a lost contact or an empty cell can do."""
        at = len(joined) - 1
        if at <= _REFERENCE or joined.time_s[at] < situation.quiet_s:
            return None
        time, voltage = joined.time_s, joined.voltage_v
        before = at - 1
        slope = abs(
            float(voltage[before] - voltage[before - _REFERENCE]) / float(time[before] - time[before - _REFERENCE])
        )
        span = float(time[at] - time[before])
        allowed = self._caution * max(_LEAST_FALL_V, _SIGMAS * _noise_v(joined, before))
        allowed += (1.6 * abs(situation.set_a or 0.0) / situation.stray_f + 10.0 * slope) * span
        fall = float(voltage[before] - voltage[at])
        if not fall > allowed:
            return None
        text = f"short: the step ended by a fall of {si(fall, 'V')} within a sample, more than an empty cell or a lost "
        text += "contact can make"
        leak = 0.0 if situation.cell_ohm is None else fall / situation.cell_ohm
        return self._short(joined, at, float(time[before]), situation, text, leak, fall_v=fall, allowed_v=allowed)

    # --- a short that is there -------------------------------------------------------------------------------------

    def _stands_still(self, joined: Samples, new: int, situation: Situation) -> list[Finding]:
        if self._told:
            return []
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
            if self._flat >= 3:
                self._told = True
                voltage = float(joined.voltage_v[at])
                if set_a:
                    text = f"short: {si(voltage, 'V')} stands still below {low:g} V although {si(set_a, 'A')} charges"
                    evidence = {"voltage_v": voltage, "resistance_ohm": voltage / set_a}
                else:
                    text = f"short: {si(voltage, 'V')} at open circuit; the cell held more than {_HELD_V:g} V before"
                    evidence = {"voltage_v": voltage}
                return [self._short(joined, at, 0.0, situation, text, **evidence)]
        return []

    def _risen(self, joined: Samples, new: int, situation: Situation) -> list[Finding]:
        if self._told or len(joined) < _REFERENCE + _FOLLOW:
            return []
        for at in range(max(new, _REFERENCE + _FOLLOW), len(joined)):
            if joined.time_s[at] < situation.quiet_s:
                continue
            reference = joined.current_a[at - _REFERENCE - _FOLLOW + 1 : at - _FOLLOW + 1]
            now = joined.current_a[at - _FOLLOW + 1 : at + 1]
            before = float(np.mean(reference))
            rise = np.abs(now - before)
            least = max(_LEAST_RISE_A, _RISE * abs(before), _SIGMAS * float(np.std(reference)))
            if float(rise.min()) > least and (now > 0).all() == (now > 0).any():
                self._told = True
                leak = float(np.median(now)) - before
                voltage = float(joined.voltage_v[at])
                text = f"short: the current rose from {si(before, 'A')} to {si(float(now[-1]), 'A')} at a set voltage"
                since = float(joined.time_s[at - _FOLLOW])
                ohm = abs(voltage / leak)
                return [self._short(joined, at, since, situation, text, abs(leak), leak_a=leak, resistance_ohm=ohm)]
        return []

    def _short(
        self,
        samples: Samples,
        at: int,
        since_s: float,
        situation: Situation,
        text: str,
        through_a: float = 0.0,
        **evidence: float,
    ) -> Finding:
        now = float(samples.time_s[at])
        passed = (abs(situation.set_a or 0.0) + through_a) * (now - since_s)
        first = int(np.searchsorted(samples.time_s[: at + 1], since_s))
        return Finding(
            kind="short",
            from_s=since_s,
            to_s=now,
            first_index=samples.index + first * samples.stride,
            next_index=samples.index + (at + 1) * samples.stride,
            severity="error",
            charge_c=passed,
            delay_s=now - since_s,
            action=_RECLEAN,
            text=text,
            evidence=evidence,
        )


def _changed(finding: Finding, kind: str, severity: str) -> Finding:
    fields = {name: getattr(finding, name) for name in Finding.__slots__}
    return Finding(**(fields | {"kind": kind, "severity": severity}))


def _falls(samples: Samples, situation: Situation, caution: float) -> Array:
    """At which samples the voltage has fallen, over two intervals, by more than it can, shape (n,)."""
    seen = np.zeros(len(samples), bool)
    if len(samples) < 4 + _REFERENCE:
        return seen
    time, voltage = samples.time_s, samples.voltage_v
    n = len(samples)
    fall = voltage[:-2] - voltage[2:]
    once = voltage[:-2] - voltage[1:-1]
    span = time[2:] - time[:-2]
    slope = np.zeros(n - 2)
    slope[_REFERENCE:] = np.abs(voltage[_REFERENCE:-2] - voltage[: n - 2 - _REFERENCE]) / (
        time[_REFERENCE:-2] - time[: n - 2 - _REFERENCE]
    )
    allowed = np.full(n - 2, caution * _LEAST_FALL_V) + 10.0 * caution * slope * span
    set_a = situation.set_a or 0.0
    seen[2:] = (fall > allowed) & (once > _FIRST_SHARE * fall) & (time[2:] >= situation.quiet_s)
    if set_a < 0.0:
        # a lost contact falls by I/C, and goes on to
        open_slope = abs(set_a) / situation.stray_f
        slows = fall - once < _SLOWS * open_slope * (time[2:] - time[1:-1])
        seen[2:] &= slows | (fall > allowed + 1.6 * open_slope * span)
    seen[: 3 + _REFERENCE] = False
    for at in np.flatnonzero(seen):
        seen[at] = fall[at - 2] > caution * _SIGMAS * _noise_v(samples, int(at) - 2)
    return seen


def _begun(samples: Samples, at: int, *, charging: bool, caution: float) -> _Fall | None:
    """The fall seen at sample `at`, or None if the voltage has only come back to where it was a while ago."""
    base = at - 2
    level = float(samples.voltage_v[base])
    if charging:
        history = samples.voltage_v[max(0, base - _HISTORY + 20) : base + 1]
        level = min(level, float(np.min(history)))
    noise = _noise_v(samples, base)
    size = level - float(samples.voltage_v[at])
    if size < caution * max(_LEAST_FALL_V, _SIGMAS * noise):
        return None
    index = samples.index + base * samples.stride
    return _Fall(float(samples.time_s[base]), index, level, size, noise)


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


def _noise_v(samples: Samples, at: int) -> float:
    """Standard deviation of a voltage sample up to sample `at`, from second differences (which see no slope)."""
    voltage = samples.voltage_v[max(0, at - 15) : at + 1]
    if len(voltage) < 5:
        return 0.0
    return float(np.median(np.abs(np.diff(voltage, 2)))) / (0.6745 * math.sqrt(6.0))


_NOTHING = Samples(np.empty(0), np.empty(0), np.empty(0), np.empty(0, np.uint32))
