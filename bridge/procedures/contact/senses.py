"""How contact is told from a lead that touches nothing: by its voltage, its impedance or its current."""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol

import numpy as np

from drivers.errors import Refused
from drivers.samples import Array, EndReason
from drivers.techniques import SET_POINTS_MAX, CurrentSequence, OpenCircuit, Potentiostatic, Technique

from .parameters import READINGS, MakeContact

#: An empty nanobattery of 10 um2 is itself only a few hundred picofarads (domain note 7.1): beside the lead's 100 pF
#: and with its resistance the swing falls no further than to about a half.
_FALLEN = 0.7
#: A swing beyond that of an open lead is a jump: of a lead that has just touched.
_JUMPED = 1.3


class Look(Enum):
    OPEN = auto()
    CONTACT = auto()
    #: something is touched, but not what is expected
    OTHER = auto()
    #: the lead has lost its voltage by itself and has to be charged again
    DRIFTED = auto()
    #: the time is over
    ENDED = auto()


class Sense(Protocol):
    """`readings` samples of `column` make one look. `technique` runs without a break while the tip moves."""

    column: str
    unit_name: str
    readings: int

    def technique(self, duration_s: float) -> Technique: ...

    def at_rest(self, readings: Array) -> bool:
        """Whether the look can be judged, or has to be repeated."""

    def judge(self, readings: Array) -> Look: ...

    def alarm(self, value: float) -> bool:
        """Whether one sample, taken while the tip moves, must stop it."""

    def ended(self, end: EndReason | None) -> Look:
        """What it means that the technique has ended by itself."""


class VoltageSense:
    """The voltage at zero current: a floating lead jumps to the cell's on contact.

    A pre-charged lead is near the cell's already: a smaller jump counts, from where the lead is held, and the lead is
    charged again when it has drifted by a third of that. Where it goes elsewhere than to the cell's voltage, something
    else is touched.
    """

    column = "voltage_v"
    unit_name = "voltage_v"
    readings = READINGS

    def __init__(self, p: MakeContact, lead_v: float, *, precharged: bool) -> None:
        self._p = p
        self._lead_v = lead_v
        self._precharged = precharged
        self._jump_v = p.precharged_threshold_v if precharged else p.threshold_v

    def technique(self, duration_s: float) -> Technique:
        return OpenCircuit(duration_s=duration_s, interval_s=self._p.interval_s)

    def at_rest(self, readings: Array) -> bool:
        moved = float(np.ptp(readings))
        return moved <= (self._jump_v / 10 if self._precharged else self._p.steady_v)

    def judge(self, readings: Array) -> Look:
        away = np.abs(readings - self._lead_v)
        expected = self._p.contact_voltage_v
        if not self._precharged:
            told = away >= self._jump_v if expected is None else np.abs(readings - expected) <= self._p.tolerance_v
            return Look.CONTACT if self.at_rest(readings) and bool(told.all()) else Look.OPEN
        assert expected is not None
        if not self.at_rest(readings):  # it comes and goes: let the verification find out
            return Look.CONTACT if bool((away >= self._jump_v).any()) else Look.DRIFTED
        if bool((away >= self._jump_v).all()):
            # What the lead takes pulls a small cell's own voltage toward the lead's: from below anything will do.
            above = bool((readings > self._lead_v).all())
            near = above and bool((readings <= expected + self._p.tolerance_v).all())
            return Look.CONTACT if near else Look.OTHER
        return Look.DRIFTED if bool((away > self._jump_v / 3).any()) else Look.OPEN

    def alarm(self, value: float) -> bool:
        expected = self._p.contact_voltage_v
        if self._precharged or expected is None:
            return abs(value - self._lead_v) >= self._jump_v
        return abs(value - expected) <= self._p.tolerance_v

    def ended(self, end: EndReason | None) -> Look:
        return Look.ENDED


class ImpedanceSense:
    """Small current pulses, +I and -I without end: on an open lead the voltage goes up and down by I t/C; a contact
    lets it follow I R and charges more than the lead, so that the swing falls to `_FALLEN` of what it was, or less. It
    tells a cell whose voltage is near zero.

    The first look, far from the pad, is what is compared with. While the tip moves nothing can be told.
    """

    column = "voltage_v"
    unit_name = "swing_v"

    def __init__(self, p: MakeContact) -> None:
        self._p = p
        self._count = max(2, round(p.pulse_s / p.interval_s))
        self.readings = 2 * self._count
        self._open_v: float | None = None

    def technique(self, duration_s: float) -> Technique:
        period = (self._p.pulse_current_a,) * self._count + (-self._p.pulse_current_a,) * self._count
        periods = min(int(duration_s / (self.readings * self._p.interval_s)), SET_POINTS_MAX // self.readings)
        return CurrentSequence(currents_a=period * max(periods, 1), interval_s=self._p.interval_s)

    def at_rest(self, readings: Array) -> bool:
        return self._open_v is None or float(np.ptp(readings)) <= _JUMPED * self._open_v

    def judge(self, readings: Array) -> Look:
        swing = float(np.ptp(readings))
        if self._open_v is None:
            least = 0.5 * self._p.pulse_current_a * self._p.pulse_s / self._p.stray_f
            if swing < least:
                raise Refused(
                    f"the voltage answers the pulses by {swing:.3g} V before the approach, an open lead would by at "
                    f"least {least:.3g} V: it touches already, or stray_f is wrong",
                    hint="Draw the tip back, or give the lead's capacitance as stray_f.",
                )
            self._open_v = swing
        return Look.CONTACT if swing < _FALLEN * self._open_v else Look.OPEN

    def alarm(self, value: float) -> bool:
        return False

    def ended(self, end: EndReason | None) -> Look:
        return Look.ENDED


class CurrentSense:
    """Current onset at a small bias, with a compliance: for bare pads, the grid and noise-test loops only."""

    column = "current_a"
    unit_name = "current_a"
    readings = READINGS

    def __init__(self, p: MakeContact) -> None:
        self._p = p

    def technique(self, duration_s: float) -> Technique:
        p = self._p
        return Potentiostatic(
            voltage_v=p.bias_v, duration_s=duration_s, interval_s=p.interval_s, current_limit_a=p.current_limit_a
        )

    def at_rest(self, readings: Array) -> bool:
        onset = np.abs(readings) >= self._p.onset_current_a
        return bool(onset.all()) or not bool(onset.any())

    def judge(self, readings: Array) -> Look:
        return Look.CONTACT if bool((np.abs(readings) >= self._p.onset_current_a).all()) else Look.OPEN

    def alarm(self, value: float) -> bool:
        return abs(value) >= self._p.onset_current_a

    def ended(self, end: EndReason | None) -> Look:
        return Look.CONTACT if end is EndReason.CURRENT_LIMIT else Look.ENDED
