"""One node with stray capacitance, fed by a source, loaded by a force behind a resistance: solved exactly.

The load's force may rise with the charge that goes in (a cell) and drift by itself (a leak). Over a step all of that
is linear, so a step of a second is as good as a million of a microsecond, however small the stray capacitance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .drives import CurrentDrive, VoltageDrive


@dataclass(frozen=True, slots=True)
class Load:
    """What hangs on the node. A plain resistor has no force; nothing at all has an infinite resistance."""

    resistance_ohm: float
    emf_v: float = 0.0
    slope_v_per_c: float = 0.0
    drift_v_per_s: float = 0.0


@dataclass(slots=True)
class Tally:
    """Integrals over a measurement."""

    seconds: float = 0.0
    volt_seconds: float = 0.0
    coulombs: float = 0.0
    limited: bool = False


def _phi(x: float) -> tuple[float, float, float]:
    """Of exp(-x): its mean over 0..x, and the first two repeated means that come with it (phi1, phi2, phi3)."""
    if x < 0.1:
        # Series, because the closed forms cancel.
        p3 = 1 / 6 - x * (1 / 24 - x * (1 / 120 - x * (1 / 720 - x * (1 / 5040 - x / 40320))))
        p2 = 0.5 - x * p3
        return 1.0 - x * p2, p2, p3
    p1 = -math.expm1(-x) / x
    p2 = (1.0 - p1) / x
    return p1, p2, (0.5 - p2) / x


class _Floating:
    """The node under a constant current: u is its voltage above the load's force."""

    def __init__(self, voltage_v: float, farads: float, current_a: float, load: Load) -> None:
        self._u0 = voltage_v - load.emf_v
        self._push = current_a / farads - load.drift_v_per_s
        self._rate = (1.0 / farads + load.slope_v_per_c) / load.resistance_ohm
        self._load = load

    def after(self, t: float) -> tuple[float, float, float]:
        """Voltage, its integral and the charge into the load, after `t` seconds."""
        load = self._load
        p1, p2, p3 = _phi(self._rate * t)
        u = self._u0 * math.exp(-self._rate * t) + self._push * t * p1
        u_area = (self._u0 * p1 + self._push * t * p2) * t
        u_area_area = (self._u0 * p2 + self._push * t * p3) * t * t
        charge = u_area / load.resistance_ohm
        force = load.emf_v + load.slope_v_per_c * charge + load.drift_v_per_s * t
        force_area = (
            load.emf_v * t + load.slope_v_per_c * u_area_area / load.resistance_ohm + load.drift_v_per_s * t * t / 2.0
        )
        return force + u, force_area + u_area, charge

    def time_of(self, voltage_v: float, upper_s: float) -> float:
        """When the node passes `voltage_v`, known to lie on the way to `upper_s`."""
        low, high = 0.0, upper_s
        rising = self.after(upper_s)[0] > voltage_v
        for _ in range(50):
            middle = 0.5 * (low + high)
            if (self.after(middle)[0] > voltage_v) == rising:
                high = middle
            else:
                low = middle
        return high


def _held_charge(voltage_v: float, load: Load, t: float) -> float:
    """Charge into the load within `t` from a node held at `voltage_v`."""
    rate = load.slope_v_per_c / load.resistance_ohm
    p1, p2, _ = _phi(rate * t)
    return ((voltage_v - load.emf_v) * p1 - load.drift_v_per_s * t * p2) * t / load.resistance_ohm


class Node:
    """The instrument's side of the contact, with its stray capacitance."""

    def __init__(self, farads: float) -> None:
        self.farads = farads
        self.voltage_v = 0.0

    def step(
        self, seconds: float, drive: CurrentDrive | VoltageDrive, injected_a: float, load: Load, tally: Tally
    ) -> float:
        """Advance under `drive`, with `injected_a` flowing in beside it; returns the charge into the load.

        A drive that meets its limit within the step changes over at that instant.
        """
        left, charge = seconds, 0.0
        turns = 0
        while left > 0.0:
            turns += 1
            held_v, current_a, targets = self._mode(drive, injected_a, load, tally)
            if held_v is not None or turns > 8:
                passed = _held_charge(self.voltage_v, load, left)
                tally.coulombs += passed - injected_a * left
                tally.volt_seconds += self.voltage_v * left
                charge += passed
                break
            floating = _Floating(self.voltage_v, self.farads, current_a + injected_a, load)
            voltage, area, passed = floating.after(left)
            taken = left
            for target in targets:
                if (self.voltage_v < target < voltage) or (self.voltage_v > target > voltage):
                    taken = floating.time_of(target, left)
                    _, area, passed = floating.after(taken)
                    voltage = target
                    break
            tally.volt_seconds += area
            tally.coulombs += current_a * taken
            charge += passed
            self.voltage_v = voltage
            left -= taken
            force = load.emf_v + load.slope_v_per_c * passed + load.drift_v_per_s * taken
            load = Load(load.resistance_ohm, force, load.slope_v_per_c, load.drift_v_per_s)
        tally.seconds += seconds
        return charge

    def _mode(
        self, drive: CurrentDrive | VoltageDrive, injected_a: float, load: Load, tally: Tally
    ) -> tuple[float | None, float, tuple[float, ...]]:
        """How the drive acts now: the voltage it holds or None, the current it sends, voltages where that changes."""
        if isinstance(drive, CurrentDrive):
            limit = drive.limit_v
            if abs(self.voltage_v) >= limit:
                self.voltage_v = math.copysign(limit, self.voltage_v)
                needed = (self.voltage_v - load.emf_v) / load.resistance_ohm - injected_a
                if (drive.current_a - needed) * self.voltage_v > 0:
                    tally.limited = True
                    return self.voltage_v, 0.0, ()
            tally.limited = False
            return None, drive.current_a, (limit, -limit)
        if self.voltage_v != drive.voltage_v:
            if not math.isinf(drive.limit_a):
                tally.limited = True
                return None, math.copysign(drive.limit_a, drive.voltage_v - self.voltage_v), (drive.voltage_v,)
            tally.coulombs += self.farads * (drive.voltage_v - self.voltage_v)
            self.voltage_v = drive.voltage_v
        needed = (self.voltage_v - load.emf_v) / load.resistance_ohm - injected_a
        if abs(needed) <= drive.limit_a:
            tally.limited = False
            return self.voltage_v, 0.0, ()
        tally.limited = True
        return None, math.copysign(drive.limit_a, needed), (drive.voltage_v,)
