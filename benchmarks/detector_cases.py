"""Healthy steps and faults for the health watch: which cells, which currents, when it happens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from drivers.samples import EndReason, Flag
from drivers.techniques import Galvanostatic, OpenCircuit, Potentiostatic, Technique

from .detector_cells import Array, Cells, Runs, current_noise, simulate, voltage_noise

#: um2; the last two are the whole lamella's neighbourhood in which nA flow (domain note, 0.1).
AREAS_UM2 = (1.0, 5.0, 10.0, 20.0, 50.0, 1000.0, 4000.0)
SHEET_M2 = 1e-5
LOW_V, HIGH_V = 2.0, 4.2
#: Current densities of the field: 20 uA/cm2 to 1.25 mA/cm2, in A/m2.
DENSITY = (0.2, 12.5)
CURRENT = (1e-12, 1e-8)
SHEET_CURRENT = (1e-8, 2e-5)
ANODE_C_PER_M2 = 65.3 * 36.0
#: A/m2 in a rest: the least that falls faster than silicon's hysteresis relaxes, up to twice that of Figure 9.
LEAK = (0.12, 0.6)
STRAY_F = 100e-12
#: What charges the lead more slowly than this is not told from a cell within minutes.
SETTLED_S = 20.0


@dataclass(frozen=True, slots=True)
class Case:
    """One record with what is to be known of it. `fault_s` is when it began, infinity for a healthy one."""

    technique: Technique
    area_m2: float
    time_s: Array
    voltage_v: Array
    current_a: Array
    flags: np.ndarray[tuple[int], np.dtype[np.uint32]]
    end: EndReason | None = None
    fault_s: float = np.inf
    leak_ohm: float = np.inf
    group: str = ""
    before: tuple[Case, ...] = field(default=())


def _cells(
    rng: np.random.Generator, n: int, *, sheet: float = 0.15, most_a: float = np.inf
) -> tuple[Array, Array, np.ndarray[tuple[int], np.dtype[np.bool_]], np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Areas, currents (unsigned), which are sheet cells, which routes are shielded. Currents are those of the field's
    densities within 1 pA to 10 nA, and no less than the route's floor."""
    areas: list[float] = []
    currents: list[float] = []
    sheets: list[bool] = []
    shields: list[bool] = []
    while len(areas) < n:
        is_sheet, shielded = rng.random() < sheet, rng.random() < 0.5
        area = SHEET_M2 if is_sheet else float(rng.choice(AREAS_UM2)) * 1e-12
        if is_sheet:
            current = float(np.exp(rng.uniform(*np.log(SHEET_CURRENT))))
        else:
            current = float(np.exp(rng.uniform(*np.log(DENSITY)))) * area
        floor = CURRENT[0] if shielded else 1e-11
        if current < floor or current > most_a or (not is_sheet and current > CURRENT[1]):
            continue
        areas.append(area)
        currents.append(current)
        sheets.append(is_sheet)
        shields.append(shielded)
    return np.array(areas), np.array(currents), np.array(sheets), np.array(shields)


def _charged(rng: np.random.Generator, area: Array, current: Array, *, fresh: float, within_s: float) -> Array:
    """What is in the cell at the start. A discharge ends within `within_s` in half of the runs."""
    full = 0.55 * ANODE_C_PER_M2 * area
    charge = rng.uniform(0.02, 1.0, len(area)) * full
    charge[rng.random(len(area)) < fresh] = 0.0
    emptied = np.minimum(np.abs(current) * rng.uniform(0.1, 2.0, len(area)) * within_s, full)
    lost = 0.05 * 0.8 * ANODE_C_PER_M2 * area  # see Cells: what a cell on discharge has lost at its first charge
    return np.where(current < 0, emptied + lost, charge)


def _cut(voltage: Array, current_a: float) -> tuple[int, EndReason | None]:
    """How many samples there are until the limit that ends the step, and why it ended."""
    beyond = voltage >= HIGH_V if current_a > 0 else voltage <= LOW_V
    if not beyond.any():
        return len(voltage), None
    return int(np.argmax(beyond)) + 1, EndReason.VOLTAGE_MAX if current_a > 0 else EndReason.VOLTAGE_MIN


def _step(current_a: float, interval_s: float, duration_s: float) -> Galvanostatic:
    return Galvanostatic(
        current_a=current_a,
        duration_s=duration_s,
        interval_s=interval_s,
        voltage_min_v=LOW_V,
        voltage_max_v=HIGH_V,
    )


def _records(
    rng: np.random.Generator, runs: Runs, samples: int, interval_s: float, fault_s: Array | None, *, rested: bool
) -> Iterator[Case]:
    true_v = simulate(Cells(runs, rested=rested), samples, interval_s)
    voltage = true_v + voltage_noise(rng, true_v.shape, interval_s)
    current = runs.current_a[:, None] + current_noise(rng, runs, samples, interval_s)
    time = (np.arange(samples) + 1.0) * interval_s
    for k in range(len(runs)):
        set_a = float(runs.current_a[k])
        stop, end = _cut(voltage[k], set_a)
        yield Case(
            technique=_step(set_a, interval_s, samples * interval_s),
            area_m2=float(runs.area_m2[k]),
            time_s=time[:stop],
            voltage_v=voltage[k, :stop],
            current_a=current[k, :stop],
            flags=np.zeros(stop, np.uint32),
            end=end,
            fault_s=np.inf if fault_s is None else float(fault_s[k]),
            leak_ohm=float(runs.short_ohm[k]) if len(runs.short_ohm) else np.inf,
            group="sheet" if runs.sheet[k] else f"{runs.area_m2[k] * 1e12:g} um2",
        )


def healthy_steps(rng: np.random.Generator, n: int, samples: int, interval_s: float) -> Iterator[Case]:
    """Charges (a third of them first ones, of an empty cell) and discharges, to the ends of the window."""
    for first in range(0, n, 200):
        size = min(200, n - first)
        area, current, sheet, shielded = _cells(rng, size)
        current = np.where(rng.random(size) < 0.5, current, -current)
        charge = _charged(rng, area, current, fresh=1 / 3, within_s=samples * interval_s)
        yield from _records(rng, Runs(area, current, charge, sheet, shielded), samples, interval_s, None, rested=True)


def openings(rng: np.random.Generator, n: int, samples: int, interval_s: float, *, returning: bool) -> Iterator[Case]:
    """Contact lost for good, or (`returning`) for 0.2 s and more, at most until the lead is 0.2 V from the curve."""
    for first in range(0, n, 1000):
        size = min(1000, n - first)
        most = 0.2 * STRAY_F / (3 * interval_s) if returning else np.inf
        area, current, sheet, shielded = _cells(rng, size, sheet=0.0 if returning else 0.15, most_a=most)
        current = np.where(rng.random(size) < 0.5, current, -current)
        span = samples * interval_s
        charge = np.where(
            current < 0,
            (0.04 + rng.uniform(0.15, 0.5, size)) * ANODE_C_PER_M2 * area,
            rng.uniform(0.02, 0.35, size) * ANODE_C_PER_M2 * area,
        )
        opens = rng.uniform(0.5, 0.7, size) * span
        longest = np.minimum(2.0, 0.2 * STRAY_F / np.abs(current))
        closes = (
            opens + rng.uniform(3 * interval_s, np.maximum(longest, 3.1 * interval_s)) if returning else opens + 1e9
        )
        runs = Runs(area, current, charge, sheet, shielded, open_s=opens, close_s=closes)
        yield from (
            case
            for case in _records(rng, runs, samples, interval_s, opens, rested=False)
            if len(case.time_s) * interval_s > case.fault_s
        )


def sudden_shorts(
    rng: np.random.Generator, n: int, samples: int, interval_s: float, *, leak: tuple[float, float], charging: bool
) -> Iterator[Case]:
    """A short that takes between `leak[0]` and `leak[1]` times the set current, somewhere in a step."""
    for first in range(0, n, 1000):
        size = min(1000, n - first)
        area, current, sheet, shielded = _cells(rng, size)
        current = current if charging else -current
        charge = np.where(sheet, 0.2, rng.uniform(0.15, 0.4, size)) * ANODE_C_PER_M2 * area
        charge = charge + (0.0 if charging else 0.04) * ANODE_C_PER_M2 * area
        times = np.exp(rng.uniform(np.log(leak[0]), np.log(leak[1]), size))
        ohm = 3.4 / (times * np.abs(current))
        shorts = rng.uniform(0.3, 0.4, size) * samples * interval_s
        runs = Runs(area, current, charge, sheet, shielded, short_s=shorts, short_ohm=ohm)
        yield from (
            case
            for case in _records(rng, runs, samples, interval_s, shorts, rested=False)
            if len(case.time_s) * interval_s > case.fault_s
        )


def born_shorts(rng: np.random.Generator, n: int, samples: int, interval_s: float) -> Iterator[Case]:
    """A resistor across the terminals from the beginning (Figure 10), with V = I R of 1 mV to 1.9 V, up to 200 GOhm."""
    area, current, sheet, shielded = _cells(rng, n)
    current = np.where(sheet, np.maximum(current, 1e-6), current)  # less takes hours to fill a living one
    ohm = np.minimum(np.exp(rng.uniform(np.log(1e-3), np.log(1.9), n)) / current, SETTLED_S / STRAY_F)
    time = (np.arange(samples) + 1.0) * interval_s
    settling = ohm[:, None] * STRAY_F
    voltage = current[:, None] * ohm[:, None] * -np.expm1(-time / settling)
    voltage = voltage + voltage_noise(rng, voltage.shape, interval_s)
    runs = Runs(area, current, np.zeros(n), sheet, shielded)
    measured = current[:, None] + current_noise(rng, runs, samples, interval_s)
    for k in range(n):
        yield Case(
            technique=_step(float(current[k]), interval_s, samples * interval_s),
            area_m2=float(area[k]),
            time_s=time,
            voltage_v=voltage[k],
            current_a=measured[k],
            flags=np.zeros(samples, np.uint32),
            fault_s=0.0,
            leak_ohm=float(ohm[k]),
            group="sheet" if sheet[k] else f"{area[k] * 1e12:g} um2",
        )


def rests(rng: np.random.Generator, n: int, samples: int, interval_s: float, *, leaking: bool) -> Iterator[Case]:
    """A charge of two minutes, then a rest with the voltage measured; `leaking`: by 12 to 60 uA/cm2, and by 8 % of
    the current or more."""
    for first in range(0, n, 500):
        size = min(500, n - first)
        area, current, sheet, shielded = _cells(rng, size, sheet=0.0)
        charge = rng.uniform(0.1, 0.35, size) * ANODE_C_PER_M2 * area
        leak = np.maximum(np.exp(rng.uniform(np.log(LEAK[0]), np.log(LEAK[1]), size)) * area, 0.08 * current)
        ohm = 3.4 / leak if leaking else np.full(size, 1e30)
        runs = Runs(area, current, charge, sheet, shielded, short_s=np.zeros(size), short_ohm=ohm)
        cells = Cells(runs)
        count = 120
        before = simulate(cells, count, 1.0)
        cells.drive_a = np.zeros(size)
        after = simulate(cells, samples, interval_s)
        quiet = current_noise(rng, runs, samples, interval_s)
        loud = current[:, None] + current_noise(rng, runs, count, 1.0)
        before = before + voltage_noise(rng, before.shape, 1.0)
        after = after + voltage_noise(rng, after.shape, interval_s)
        for k in range(size):
            own_m2 = float(area[k])
            charge_time = np.arange(count) + 1.0
            first_step = Case(
                _step(float(current[k]), 1.0, 120.0), own_m2, charge_time, before[k], loud[k],
                np.zeros(count, np.uint32),
            )  # fmt: skip
            yield Case(
                technique=OpenCircuit(duration_s=samples * interval_s, interval_s=interval_s),
                area_m2=own_m2,
                time_s=(np.arange(samples) + 1.0) * interval_s,
                voltage_v=after[k],
                current_a=quiet[k],
                flags=np.zeros(samples, np.uint32),
                fault_s=0.0 if leaking else np.inf,
                leak_ohm=float(ohm[k]),
                group=f"{own_m2 * 1e12:g} um2",
                before=(first_step,),
            )


def drifts(rng: np.random.Generator, n: int, samples: int, interval_s: float) -> Iterator[Case]:
    """The source runs away from its set point, to 40 % of it, from a third of the record on."""
    for case in healthy_steps(rng, n, samples, interval_s):
        begin = samples * interval_s / 3.0
        if case.time_s[-1] < 0.95 * samples * interval_s:
            continue
        set_a = case.technique.current_a  # type: ignore[union-attr]  # a galvanostatic step
        size = 0.4 * set_a * (1.0 if rng.random() < 0.5 else -1.0)
        away = size * np.clip((case.time_s - begin) / (0.3 * begin), 0.0, 1.0)
        yield _with(case, current_a=case.current_a + away, fault_s=begin)


def overloads(rng: np.random.Generator, n: int, samples: int, interval_s: float) -> Iterator[Case]:
    """The flag of the instrument, from an instant on."""
    for case in healthy_steps(rng, n, samples, interval_s):
        at = int(rng.uniform(0.3, 0.6) * len(case.time_s))
        if case.end is not None:
            continue
        flags = case.flags.copy()
        flags[at:] |= int(Flag.OVERLOAD)
        yield _with(case, flags=flags, fault_s=float(case.time_s[at]) - interval_s)


def beyond_window(rng: np.random.Generator, n: int, samples: int, interval_s: float) -> Iterator[Case]:
    """Held at a voltage that drifts over the hard limit, as a wrong set point or a failing sense lead makes it."""
    time = (np.arange(samples) + 1.0) * interval_s
    for _ in range(n):
        at = rng.uniform(0.3, 0.6) * time[-1]
        rate = np.exp(rng.uniform(np.log(5e-3), np.log(1.0)))
        voltage = HIGH_V + 0.1 + rate * (time - at) + rng.normal(0.0, 2e-5, samples)
        voltage = np.maximum(voltage, 3.0)
        current = 1e-11 * np.exp(-time / 100.0) + rng.normal(0.0, 1e-13, samples)
        yield Case(
            technique=Potentiostatic(voltage_v=HIGH_V, duration_s=float(time[-1]), interval_s=interval_s),
            area_m2=1e-11,
            time_s=time,
            voltage_v=voltage,
            current_a=current,
            flags=np.zeros(samples, np.uint32),
            fault_s=at,
        )


def _with(case: Case, **changes: object) -> Case:
    fields = {name: getattr(case, name) for name in Case.__slots__}
    return Case(**(fields | changes))
