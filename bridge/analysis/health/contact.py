"""Contact lost, and contact that comes and goes.

Under a set current a broken contact leaves the current to the lead's own capacitance: the voltage ramps by I/C, in the
direction of the current (5 pA into 100 pF: 50 mV/s), far from any compliance for seconds. So everything is judged in
units of that slope, r = (dV/dt) / (I/C): 1 on an open lead, C/(C + dQ/dV) on a cell, whose differential capacitance
dQ/dV has a least value that its area gives. Back in contact, the voltage returns to the curve it left, within RC, and
the lead's charge, C times the excess voltage, goes into the cell at once.

Under a set voltage a broken contact lets the current vanish from one sample to the next. At open circuit no current
flows and a broken contact cannot be seen.

Sources: domain note, sections 0.3 and 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bridge.analysis.formatting import si
from drivers.samples import EndReason, Flag
from drivers.techniques import Galvanostatic, Potentiostatic

from .contact_signs import (
    FASTEST,
    JUMP_V,
    KEPT,
    REFERENCE,
    SIGMAS,
    empty_ratio,
    least_ratio,
    noise_a,
    open_slope,
    ramps,
    ratios,
    reference_a,
    vanished,
)
from .detector import NOTHING, Array, Finding, Samples, Situation, Tail
from .short_finding import noise_v

#: Back on the curve: within this of it, and within this share of the peak.
_RETURN_V = 0.020
_RETURN_SHARE = 0.3
#: Samples in a row that say so, before a return is believed.
_RETURN_SAMPLES = 2

_REWELD = "Look at the contact: press or weld again, and test it with a small pulse before going on."
_VIBRATION = "Look for vibration (pumps, stage motor, chiller). The charge of the gap is given; the step goes on."


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactLimits:
    """When a gap is given up.

    An opening is lost contact after `grace_s`, once the lead is `excess_v` from the curve (it would empty C times that
    into the cell), or at once where the source is at its limit or the step has ended by it. `per_minute` openings that
    returned are intermittent contact; one more within a minute is an error. `caution` scales how far from noise and
    from the cell's own slope an opening has to be.
    """

    grace_s: float = 5.0
    excess_v: float = 0.3
    per_minute: int = 3
    caution: float = 1.0


@dataclass(frozen=True, slots=True)
class ContactGap:
    """The contact was open from `from_s` to `to_s`, by the samples' own times, sample indices likewise.

    `open_c` is the set current times the gap, signed: it went into the lead, not through the cell. Of it `returned_c`,
    C times the excess voltage, went into the cell when the contact closed; 0 if it never did. What remains
    (`lost_c`) never reached the cell. `excess_v` is how far the voltage had left its curve, in the current's direction.
    """

    from_s: float
    to_s: float
    first_index: int
    next_index: int
    open_c: float
    returned_c: float
    excess_v: float
    closed: bool

    @property
    def lost_c(self) -> float:
        """Signed as the current."""
        return self.open_c - self.returned_c


def contact_gaps(
    time_s: Array,
    voltage_v: Array,
    current_a: float,
    *,
    stray_f: float,
    area_m2: float | None = None,
    flags: Array | None = None,
    interval_s: float | None = None,
    limits: ContactLimits | None = None,
) -> list[ContactGap]:
    """The gaps of one finished galvanostatic step. Arrays of shape (n,), time from the start of the step.

    `current_a` is the set current, signed. Without it (0) there are none to be seen.
    """
    if len(time_s) < 2 or current_a == 0.0:
        return []
    interval = float(np.median(np.diff(time_s))) if interval_s is None else interval_s
    technique = Galvanostatic(current_a=current_a, duration_s=max(float(time_s[-1]), interval), interval_s=interval)
    situation = Situation(technique=technique, stray_f=stray_f, area_m2=area_m2)
    none = np.zeros(len(time_s), np.uint32) if flags is None else flags
    detector = ContactDetector(limits or ContactLimits(grace_s=math.inf, excess_v=math.inf))
    detector.begin(situation)
    detector.add(Samples(time_s, voltage_v, np.full(len(time_s), current_a), none), situation)
    detector.finish(None, situation)
    return detector.gaps


@dataclass(slots=True)
class _Opening:
    """An opening under way: where the voltage was, and how it would have gone on."""

    base_s: float
    base_v: float
    slope_v_per_s: float
    index: int
    onset_s: float
    noise_v: float
    peak_v: float = 0.0
    peak_s: float = 0.0
    peak_index: int = 0
    last_v: float = 0.0
    last_s: float = 0.0
    last_index: int = 0
    returned: int = 0
    limited: int = 0
    flat: int = 0
    lost: bool = False
    steps: int = 0


class ContactDetector:
    """Kinds `contact_lost` (error) and `intermittent_contact` (warning; error if there are too many)."""

    def __init__(self, limits: ContactLimits | None = None) -> None:
        self._limits = limits or ContactLimits()
        self._tail = Tail(KEPT)
        self._open: _Opening | None = None
        #: instants of past openings on a clock that goes on over techniques, for the rate per minute
        self._recent: list[float] = []
        self._before_s = 0.0
        self._now_s = 0.0
        #: when the last opening had returned, and the slope before it
        self._closed_s, self._closed_slope = -math.inf, 0.0
        #: gaps of the technique under way
        self.gaps: list[ContactGap] = []

    def begin(self, situation: Situation) -> None:
        self._tail.clear()
        self._open = None
        self._closed_s = -math.inf
        self._before_s += self._now_s
        self._now_s = 0.0
        self.gaps = []

    def add(self, samples: Samples, situation: Situation) -> list[Finding]:
        if not len(samples) or not (situation.set_a or isinstance(situation.technique, Potentiostatic)):
            return []
        joined, new = self._tail.join(samples)
        if isinstance(situation.technique, Potentiostatic):
            candidates, judged = vanished(joined, situation), self._follow_current
        else:
            candidates, judged = ramps(joined, situation, self._limits.caution), self._follow_voltage
        found: list[Finding] = []
        at = new
        while at < len(joined):
            if self._open is None:
                rest = np.flatnonzero(candidates[at:])
                if not len(rest):
                    break
                at += int(rest[0])
                self._open = self._opened(joined, at, situation)
            found += judged(joined, at, situation)
            at += 1
        self._now_s = float(joined.time_s[-1])
        return found

    def finish(self, end: EndReason | None, situation: Situation) -> list[Finding]:
        opening = self._open
        by_voltage = end in (EndReason.VOLTAGE_MAX, EndReason.VOLTAGE_MIN)
        if opening is None and by_voltage:
            opening = self._jumped(situation)
        if opening is None:
            return []
        self._open = None
        found: list[Finding] = []
        if by_voltage and not opening.lost:
            found.append(self._lost(opening, situation, f"the step ended by it ({end})"))
        self._close(opening, situation, closed=False)
        return found

    # --- a set current ---------------------------------------------------------------------------------------------

    def _opened(self, samples: Samples, at: int, situation: Situation) -> _Opening:
        """The opening seen at sample `at`, whose ramp began within the interval before the sample before."""
        base = max(0, at - 2)
        first = max(0, base - REFERENCE)
        time, voltage = samples.time_s, samples.voltage_v
        noise = noise_v(samples, base, KEPT - 3)
        index = samples.index + base * samples.stride
        if isinstance(situation.technique, Potentiostatic):
            return _Opening(
                float(time[at - 1]),
                reference_a(samples, at - 1),
                0.0,
                index,
                float(time[at - 1]),
                noise_a(samples, at - 1),
            )
        slope = 0.0
        if base > first and time[base] >= situation.quiet_s:
            slope = float(voltage[base] - voltage[first]) / float(time[base] - time[first])
            if time[first] < self._closed_s:
                slope = self._closed_slope  # the return of the opening before is in that window
        opening = _Opening(float(time[base]), float(voltage[base]), slope, index, float(time[base]), noise)
        ramp = open_slope(situation) - slope
        excess = float(voltage[at]) - opening.base_v - slope * float(time[at] - time[base])
        if ramp:
            opening.onset_s = min(max(float(time[at]) - excess / ramp, opening.base_s), float(time[at]))
        for k in range(base + 1, at):  # what the ramp showed before it was believed
            self._measure(opening, samples, k, situation)
        return opening

    def _measure(self, opening: _Opening, samples: Samples, at: int, situation: Situation) -> float:
        """The excess over the curve at a sample, in the current's direction; keeps the peak."""
        time = float(samples.time_s[at])
        sign = math.copysign(1.0, situation.set_a or 1.0)
        excess = sign * (
            float(samples.voltage_v[at]) - opening.base_v - opening.slope_v_per_s * (time - opening.base_s)
        )
        opening.last_s, opening.last_v = time, excess
        opening.last_index = samples.index + (at + 1) * samples.stride
        if excess > opening.peak_v:
            opening.peak_v, opening.peak_s, opening.peak_index = excess, time, opening.last_index
        return excess

    def _follow_voltage(self, samples: Samples, at: int, situation: Situation) -> list[Finding]:
        opening = self._open
        assert opening is not None
        if not math.isfinite(float(samples.voltage_v[at])):
            return []
        before_v, before_s = opening.last_v, opening.last_s
        excess = self._measure(opening, samples, at, situation)
        opening.steps += 1
        ramp = abs(open_slope(situation)) * max(opening.last_s - before_s, 1e-12)
        opening.limited = opening.limited + 1 if int(samples.flags[at]) & Flag.COMPLIANCE else 0
        near = max(min(_RETURN_V, _RETURN_SHARE * opening.peak_v), 4.0 * opening.noise_v)
        opening.returned = opening.returned + 1 if excess <= near else 0
        still = opening.steps > 1 and excess - before_v < 0.25 * least_ratio(situation) * ramp and not opening.limited
        opening.flat = opening.flat + 1 if still and excess > 0.8 * opening.peak_v else 0
        if opening.returned >= _RETURN_SAMPLES:
            return self._returned(opening, situation, "")
        if opening.lost:
            return []
        if opening.flat > REFERENCE:
            rise = opening.last_v / abs(situation.set_a or math.inf)
            return self._returned(opening, situation, f"the contact's resistance is {si(rise, 'Ohm')} higher since")
        waited = opening.last_s - opening.onset_s
        if opening.limited >= 2:
            why = "the source is at its limit"
        elif excess > self._limits.excess_v:
            why = f"the lead is {si(excess, 'V')} from the cell's curve"
        elif waited > self._limits.grace_s:
            why = f"it did not return within {self._limits.grace_s:g} s"
        else:
            return []
        return [self._lost(opening, situation, why)]

    def _jumped(self, situation: Situation) -> _Opening | None:
        """An opening so fast that its first sample was beyond the limit that ended the step."""
        joined, _ = self._tail.join(NOTHING)
        set_a = situation.set_a
        if not set_a or len(joined) < 4 or joined.time_s[-1] < situation.quiet_s:
            return None
        at = len(joined) - 1
        ratio = ratios(joined, situation)
        before = ratio[max(1, at - REFERENCE) : at]
        step_v = float(joined.time_s[at] - joined.time_s[at - 1]) * abs(open_slope(situation))
        excess = (float(ratio[at]) - float(np.median(before))) * step_v
        steep = float(ratio[at]) >= least_ratio(situation) and excess > SIGMAS * noise_v(joined, at - 1, KEPT - 3)
        fast = max(10.0 * float(np.max(np.abs(before))), 1.5 * empty_ratio(situation))
        jump = excess > max(JUMP_V, fast * step_v)
        if not (steep or jump) or ratio[at] > FASTEST:
            return None
        base_s, base_v = float(joined.time_s[at - 1]), float(joined.voltage_v[at - 1])
        index = joined.index + (at - 1) * joined.stride
        slope = float(np.median(before)) * open_slope(situation)
        opening = _Opening(base_s, base_v, slope, index, base_s, noise_v(joined, at - 1, KEPT - 3))
        self._measure(opening, joined, at, situation)
        return opening

    # --- a set voltage ---------------------------------------------------------------------------------------------

    def _follow_current(self, samples: Samples, at: int, situation: Situation) -> list[Finding]:
        opening = self._open
        assert opening is not None
        now_a = abs(float(samples.current_a[at]))
        opening.last_s = opening.peak_s = float(samples.time_s[at])
        opening.last_index = opening.peak_index = samples.index + (at + 1) * samples.stride
        opening.returned = opening.returned + 1 if now_a > 0.5 * abs(opening.base_v) else 0
        if opening.returned >= _RETURN_SAMPLES:
            return self._returned(opening, situation, "")
        if opening.lost:
            return []
        if opening.last_s - opening.onset_s > self._limits.grace_s:
            return [self._lost(opening, situation, f"the current did not return within {self._limits.grace_s:g} s")]
        return []

    # --- both ------------------------------------------------------------------------------------------------------

    def _lost(self, opening: _Opening, situation: Situation, why: str) -> Finding:
        opening.lost = True
        return self._finding("contact_lost", "error", opening, situation, f"contact lost: {why}", _REWELD)

    def _returned(self, opening: _Opening, situation: Situation, why: str) -> list[Finding]:
        self._open = None
        self._closed_s, self._closed_slope = opening.last_s, opening.slope_v_per_s
        self._close(opening, situation, closed=True)
        if opening.lost:
            return []  # said already
        now = self._before_s + opening.last_s
        self._recent = [at for at in self._recent if now - at < 60.0] + [now]
        text = f"the contact was open for {si(max(opening.peak_s - opening.onset_s, 0.0), 's')} and came back"
        found = [
            self._finding("intermittent_contact", "warning", opening, situation, why or text, _VIBRATION),
        ]
        if len(self._recent) > self._limits.per_minute:
            often = f"the contact opened {len(self._recent)} times within a minute"
            self._recent = []
            found.append(self._finding("intermittent_contact", "error", opening, situation, often, _REWELD))
        return found

    def _close(self, opening: _Opening, situation: Situation, *, closed: bool) -> None:
        set_a = situation.set_a
        if not set_a:
            return
        until = opening.peak_s if closed else opening.last_s
        sign = math.copysign(1.0, set_a)
        index = opening.peak_index if closed else opening.last_index
        returned = sign * situation.stray_f * opening.peak_v
        open_c = set_a * max(until - opening.onset_s, 0.0)
        if closed and abs(open_c) < abs(returned):
            open_c = returned  # what raised the voltage was there: the sampling has cut the gap short
        self.gaps.append(
            ContactGap(
                opening.onset_s,
                until,
                opening.index,
                index,
                open_c,
                returned if closed else 0.0,
                opening.peak_v,
                closed,
            )
        )

    def _finding(
        self, kind: str, severity: str, opening: _Opening, situation: Situation, text: str, action: str
    ) -> Finding:
        delay = max(opening.last_s - opening.onset_s, 0.0)
        evidence: dict[str, float]
        if situation.set_a:
            evidence = {
                "excess_v": opening.peak_v,
                "open_slope_v_per_s": open_slope(situation),
                "slope_before_v_per_s": opening.slope_v_per_s,
                "returned_charge_c": situation.stray_f * opening.peak_v,
            }
            charge = abs(situation.set_a) * delay
        else:
            evidence = {"current_before_a": opening.base_v}
            charge = 0.0
        return Finding(
            kind=kind,
            from_s=opening.onset_s,
            to_s=opening.last_s,
            first_index=opening.index,
            next_index=opening.last_index,
            severity=severity,
            charge_c=charge,
            delay_s=delay,
            action=action,
            text=text,
            evidence=evidence,
        )
