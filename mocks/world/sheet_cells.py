"""The cells of a simulated sheet: what each is like, which are bad, and the truth about it.

A good cell is that of the domain note, section 6: 0.1 cm2, R0 5 Ohm, R1 750 Ohm with 0.98 nF, R2 600 Ohm with 0.2 uF,
a Warburg element of 400 Ohm s^-1/2, which makes 1181 Ohm at 1 kHz. Cells differ by a few percent, at random and slowly
over the sheet.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .randomness import gaussian, make_key, uniform

Place = tuple[int, int]

KINDS = ("good", "weak", "short", "soft short", "open", "leaky", "outlier", "streak", "pitch")


@dataclass(frozen=True, slots=True)
class SheetCell:
    """One cell as the probe sees it. `kind` is the truth about it."""

    kind: str = "good"
    ocv_v: float = 0.350
    series_ohm: float = 5.0
    r1_ohm: float = 750.0
    c1_f: float = 0.98e-9
    r2_ohm: float = 600.0
    c2_f: float = 0.2e-6
    warburg_ohm_per_sqrt_s: float = 400.0
    shunt_s: float = 0.0
    #: how fast the voltage falls from the moment that the probe has landed
    fall_v_per_s: float = 0.0
    #: the collector is broken: only its capacitance to the rest is left
    broken: bool = False

    @property
    def voltage_v(self) -> float:
        """Open-circuit voltage, with the shunt's load on it."""
        resistance = self.series_ohm + self.r1_ohm + self.r2_ohm + 10.0 * self.warburg_ohm_per_sqrt_s
        return self.ocv_v / (1.0 + self.shunt_s * resistance)

    def impedance(self, frequency_hz: float) -> complex:
        omega = 2.0 * math.pi * frequency_hz
        if self.broken:
            return self.series_ohm + 1.0 / (1j * omega * self.c1_f)
        total = complex(self.series_ohm)
        total += self.r1_ohm / (1.0 + 1j * omega * self.r1_ohm * self.c1_f)
        total += self.r2_ohm / (1.0 + 1j * omega * self.r2_ohm * self.c2_f)
        total += self.warburg_ohm_per_sqrt_s * (1.0 - 1.0j) / cmath.sqrt(omega)
        return total / (1.0 + total * self.shunt_s)


@dataclass(frozen=True, slots=True)
class Defects:
    """How many of each kind are put at random places, and what lies in lines.

    `streaks` are (row, first column, length); `pitches` (row, first column, distance in columns).
    """

    shorts: int = 0
    soft_shorts: int = 0
    opens: int = 0
    leaky: int = 0
    outliers: int = 0
    weak: int = 0
    streaks: tuple[tuple[int, int, int], ...] = ()
    pitches: tuple[tuple[int, int, int], ...] = ()


#: what each kind of defect changes of a good cell
_CHANGES: Mapping[str, Mapping[str, float | bool]] = {
    "short": {"shunt_s": 1 / 10.0},
    "soft short": {"shunt_s": 1 / 1000.0},
    "open": {"broken": True},
    "leaky": {"shunt_s": 1 / 1e5, "fall_v_per_s": 3e-3},
    "outlier": {"ocv_v": 0.430},
}


@dataclass(frozen=True)
class SheetCells:
    """`rows` x `columns` cells; x = column * `pitch_m`, y = row * `pitch_m`, in the sheet's own coordinates."""

    rows: int
    columns: int
    pitch_m: float = 5e-3
    seed: int = 0
    defects: Defects = field(default_factory=Defects)
    ocv_spread_v: float = 3e-3
    resistance_spread: float = 0.02

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1 or not self.pitch_m > 0:
            raise ValueError(f"a sheet of {self.rows} x {self.columns} cells, {self.pitch_m!r} m apart, is none")
        object.__setattr__(self, "cells", self._make())

    cells: Mapping[Place, SheetCell] = field(init=False, repr=False, compare=False)

    @property
    def truth(self) -> Mapping[Place, str]:
        return {place: cell.kind for place, cell in self.cells.items()}

    def _make(self) -> dict[Place, SheetCell]:
        kinds = self._kinds()
        made = {}
        keys = [make_key(self.seed, "sheet", what) for what in ("ocv", "r1", "r2")]
        for row in range(self.rows):
            for column in range(self.columns):
                index = row * self.columns + column
                ocv, r1, r2 = (_within(gaussian(key, index)) for key in keys)
                slow = math.sin(math.pi * column / self.columns) * 0.5 + row / self.rows * 0.5
                cell = SheetCell(
                    ocv_v=0.350 + self.ocv_spread_v * (ocv + slow),
                    r1_ohm=750.0 * (1.0 + self.resistance_spread * r1),
                    r2_ohm=600.0 * (1.0 + self.resistance_spread * r2),
                )
                kind = kinds.get((row, column), "good")
                made[row, column] = self._spoilt(cell, kind)
        return made

    def _spoilt(self, cell: SheetCell, kind: str) -> SheetCell:
        if kind in _CHANGES:
            return replace(cell, kind=kind, **_CHANGES[kind])  # type: ignore[arg-type]  # the table's types fit
        if kind in ("weak", "streak", "pitch"):
            factor = 1.35 if kind == "weak" else 4.0
            return replace(cell, kind=kind, r1_ohm=factor * cell.r1_ohm)
        return cell

    def _kinds(self) -> dict[Place, str]:
        d = self.defects
        kinds: dict[Place, str] = {}
        for row, first, length in d.streaks:
            kinds |= {(row, column): "streak" for column in range(first, min(first + length, self.columns))}
        for row, first, distance in d.pitches:
            kinds |= {(row, column): "pitch" for column in range(first, self.columns, distance)}
        key = make_key(self.seed, "sheet", "defects")
        counter = 0
        for kind, count in (
            ("short", d.shorts),
            ("soft short", d.soft_shorts),
            ("open", d.opens),
            ("leaky", d.leaky),
            ("outlier", d.outliers),
            ("weak", d.weak),
        ):
            left = count
            while left:
                if len(kinds) >= self.rows * self.columns:
                    raise ValueError("there are more defects than cells")
                place = int(uniform(key, counter) * self.rows), int(uniform(key, counter + 1) * self.columns)
                counter += 2
                if place not in kinds:
                    kinds[place] = kind
                    left -= 1
        return kinds


def _within(value: float) -> float:
    """Cut at three sigmas: a good cell that is far out would be a defect that the truth does not know."""
    return max(-3.0, min(3.0, value))
