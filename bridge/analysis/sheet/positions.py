"""Where the cells of a sheet are, by design: a grid, a list or a file; and which of them are left out.

Design coordinates are the sheet's own: x along the web (columns), y across it (rows), in metres.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drivers.errors import InvalidValue
from drivers.quantities import quantity

#: row and column
Place = tuple[int, int]

_ONE = re.compile(r"r(\d+)c(\d+)")
_LINE = re.compile(r"([rc])(\d+)")
_SKIP_EXAMPLE = 'such as "r3c4", "r3" (a row), "c7" (a column), "r3c4:r5c9" (a rectangle)'
_POSITION_EXAMPLE = "row, column, x and y, such as [0, 1, '5 mm', '0 mm']"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the sheet, by its row and column (from 0) and its centre in design coordinates."""

    row: int
    column: int
    x_m: float
    y_m: float

    @property
    def place(self) -> Place:
        return self.row, self.column

    @property
    def name(self) -> str:
        return name_of(self.place)


def name_of(place: Place) -> str:
    """ "r3c4" for row 3, column 4."""
    return f"r{place[0]}c{place[1]}"


#: More in one sheet is a slip of the pen, and would take the computer's memory.
_MOST_CELLS = 250_000


def grid(rows: int, columns: int, pitch_x_m: float, pitch_y_m: float, origin_m: tuple[float, float]) -> list[Cell]:
    """Rows times columns cells; `origin_m` is the centre of row 0, column 0. Raises `InvalidValue`."""
    for name, number in (("rows", rows), ("columns", columns)):
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 10_000:
            raise InvalidValue(f"{name} is {number!r}; accepted: a whole number from 1 to 10000")
    if rows * columns > _MOST_CELLS:
        raise InvalidValue(f"rows times columns is {rows * columns}; accepted: at most {_MOST_CELLS} cells")
    for name, pitch in (("pitch_x", pitch_x_m), ("pitch_y", pitch_y_m)):
        if pitch == 0:
            raise InvalidValue(f"{name} is 0; the distance from one cell to the next is accepted, such as '5 mm'")
    x0, y0 = origin_m
    return [Cell(r, c, x0 + c * pitch_x_m, y0 + r * pitch_y_m) for r in range(rows) for c in range(columns)]


def from_list(entries: Iterable[Any]) -> list[Cell]:
    """Cells out of (row, column, x, y); x and y as text with a unit or in metres. Raises `InvalidValue`."""
    cells = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, Sequence) or isinstance(entry, str) or len(entry) != 4:
            raise InvalidValue(f"position {number} is {entry!r}; accepted: {_POSITION_EXAMPLE}")
        row, column = (_whole(value, f"position {number}") for value in entry[:2])
        x_m, y_m = (quantity(value, "m", field=f"position {number}") for value in entry[2:])
        cells.append(Cell(row, column, x_m, y_m))
    return _unique(cells)


def from_csv(text: str, name: str = "the file") -> list[Cell]:
    """Cells out of CSV with the columns row, column, and x_mm, y_mm (or x_m, y_m). Raises `InvalidValue`."""
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    heads = [head.strip().lower() for head in reader.fieldnames or ()]
    unit = "mm" if {"x_mm", "y_mm"} <= set(heads) else "m"
    wanted = ("row", "column", f"x_{unit}", f"y_{unit}")
    missing = [head for head in wanted if head not in heads]
    if missing:
        raise InvalidValue(f"{name} lacks the column {missing[0]!r}; accepted: row, column, and x_mm, y_mm or x_m, y_m")
    reader.fieldnames = heads
    rows = [[line[wanted[0]], line[wanted[1]], *(f"{line[head]} {unit}" for head in wanted[2:])] for line in reader]
    return from_list(rows)


def _whole(value: Any, field: str) -> int:
    number = quantity(value, "1", field=field)
    if number != int(number) or number < 0:
        raise InvalidValue(f"{field}: {value!r} is no row or column; accepted: a whole number from 0")
    return int(number)


def _unique(cells: list[Cell]) -> list[Cell]:
    if not cells:
        raise InvalidValue(f"there are no positions; accepted: a list of {_POSITION_EXAMPLE}")
    seen: set[Place] = set()
    for cell in cells:
        if cell.place in seen:
            raise InvalidValue(f"row {cell.row}, column {cell.column} is there twice")
        seen.add(cell.place)
    return cells


def parse_skip(entries: Iterable[Any], cells: Sequence[Cell]) -> frozenset[Place]:
    """The places that a skip list names. Raises `InvalidValue` for what is no name, or names no cell of the sheet."""
    places = {cell.place for cell in cells}
    found: set[Place] = set()
    for entry in entries:
        named = _named(entry, places)
        if not named:
            raise InvalidValue(f"skip: {entry!r} is none of the sheet's cells")
        found |= named
    return frozenset(found)


def _named(entry: Any, places: set[Place]) -> set[Place]:
    text = entry.strip().lower() if isinstance(entry, str) else ""
    if match := _ONE.fullmatch(text):
        return {(int(match[1]), int(match[2]))} & places
    if match := _LINE.fullmatch(text):
        axis = 0 if match[1] == "r" else 1
        return {place for place in places if place[axis] == int(match[2])}
    first, _, last = text.partition(":")
    one, other = _ONE.fullmatch(first), _ONE.fullmatch(last)
    if one and other:
        rows = sorted((int(one[1]), int(other[1])))
        columns = sorted((int(one[2]), int(other[2])))
        return {p for p in places if rows[0] <= p[0] <= rows[1] and columns[0] <= p[1] <= columns[1]}
    raise InvalidValue(f"skip: {entry!r} is no cell; accepted: {_SKIP_EXAMPLE}")


def by_place(cells: Iterable[Cell]) -> Mapping[Place, Cell]:
    return {cell.place: cell for cell in cells}
