"""Many cells at once, for the rates of the health watch: the world's equations, vectorised over runs.

The same model as `mocks.world` (cell, lead, contact, short; noise of the domain note's section 7.3), written as arrays
over runs so that 10^7 samples take seconds. `tests/analysis/test_health_rates.py` checks it against the world.
Every sample is the mean over its interval, and within one the contact may open or a short may come at any instant.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from mocks.world.noise import SHIELDED, UNSHIELDED, VOLTAGE_WHITE_V
from mocks.world.ocp import LICOO2, LITHIUM, SILICON_CHARGE, SILICON_DISCHARGE, Table
from mocks.world.presets import PRESETS

Array = npt.NDArray[Any]
_DRIFT_PERIOD_S = 7200.0
_OCTAVES_S = (1, 2, 4, 8, 16)
MAINS_HZ = 50.0


@dataclass(frozen=True, slots=True)
class Runs:
    """What each of `n` runs is. Arrays of shape (n,).

    `charge_c` is what has been charged before. `open_s`, `close_s`: the contact is open between them; `short_s`: from
    then on `short_ohm` is across the cell (infinity: never).
    """

    area_m2: Array
    current_a: Array
    charge_c: Array
    sheet: npt.NDArray[np.bool_]
    shielded: npt.NDArray[np.bool_]
    stray_f: float = 100e-12
    open_s: Array = field(default_factory=lambda: np.empty(0))
    close_s: Array = field(default_factory=lambda: np.empty(0))
    short_s: Array = field(default_factory=lambda: np.empty(0))
    short_ohm: Array = field(default_factory=lambda: np.empty(0))

    def __len__(self) -> int:
        return len(self.area_m2)


class _Curve:
    """A table of the world, for arrays."""

    def __init__(self, table: Table) -> None:
        self._x = np.array(table._x)
        self._y = np.array(table._y)
        self._slope = np.array(table._slope)
        self._origin = np.array(table._origin)

    def at(self, x: Array) -> tuple[Array, Array]:
        i = np.searchsorted(self._x, x, side="right")
        slope: Array = self._slope[i]
        value: Array = self._y[i] + slope * (x - self._origin[i])
        return value, slope


_LCO, _LI, _FILL, _EMPTY = map(_Curve, (LICOO2, LITHIUM, SILICON_CHARGE, SILICON_DISCHARGE))


def _phi(x: Array) -> tuple[Array, Array, Array]:
    """Repeated means of exp(-x), as `mocks.world.circuit` has them."""
    small = x < 0.1
    z = np.where(small, x, 0.0)
    s3 = 1 / 6 - z * (1 / 24 - z * (1 / 120 - z * (1 / 720 - z * (1 / 5040 - z / 40320))))
    s2 = 0.5 - z * s3
    s1 = 1.0 - z * s2
    big = np.where(small, 1.0, x)
    b1 = -np.expm1(-big) / big
    b2 = (1.0 - b1) / big
    b3 = (0.5 - b2) / big
    p1, p2, p3 = np.where(small, s1, b1), np.where(small, s2, b2), np.where(small, s3, b3)
    return p1, p2, p3


class Cells:
    """The state of all cells of `runs`, driven by their currents. `drive_a` may be changed between steps."""

    def __init__(self, runs: Runs, *, rested: bool = False) -> None:
        good, sheet = PRESETS["good"], PRESETS["sheet"]
        self.runs = runs
        area = runs.area_m2

        def of(name: str) -> Array:
            value: Array = np.where(runs.sheet, getattr(sheet, name), getattr(good, name))
            return value

        self._cathode_c = of("cathode_c_per_m2") * area
        self._anode_c = of("anode_c_per_m2") * area
        self._hysteresis_c = of("hysteresis_c_per_m2") * area
        self._hysteresis_rest_s = of("hysteresis_rest_s")
        self._lithium = of("lithium_fraction")
        self._fraction = of("reversible_fraction")
        self._series_ohm = (of("series_ohm_m2") + of("electrolyte_ohm_m2") + of("interface_ohm_m2")) / area
        self._diffusion_ohm = of("diffusion_ohm_m2") / area
        self._diffusion_s = of("diffusion_s")
        self._leak_s = area / of("leak_ohm_m2")
        self.charge_c = runs.charge_c.copy()
        self._peak_c = np.maximum(self.charge_c, 0.8 * 65.3 * 36.0 * area * (runs.current_a < 0))
        self._reversible_c = self.charge_c - (1.0 - self._fraction) * self._peak_c
        self.drive_a = runs.current_a.copy()
        self._branch = np.where(runs.current_a < 0, 1.0, 0.0)
        self._diffusion_v = np.zeros(len(area)) if rested else self.drive_a * self._diffusion_ohm
        self.node_v = self._equilibrium(self.drive_a >= 0)[0] + self._diffusion_v
        if not rested:
            self.node_v = self.node_v + self.drive_a * self._series_ohm

    def _equilibrium(self, charging: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
        """Voltage, and its rise with charge from outside, V/C."""
        cathode, cathode_slope = _LCO.at(self._lithium - self.charge_c / self._cathode_c)
        filled = self.charge_c / self._anode_c
        left = self._reversible_c / self._anode_c
        sheet = self.runs.sheet
        (fill, fill_slope), (empty, empty_slope) = _FILL.at(filled), _EMPTY.at(left)
        (li_fill, li_fill_slope), (li_empty, li_empty_slope) = _LI.at(filled), _LI.at(left)
        fill, fill_slope = np.where(sheet, li_fill, fill), np.where(sheet, li_fill_slope, fill_slope)
        empty, empty_slope = np.where(sheet, li_empty, empty), np.where(sheet, li_empty_slope, empty_slope)
        branch = self._branch
        emf = cathode - (1.0 - branch) * fill - branch * empty
        share = np.where(charging & (self.charge_c >= self._peak_c), self._fraction, 1.0)
        anode = ((1.0 - branch) * fill_slope + branch * empty_slope * share) / self._anode_c
        crossing = np.where(charging, branch, 1.0 - branch) * np.maximum(0.0, empty - fill) / self._hysteresis_c
        return emf, np.maximum(-cathode_slope / self._cathode_c - anode, 1e-3 / self._cathode_c) + crossing

    def step(self, seconds: Array, connected: npt.NDArray[np.bool_], shunt_s: Array) -> Array:
        """Live through `seconds` (of each run); returns the volt-seconds of the lead. Zero seconds change nothing."""
        farads = self.runs.stray_f
        charging = self.drive_a >= 0
        seconds = np.maximum(seconds, 1e-9)
        emf, slope = self._equilibrium(charging)
        emf = emf + self._diffusion_v
        shunt = shunt_s + self._leak_s
        divider = 1.0 / (1.0 + self._series_ohm * shunt)
        ohm = np.where(connected, self._series_ohm * divider, 1e30)
        force, rise = emf * divider, slope * divider**2
        drift = -slope * emf * shunt * divider**2
        u0 = self.node_v - force
        push = self.drive_a / farads - drift
        rate = (1.0 / farads + rise) / ohm
        p1, p2, p3 = _phi(rate * seconds)
        near = np.exp(-rate * seconds)
        u = u0 * near + push * seconds * p1
        u_area = (u0 * p1 + push * seconds * p2) * seconds
        u_area_area = (u0 * p2 + push * seconds * p3) * seconds**2
        passed = np.where(connected, u_area / ohm, 0.0)
        self.node_v = force + rise * passed + drift * seconds + u
        area: Array = (
            force * seconds + rise * np.where(connected, u_area_area / ohm, 0.0) + drift * seconds**2 / 2 + u_area
        )
        external = passed / seconds
        inside = (external - emf * shunt) * divider
        self._take(seconds, inside, passed)
        return area

    def _take(self, seconds: Array, inside_a: Array, outside_c: Array) -> None:
        charge = inside_a * seconds
        self.charge_c = self.charge_c + charge
        fresh = np.maximum(0.0, self.charge_c - self._peak_c)
        self._peak_c = self._peak_c + fresh
        self._reversible_c = self._reversible_c + charge - fresh * (1.0 - self._fraction)
        target = np.where(outside_c > 0, 0.0, 1.0)
        moved = target + (self._branch - target) * np.exp(-np.abs(outside_c) / self._hysteresis_c)
        self._branch = np.where(outside_c == 0.0, self._branch, moved)
        left = np.exp(-seconds / self._diffusion_s)
        self._diffusion_v = self._diffusion_v * left + inside_a * self._diffusion_ohm * (1.0 - left)
        self._branch = self._branch + (0.5 - self._branch) * -np.expm1(-seconds / self._hysteresis_rest_s)


def simulate(cells: Cells, samples: int, interval_s: float, start_s: float = 0.0) -> Array:
    """True voltages: means over each interval, shape (runs, samples)."""
    runs = cells.runs
    n = len(runs)
    never = np.full(n, np.inf)
    opens, closes, shorts = (times if len(times) else never for times in (runs.open_s, runs.close_s, runs.short_s))
    conductance = 1.0 / runs.short_ohm if len(runs.short_ohm) else np.zeros(n)
    voltage = np.empty((n, samples))
    changes = np.sort(np.stack([opens, closes, shorts]), axis=0)
    for k in range(samples):
        begin, end = start_s + k * interval_s, start_s + (k + 1) * interval_s
        inside = np.clip(changes, begin, end)
        edges = (
            [np.full(n, begin), *inside, np.full(n, end)]
            if (inside[0] < end).any()
            else [np.full(n, begin), np.full(n, end)]
        )
        area = np.zeros(n)
        for left, right in pairwise(edges):
            length = right - left
            if not (length > 0).any():
                continue
            middle = 0.5 * (left + right)
            closed = ~((middle >= opens) & (middle < closes))
            shunt = np.where(middle >= shorts, conductance, 0.0)
            area += np.where(length > 0, cells.step(length, closed, shunt), 0.0)
        voltage[:, k] = area / interval_s
    return voltage


def voltage_noise(rng: np.random.Generator, shape: tuple[int, int], interval_s: float) -> Array:
    noise: Array = rng.normal(0.0, VOLTAGE_WHITE_V / np.sqrt(interval_s), shape)
    return noise


def current_noise(rng: np.random.Generator, runs: Runs, samples: int, interval_s: float) -> Array:
    """What the ammeter reads beside the set current, shape (runs, samples): white, flicker, offset, drift, what the
    integration leaves of the mains, bursts."""
    n = len(runs)

    def of(name: str) -> Array:
        level: Array = np.where(runs.shielded, getattr(SHIELDED, name), getattr(UNSHIELDED, name))[:, None]
        return level

    time = (np.arange(samples) + 0.5) * interval_s
    total: Array = of("white_a") * rng.standard_normal((n, samples)) / np.sqrt(interval_s)
    flicker = np.zeros((n, samples))
    for period in _OCTAVES_S:
        points = rng.standard_normal((n, int(time[-1] // period) + 2))
        cell, share = (time // period).astype(int), (time % period) / period
        flicker += points[:, cell] * (1.0 - share) + points[:, cell + 1] * share
    total += of("flicker_a") * flicker / np.sqrt(len(_OCTAVES_S) * 2.0 / 3.0) + of("offset_a")
    phase = rng.uniform(0.0, 2.0 * np.pi, (n, 1))
    angle = 2.0 * np.pi * time / _DRIFT_PERIOD_S + phase
    total += of("drift_a_per_s") * _DRIFT_PERIOD_S / (2.0 * np.pi) * (np.sin(angle) - np.sin(phase))
    frequency = MAINS_HZ + 0.05 * np.sin(2.0 * np.pi * time / 71.0 + phase)
    half = np.pi * frequency * interval_s
    total += of("mains_a_rms") * np.sqrt(2.0) * np.sin(half) / half * np.sin(2.0 * np.pi * frequency * time + phase)
    bursts = rng.random((n, int(time[-1]) + 1)) < of("burst_rate_hz")
    for run, second in zip(*np.nonzero(bursts), strict=True):
        began = second + rng.random()
        size = float(of("burst_a")[run, 0]) * rng.choice((-1.0, 1.0)) * rng.uniform(0.5, 1.5)
        since = time - began
        total[run] += np.where(since > 0, size * np.exp(-np.maximum(since, 0.0) / 0.5), 0.0)
    return total
