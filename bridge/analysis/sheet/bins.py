"""Bins: a table of rules in order of precedence. The first that matches decides.

The soft bin says why, the hard bin what is to be done with the cell. `retest` asks for another touchdown: what failed
there was not the cell.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from drivers import toml_text
from drivers.errors import InvalidValue

from .limits import Limits
from .rules import Rule, Values, parse_rule

#: a quantity at a frequency: z_1khz_ohm, phase_100mhz_deg (millihertz), z_real_10hz_ohm
_AT = re.compile(r"(z|phase|z_real|z_imag)_(\d+(?:p\d+)?)(m|k|)hz_(ohm|deg)")
_FACTORS = {"m": 1e-3, "": 1.0, "k": 1e3}

#: what every cell has, measured or not; see docs/sheet.md
QUANTITIES: Mapping[str, str] = {
    "ocv_v": "open-circuit voltage: mean of the second half of the record",
    "ocv_std_v": "standard deviation of the same samples, their slope taken out",
    "ocv_drop_v": "fall of the voltage over the whole record, by its least-squares slope",
    "z_top_ohm": "modulus at the highest frequency",
    "z_low_ohm": "modulus at the lowest frequency that was measured",
    "phase_low_deg": "phase there",
    "frequency_low_hz": "that frequency",
    "points": "points of the spectrum",
    "repeat_change": "relative change at a frequency that was measured again",
    "kk_residual": "largest relative residual of a linear Kramers-Kronig fit",
    "flagged": "points of the spectrum that the instrument warned of, left out of it",
    "visits": "how often the cell was touched, this time included",
}


@dataclass(frozen=True, slots=True)
class Bin:
    """One row of the table."""

    soft: int
    hard: int
    name: str
    rule: Rule
    passes: bool
    retest: bool = False


@dataclass(frozen=True)
class Bins:
    """`rows` in order of precedence; `untested` is the bin of cells that were not measured."""

    rows: tuple[Bin, ...]
    untested: Bin

    @cached_property
    def by_soft(self) -> Mapping[int, Bin]:
        return {row.soft: row for row in (*self.rows, self.untested)}

    @cached_property
    def names(self) -> frozenset[str]:
        """Everything that the rules refer to."""
        return frozenset().union(*(row.rule.names for row in self.rows))

    @cached_property
    def frequencies_hz(self) -> tuple[float, ...]:
        """Frequencies that the rules refer to, the highest first."""
        return frequencies_of(self.names)

    def check(self, limits: Limits, known: Iterable[str] = ()) -> None:
        """Raises `InvalidValue` for a name that is neither a quantity nor a limit or constant of `limits`."""
        accepted = {*QUANTITIES, *known}
        for row in self.rows:
            for name in sorted(row.rule.names):
                if name in limits.names or name in accepted or _AT.fullmatch(name):
                    continue
                if name.endswith((".low", ".high")):
                    raise InvalidValue(
                        f"bin {row.soft} ({row.name}) needs the limit {name}, and there is none; limits come from a "
                        f"file ([limits.{name.partition('.')[0]}]) or from the sheet "
                        f"([robust.{name.partition('.')[0]}]), never from the program"
                    )
                raise InvalidValue(
                    f"bin {row.soft} ({row.name}): {name!r} is not known; quantities: {', '.join(sorted(accepted))}, "
                    "z_1khz_ohm, phase_1khz_deg, z_real_1khz_ohm, z_imag_1khz_ohm (any frequency); "
                    f"limits and constants: {', '.join(sorted(limits.names)) or 'none'}"
                )

    def classify(self, values: Values) -> Bin:
        """The first row whose rule holds for `values` (the cell's and the limits')."""
        for row in self.rows:
            if row.rule(values):
                return row
        return self.untested

    def describe(self) -> list[dict[str, Any]]:
        return [
            {"soft": b.soft, "hard": b.hard, "name": b.name, "when": b.rule.text, "pass": b.passes, "retest": b.retest}
            for b in (*self.rows, self.untested)
        ]


def frequencies_of(names: Iterable[str]) -> tuple[float, ...]:
    """The frequencies of quantities such as z_1khz_ohm, the highest first."""
    return tuple(sorted({at[1] for name in names if (at := parse_at(name)) is not None}, reverse=True))


def parse_at(name: str) -> tuple[str, float] | None:
    """ "z_1khz_ohm" -> ("z", 1000.0); None for a name that is no quantity at a frequency."""
    match = _AT.fullmatch(name)
    if match is None:
        return None
    return match[1], float(match[2].replace("p", ".")) * _FACTORS[match[3]]


def parse_bins(content: Mapping[str, Any], name: str = "bins") -> Bins:
    """Bins out of a TOML file's content: an array of tables [[bin]]. Raises `InvalidValue`."""
    for key in content:
        if key != "bin":
            raise InvalidValue(f"{name}: {key!r} is not known; accepted: [[bin]] tables")
    tables = content.get("bin")
    if not isinstance(tables, list) or not tables:
        raise InvalidValue(f"{name} has no [[bin]]; accepted: one for each bin, the first that matches decides")
    rows: list[Bin] = []
    untested: Bin | None = None
    for number, table in enumerate(tables, 1):
        row = _row(table, f"{name}: bin number {number}")
        if any(row.soft == other.soft for other in rows):
            raise InvalidValue(f"{name}: soft bin {row.soft} is there twice")
        if table.get("untested") is True:
            untested = row
        else:
            rows.append(row)
    if untested is None:
        untested = Bin(90, 9, "not tested", parse_rule("true"), passes=False)
    if not any(row.passes for row in rows):
        raise InvalidValue(f"{name}: no bin has pass = true, so nothing could pass")
    if rows[-1].rule.text != "true":
        raise InvalidValue(
            f"{name}: the last bin, {rows[-1].soft}, has the condition {rows[-1].rule.text!r}; accepted: 'true', so "
            "that every measured cell has a bin"
        )
    return Bins(tuple(rows), untested)


def loads(text: str, name: str = "bins") -> Bins:
    """As `parse_bins`, for TOML text."""
    try:
        return parse_bins(toml_text.loads(text), name)
    except tomllib.TOMLDecodeError as error:
        raise InvalidValue(f"{name} is not TOML: {error}") from error


_KEYS = ("soft", "hard", "name", "when", "pass", "retest", "untested")


def _row(table: Any, where: str) -> Bin:
    if not isinstance(table, Mapping):
        raise InvalidValue(f"{where} is {table!r}; a table is accepted with {', '.join(_KEYS)}")
    for key in table:
        if key not in _KEYS:
            raise InvalidValue(f"{where}: {key!r} is not known; accepted: {', '.join(_KEYS)}")
    numbers = []
    for key in ("soft", "hard"):
        value = table.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 32767:
            raise InvalidValue(
                f"{where}: {key} is {value!r}; accepted: a whole number from 0 to 32767, as STDF has them"
            )
        numbers.append(value)
    for key in ("pass", "retest", "untested"):
        if not isinstance(table.get(key, False), bool):
            raise InvalidValue(f"{where}: {key} is {table[key]!r}; accepted: true, false")
    text = "true" if table.get("untested") else table.get("when")
    if not isinstance(text, str):
        raise InvalidValue(f"{where}: when is {text!r}; accepted: a condition, such as 'ocv_v < ocv_v.low'")
    return Bin(
        soft=numbers[0],
        hard=numbers[1],
        name=str(table.get("name", f"bin {numbers[0]}")),
        rule=parse_rule(text, f"{where}: when"),
        passes=bool(table.get("pass", False)),
        retest=bool(table.get("retest", False)),
    )
