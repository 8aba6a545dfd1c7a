"""What an ammeter reads beside the current: a pure function of seed, device, route and interval of time.

Every reading is the mean over its interval, not a sample at a point, so that an integration over whole mains periods
rejects the mains and a short one aliases it, as the real instruments do. Levels are those of the domain note, section
7.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .clock import NS
from .randomness import gaussian, make_key, uniform

_TWO_PI = 2.0 * math.pi

#: Lattice spacings of the flicker's octaves, in seconds: equal power in each makes 1/f. What is slower is the drift.
_OCTAVES_S = (1, 2, 4, 8, 16)

#: The drift is a slow sine (the room's temperature) that begins anywhere: the slope given is its steepest.
_DRIFT_PERIOD_S = 7200.0

#: Amplitudes relative to the mains' own.
_MAINS_HARMONICS = ((1, 1.0), (2, 0.03), (3, 0.1))
_PUMP_HARMONICS = ((1, 1.0),)

_TRIBOELECTRIC_S = 20.0
#: A move this long ago is no longer felt.
FORGOTTEN_NS = round(50 * _TRIBOELECTRIC_S) * NS
_TRIBOELECTRIC_A = (2e-12, 20e-12)


@dataclass(frozen=True, slots=True)
class NoiseLevels:
    """Noise of one route, in amperes. White noise and flicker as the standard deviation of averages over a second."""

    white_a: float
    flicker_a: float
    offset_a: float
    drift_a_per_s: float
    mains_a_rms: float
    pump_a_rms: float
    burst_a: float = 0.0
    burst_rate_hz: float = 0.0
    burst_s: float = 0.5


SHIELDED = NoiseLevels(0.05e-12, 0.01e-12, 0.02e-12, 1e-17, 0.2e-12, 0.02e-12)
#: 2 fF to 230 V couple 150 pA of mains.
UNSHIELDED = NoiseLevels(0.6e-12, 0.2e-12, 0.3e-12, 5e-16, 150e-12, 0.5e-12, 3e-12, 0.02)
#: The instrument with its own relay open.
DISCONNECTED = NoiseLevels(0.005e-12, 0.002e-12, 0.005e-12, 0.0, 0.0, 0.0)

#: The full circuit is as good as its worst lead, the tip's.
ROUTE_LEVELS = {
    "open": SHIELDED,
    "feedthrough": SHIELDED,
    "stage-ground": SHIELDED,
    "manipulator-ground": UNSHIELDED,
    "cell": UNSHIELDED,
    "conflict": UNSHIELDED,
}

#: 20 uV rms in 100 ms.
VOLTAGE_WHITE_V = 20e-6 * math.sqrt(0.1)

#: While the stage moves, rms of averages over a second.
STAGE_MOVING_A = 5e-12


@dataclass(frozen=True, slots=True)
class StageMove:
    """One motion of the stage, in one device's time; `ended_ns` is None while it lasts."""

    number: int
    began_ns: int
    ended_ns: int | None = None


class Line:
    """A sine that wanders a little in frequency, as mains and rotors do, with the phase that follows from it."""

    def __init__(
        self, key: int, frequency_hz: float, wander_hz: float, harmonics: tuple[tuple[int, float], ...]
    ) -> None:
        self._frequency_hz = frequency_hz
        self._wander = tuple(
            (wander_hz * share, period_s, _TWO_PI * uniform(key, i))
            for i, (share, period_s) in enumerate(((0.6, 71.0), (0.4, 23.0)))
        )
        self._harmonics = tuple((n, level, _TWO_PI * uniform(key, 10 + n)) for n, level in harmonics)

    def frequency_at(self, time_s: float) -> float:
        return self._frequency_hz + sum(a * math.sin(_TWO_PI * time_s / T + p) for a, T, p in self._wander)

    def mean(self, start_s: float, duration_s: float) -> float:
        """Mean over the interval of a line of 1 rms.

        The frequency is taken as constant over the interval, at its middle's value: over ten seconds the error is far
        below what the integration leaves of the line anyway.
        """
        middle = start_s + 0.5 * duration_s
        cycles = self._frequency_hz * middle
        frequency = self._frequency_hz
        for amplitude, period, phase in self._wander:
            angle = _TWO_PI * middle / period + phase
            frequency += amplitude * math.sin(angle)
            cycles -= amplitude * period / _TWO_PI * math.cos(angle)
        cycles %= 1.0
        total = 0.0
        for n, level, phase in self._harmonics:
            half = math.pi * n * frequency * duration_s
            total += level * math.sin(half) / half * math.sin(_TWO_PI * n * cycles + phase)
        return math.sqrt(2.0) * total


class Noise:
    """One device's noise in one world."""

    def __init__(self, seed: int, device: str, mains_hz: float) -> None:
        self._white = {route: make_key(seed, device, "white", route) for route in (*ROUTE_LEVELS, "")}
        self._voltage = make_key(seed, device, "voltage")
        self._flicker = [make_key(seed, device, "flicker", period) for period in _OCTAVES_S]
        self._drift_phase = _TWO_PI * uniform(make_key(seed, device, "drift"), 0)
        self._burst = make_key(seed, device, "burst")
        self._stage = make_key(seed, device, "stage")
        self._stage_white = make_key(seed, device, "stage", "white")
        #: mains and pump are the room's: all devices see the same phase
        self.mains = Line(make_key(seed, "mains"), mains_hz, 0.05, _MAINS_HARMONICS)
        self.pump = Line(make_key(seed, "pump"), 27.0, 0.3, _PUMP_HARMONICS)
        self._lattice: dict[tuple[int, int], float] = {}

    def current_a(self, route: str | None, start_ns: int, duration_ns: int) -> tuple[float, float]:
        """Means over the interval: all but the mains, and the mains. `route` None: the instrument's relay is open."""
        levels = DISCONNECTED if route is None else ROUTE_LEVELS[route]
        start_s, duration_s = start_ns / NS, duration_ns / NS
        middle_s = start_s + 0.5 * duration_s
        white = gaussian(self._white[route or ""], start_ns ^ (duration_ns << 20)) / math.sqrt(duration_s)
        angle = _TWO_PI * middle_s / _DRIFT_PERIOD_S + self._drift_phase
        drift_s = _DRIFT_PERIOD_S / _TWO_PI * (math.sin(angle) - math.sin(self._drift_phase))
        total = (
            levels.offset_a
            + levels.white_a * white
            + levels.flicker_a * self._flicker_mean(start_s, duration_s)
            + levels.drift_a_per_s * drift_s
        )
        if levels.burst_a:
            total += levels.burst_a * self._bursts_mean(levels, start_s, duration_s)
        if levels.pump_a_rms:
            total += levels.pump_a_rms * self.pump.mean(start_s, duration_s)
        mains = levels.mains_a_rms * self.mains.mean(start_s, duration_s) if levels.mains_a_rms else 0.0
        return total, mains

    def voltage_v(self, start_ns: int, duration_ns: int) -> float:
        counter = start_ns ^ (duration_ns << 20)
        return VOLTAGE_WHITE_V * gaussian(self._voltage, counter) / math.sqrt(duration_ns / NS)

    def stage_a(self, moves: Sequence[StageMove], start_ns: int, duration_ns: int) -> float:
        """The stage's part: noise while it moves, and the charge that a moving cable leaves, fading within 20 s."""
        total = 0.0
        end_ns = start_ns + duration_ns
        for move in moves:
            if move.began_ns >= end_ns:
                continue
            ended_ns = end_ns if move.ended_ns is None else min(end_ns, move.ended_ns)
            overlap_ns = ended_ns - max(start_ns, move.began_ns)
            if overlap_ns > 0:
                white = gaussian(self._stage_white, start_ns ^ (duration_ns << 20))
                total += STAGE_MOVING_A * math.sqrt(overlap_ns / NS) * white / (duration_ns / NS)
            low, high = _TRIBOELECTRIC_A
            sign = 1.0 if uniform(self._stage, 2 * move.number) < 0.5 else -1.0
            size = low + (high - low) * uniform(self._stage, 2 * move.number + 1)
            total += sign * size * _decay_mean(move.began_ns / NS, _TRIBOELECTRIC_S, start_ns / NS, duration_ns / NS)
        return total

    def _flicker_mean(self, start_s: float, duration_s: float) -> float:
        """Mean of the sum of octaves, each a line through independent numbers at its lattice's points; variance 1."""
        end_s = start_s + duration_s
        total = 0.0
        for octave, period in enumerate(_OCTAVES_S):
            first, last = int(start_s // period), int(end_s // period)
            if first == last:
                total += self._flicker_at(octave, first, (start_s + 0.5 * duration_s) / period - first)
                continue
            area = 0.0
            for cell in range(first, last + 1):
                left = max(start_s / period - cell, 0.0)
                right = min(end_s / period - cell, 1.0)
                if right > left:
                    area += (right - left) * self._flicker_at(octave, cell, 0.5 * (left + right))
            total += area * period / duration_s
        # A line between two independent numbers has on average two thirds of their variance.
        return total / math.sqrt(len(_OCTAVES_S) * 2.0 / 3.0)

    def _flicker_at(self, octave: int, cell: int, fraction: float) -> float:
        left = self._flicker_point(octave, cell)
        return left + (self._flicker_point(octave, cell + 1) - left) * fraction

    def _flicker_point(self, octave: int, cell: int) -> float:
        value = self._lattice.get((octave, cell))
        if value is None:
            if len(self._lattice) > 4096:
                self._lattice.clear()
            value = self._lattice[octave, cell] = gaussian(self._flicker[octave], cell)
        return value

    def _bursts_mean(self, levels: NoiseLevels, start_s: float, duration_s: float) -> float:
        """Bursts of either sign that decay within `burst_s`; at most one begins in each second."""
        total = 0.0
        for second in range(int(start_s - 6.0 * levels.burst_s), int(start_s + duration_s) + 1):
            if second < 0 or uniform(self._burst, 3 * second) >= levels.burst_rate_hz:
                continue
            began = second + uniform(self._burst, 3 * second + 1)
            size = 2.0 * uniform(self._burst, 3 * second + 2) - 1.0
            total += math.copysign(0.5 + abs(size), size) * _decay_mean(began, levels.burst_s, start_s, duration_s)
        return total


def _decay_mean(began_s: float, time_s: float, start_s: float, duration_s: float) -> float:
    """Mean over the interval of exp(-(t - began)/time) that is zero before it began."""
    left = max(start_s, began_s)
    right = start_s + duration_s
    if right <= left or left - began_s > 40.0 * time_s:
        return 0.0
    return time_s / duration_s * (math.exp(-(left - began_s) / time_s) - math.exp(-(right - began_s) / time_s))
