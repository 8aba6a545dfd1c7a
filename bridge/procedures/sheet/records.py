"""The visits to the cells, each kept: what was measured, by which probe, which bin; and which of them stand."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from bridge.analysis.sheet.positions import Place


@dataclass(slots=True)
class Record:
    """One visit to one cell. `visit` counts from 1; `supersedes` is the index of the earlier record that this one
    replaces. Times in seconds of the sheet's time; `at_ns` is UTC. `error`: why nothing was measured."""

    row: int
    column: int
    head: str
    site: int
    channel: str
    visit: int
    started_s: float
    duration_s: float
    at_ns: int
    values: dict[str, float] = field(default_factory=dict)
    soft: int = 0
    hard: int = 0
    supersedes: int | None = None
    error: str = ""

    @property
    def place(self) -> Place:
        return self.row, self.column

    def to_dict(self, index: int) -> dict[str, Any]:
        """As JSON values, with its number in the book."""
        values = {name: _plain(value) for name, value in self.values.items()}
        return {"record": index, **{name: getattr(self, name) for name in _PLAIN}, "values": values}


_PLAIN = ("row", "column", "head", "site", "channel", "visit", "started_s", "duration_s", "at_ns", "soft", "hard",
          "supersedes", "error")  # fmt: skip
_KEPT = tuple(name for name in _PLAIN if name not in ("soft", "hard", "supersedes"))


class Book:
    """All records in the order in which they were made; the last one of a cell stands.

    `lines` are the same as text, a line each, made when a record is entered: keeping a large sheet for a resume is then
    no long work at one time. Bins are not in them: they follow from the values.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.lines: list[str] = []
        self.standing: dict[Place, int] = {}

    def add(self, record: Record) -> None:
        record.supersedes = self.standing.get(record.place)
        self.standing[record.place] = len(self.records)
        self.records.append(record)
        kept = {name: getattr(record, name) for name in _KEPT}
        kept["values"] = {name: _plain(value) for name, value in record.values.items()}
        self.lines.append(json.dumps(kept, allow_nan=False, separators=(",", ":")))

    def current(self) -> list[Record]:
        """Those that stand."""
        return [self.records[index] for index in self.standing.values()]

    def visits(self, place: Place) -> int:
        index = self.standing.get(place)
        return 0 if index is None else self.records[index].visit

    def sites_of(self, place: Place) -> frozenset[int]:
        """The sites that have visited a cell."""
        found: set[int] = set()
        index = self.standing.get(place)
        while index is not None:
            found.add(self.records[index].site)
            index = self.records[index].supersedes
        return frozenset(found)

    def to_columns(self) -> dict[str, Any]:
        """As JSON values, a list for each field; `values` holds one for each quantity, null where not measured."""
        names = sorted({name for record in self.records for name in record.values})
        columns: dict[str, Any] = {name: [getattr(r, name) for r in self.records] for name in _PLAIN}
        columns["values"] = {name: [_plain(r.values.get(name)) for r in self.records] for name in names}
        return columns

    @staticmethod
    def from_text(text: str) -> Book:
        """Out of the `lines`, joined; the bins are still to be given."""
        book = Book()
        for line in text.splitlines():
            kept = json.loads(line)
            kept["values"] = {name: value for name, value in kept["values"].items() if value is not None}
            book.add(Record(**kept))
        return book


def _plain(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
