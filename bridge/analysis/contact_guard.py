"""The contact's resistance and noise, followed from what a run measures anyway.

Resistance: at each edge of the current, from one technique to the next, the change of the voltage over that of the
current; the voltage after the edge is carried back to it along a straight line through the samples from the end of the
quiet period on (`Situation.quiet_s`: the lead and the cell's fast elements have settled then). It is that of contact,
cell and leads together: only its growth says something about the contact, and edges are compared with their like, of
the same direction and about the same size. What relaxed in a rest during which the cell was disconnected is in it,
likewise every time.

Noise: the voltage's second differences over windows of `WINDOW` samples under a set current, as a robust standard
deviation: slow changes and single spikes drop out of it. Without a current an open contact shows nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from bridge.analysis.formatting import si
from drivers.samples import EndReason, Flag

from .health.detector import Array, Finding, Samples, Situation

#: Samples of a window of noise.
WINDOW = 60
#: Like edges, and windows, from which the standing value is taken.
BASE = 3
#: Edges, and kinds of them, that are kept.
KEPT = 100
#: Windows in a row that have to be noisy.
_NOISY = 3
#: Edges are alike whose change of current is the same within this share.
_ALIKE = 0.1
#: Samples of the line after an edge, at least, and of that before it.
_LINE, _TAIL = 4, 8
#: A cell so small or empty that the lead takes more of the current than this bends too much for a line.
_LEAD_SHARE = 0.15
#: A contact's growth counts from this many standard uncertainties on.
_SIGMAS = 4.0
#: Median of absolute second differences of white noise, over its standard deviation: 0.6745 sqrt(6).
_SECOND = 0.6745 * math.sqrt(6.0)
_BAD = int(Flag.OVERLOAD | Flag.COMPLIANCE | Flag.RANGE_COMPLIANCE | Flag.INVALID | Flag.SETTLING)

_LOOK = "The contact ages, or the tip drifts: press or weld again, and prove it with make-contact before it opens."


@dataclass(frozen=True, slots=True)
class Edge:
    """One measured edge; `number` counts them."""

    number: int
    change_a: float
    resistance_ohm: float
    uncertainty_ohm: float


@dataclass(slots=True)
class ContactGuard:
    """A detector of the health watch. Kind `contact_resistance` (warning): a resistance of more than 1 + `growth` times
    that of the first like edges, or noise of more than `noisier` times that of the first windows.
    """

    growth: float = 0.5
    noisier: float = 5.0
    edges: list[Edge] = field(default_factory=list)
    #: of the last window
    noise_v: float | None = None
    _base_noises_v: list[float] = field(default_factory=list)
    #: voltage and its slope at the edge, and the current before it
    _before: tuple[float, float, float] | None = None
    _last: float | None = None
    _tail: list[tuple[float, float]] = field(default_factory=list)
    _after: list[tuple[float, float]] = field(default_factory=list)
    _measured: bool = True
    _window: Array = field(default_factory=lambda: np.empty(0))
    _noisy: int = 0
    #: the first edges of each kind
    _first: list[list[Edge]] = field(default_factory=list)
    _told_edge: bool = False
    _told_noise: bool = False

    @property
    def values(self) -> dict[str, float | int | None]:
        """For showing: the last resistance and noise, and the growth of each over its first values."""
        edge = self.edges[-1] if self.edges else None
        first = self._alike(edge) if edge is not None else []
        base = _middle(first) if len(first) == BASE else None
        noise = self.noise_v
        quiet = float(np.median(self._base_noises_v)) if len(self._base_noises_v) == BASE else None
        return {
            "contact_and_cell_ohm": None if edge is None else edge.resistance_ohm,
            "uncertainty_ohm": None if edge is None else edge.uncertainty_ohm,
            "growth": None if edge is None or not base else edge.resistance_ohm / base - 1.0,
            "edges": edge.number + 1 if edge is not None else 0,
            "noise_v": noise,
            "noise_growth": None if noise is None or not quiet else noise / quiet - 1.0,
        }

    def begin(self, situation: Situation) -> None:
        """The edge is between the last sample of the technique before and this one's set current."""
        self._before = None if self._last is None else (*_carried_on(self._tail), self._last)
        self._last, self._tail = None, []
        self._after, self._window = [], np.empty(0)
        self._measured = self._before is None or situation.set_a is None

    def add(self, samples: Samples, situation: Situation) -> list[Finding]:
        set_a = situation.set_a
        good = np.isfinite(samples.voltage_v) & ((samples.flags & _BAD) == 0)
        usable = np.flatnonzero(good)
        if not len(usable):
            return []
        tail = usable[-_TAIL:]
        amperes = float(samples.current_a[tail[-1]]) if set_a is None else set_a
        self._last = amperes
        self._tail = [
            *self._tail,
            *zip(samples.time_s[tail].tolist(), samples.voltage_v[tail].tolist(), strict=True),
        ][-_TAIL:]
        usable = usable[samples.time_s[usable] >= situation.quiet_s]
        found: list[Finding] = []
        for at in usable.tolist():
            if self._measured:
                break
            index = samples.index + (at + 1) * samples.stride
            found += self._follow_edge(float(samples.time_s[at]), float(samples.voltage_v[at]), index, situation)
        return found + (self._follow_noise(samples, usable) if set_a else [])

    def finish(self, end: EndReason | None, situation: Situation) -> list[Finding]:
        return []

    # --- resistance ------------------------------------------------------------------------------------------------

    def _follow_edge(self, now_s: float, voltage_v: float, index: int, situation: Situation) -> list[Finding]:
        self._after.append((now_s, voltage_v))
        if len(self._after) < _LINE or now_s < 2.0 * situation.quiet_s:
            return []
        self._measured = True
        assert self._before is not None
        assert situation.set_a is not None
        change = situation.set_a - self._before[2]
        if abs(change) < _ALIKE * max(abs(situation.set_a), abs(self._before[2])) or not change:
            return []
        edge = self._edge(change, self._before[0], self._before[1], situation.stray_f)
        if edge is None:
            return []
        self.edges = [*self.edges[-KEPT:], edge]
        first = self._alike(edge)
        if len(first) < BASE:
            first.append(edge)
            return []
        return self._judge_edge(edge, first, now_s, index)

    def _edge(self, change_a: float, before_v: float, before_v_per_s: float, stray_f: float) -> Edge | None:
        time, voltage = np.array(self._after).T
        centred = time - time.mean()
        slope = float(centred @ voltage) / float(centred @ centred)
        rest = voltage - voltage.mean() - slope * centred
        noise = math.sqrt(float(rest @ rest) / (len(rest) - 2))
        at_edge = float(voltage.mean()) - slope * float(time.mean())
        doubt = noise * math.sqrt(1.0 + 1.0 / len(time) + float(time.mean()) ** 2 / float(centred @ centred))
        number = self.edges[-1].number + 1 if self.edges else 0
        # The lead takes its share of the current for ever, which is much where the cell is small or empty.
        lead_share = stray_f * (slope - before_v_per_s) / change_a
        if lead_share > _LEAD_SHARE:
            return None
        cell_share = min(1.0 - lead_share, 1.0) ** 2
        scale = change_a * cell_share
        return Edge(number, change_a, (at_edge - before_v) / scale, doubt / abs(scale))

    def _alike(self, edge: Edge) -> list[Edge]:
        """The first edges of the same direction and about the same size; a new list for the first one of its kind."""
        for first in self._first:
            if abs(first[0].change_a - edge.change_a) <= _ALIKE * abs(edge.change_a):
                return first
        fresh: list[Edge] = []
        if len(self._first) < KEPT:
            self._first.append(fresh)
        return fresh

    def _judge_edge(self, edge: Edge, first: list[Edge], now_s: float, index: int) -> list[Finding]:
        base = _middle(first)
        if base <= 0.0 or self._told_edge:
            return []
        doubt = math.hypot(edge.uncertainty_ohm, max(other.uncertainty_ohm for other in first))
        if edge.resistance_ohm - base <= max(self.growth * base, _SIGMAS * doubt):
            return []
        self._told_edge = True
        evidence = {
            "resistance_ohm": edge.resistance_ohm,
            "uncertainty_ohm": edge.uncertainty_ohm,
            "first_ohm": base,
            "change_a": edge.change_a,
        }
        text = (
            f"contact and cell have {si(edge.resistance_ohm, 'Ohm')} at this edge of the current, "
            f"{si(base, 'Ohm')} at the first like ones"
        )
        return [_finding(text, 0.0, now_s, 0, index, evidence)]

    # --- noise -----------------------------------------------------------------------------------------------------

    def _follow_noise(self, samples: Samples, usable: Array) -> list[Finding]:
        values = np.concatenate((self._window, samples.voltage_v[usable]))
        windows = len(values) // WINDOW
        self._window = values[windows * WINDOW :]
        if not windows:
            return []
        second = np.diff(values[: windows * WINDOW].reshape(windows, WINDOW), 2, axis=1)
        found: list[Finding] = []
        skipped = len(usable) - len(values)
        for number, noise in enumerate((np.median(np.abs(second), axis=1) / _SECOND).tolist()):
            at = int(usable[skipped + (number + 1) * WINDOW - 1])
            found += self._judge_noise(noise, float(samples.time_s[at]), samples.index + (at + 1) * samples.stride)
        return found

    def _judge_noise(self, noise_v: float, now_s: float, index: int) -> list[Finding]:
        self.noise_v = noise_v
        if len(self._base_noises_v) < BASE:
            self._base_noises_v.append(noise_v)
            return []
        quiet = float(np.median(self._base_noises_v))
        self._noisy = self._noisy + 1 if noise_v > self.noisier * quiet > 0.0 else 0
        if self._noisy < _NOISY or self._told_noise:
            return []
        self._told_noise = True
        text = f"the voltage's noise is {si(noise_v, 'V')}, {si(quiet, 'V')} at first"
        first = max(0, index - _NOISY * WINDOW)
        return [_finding(text, now_s, now_s, first, index, {"noise_v": noise_v, "first_noise_v": quiet})]


def _carried_on(tail: list[tuple[float, float]]) -> tuple[float, float]:
    """The voltage at the last of these instants, by a straight line through them, and the line's slope."""
    time, voltage = np.array(tail).T
    centred = time - time.mean()
    spread = float(centred @ centred)
    slope = float(centred @ voltage) / spread if spread else 0.0
    return float(voltage.mean()) + slope * float(centred[-1]), slope


def _middle(edges: list[Edge]) -> float:
    return float(np.median([edge.resistance_ohm for edge in edges]))


def _finding(
    text: str, from_s: float, to_s: float, first_index: int, next_index: int, evidence: dict[str, float]
) -> Finding:
    return Finding(
        kind="contact_resistance",
        from_s=from_s,
        to_s=to_s,
        first_index=first_index,
        next_index=next_index,
        severity="warning",
        charge_c=0.0,
        delay_s=to_s - from_s,
        action=_LOOK,
        text=text,
        evidence=evidence,
    )
