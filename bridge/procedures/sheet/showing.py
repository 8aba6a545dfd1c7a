"""The map while it is made, for whoever looks on: the sheet once, then each record as it is entered."""

from __future__ import annotations

from typing import Any

from bridge.procedures.context import Context

from .judge import Judge
from .layout import Layout
from .records import Book


class Showing:
    """Items are records with their number in `record`; one that is shown again, with its bin, replaces the first."""

    def __init__(self, context: Context, layout: Layout, judge: Judge, book: Book) -> None:
        self._context = context
        self._layout = layout
        self._judge = judge
        self._book = book

    def all(self) -> None:
        """The sheet, with bins and limits as they are, and every record."""
        self._context.show(self._header(), [record.to_dict(index) for index, record in enumerate(self._book.records)])

    def newest(self) -> None:
        """The record that was entered last."""
        index = len(self._book.records) - 1
        self._context.show(items=[self._book.records[index].to_dict(index)])

    def _header(self) -> dict[str, Any]:
        layout, judge = self._layout, self._judge
        return {
            "kind": "sheet-map",
            "lot": layout.lot,
            "sheet": layout.sheet,
            "web": layout.web,
            "pitch_m": layout.pitch_m,
            "cells": {
                "row": [cell.row for cell in layout.cells],
                "column": [cell.column for cell in layout.cells],
                "x_m": [cell.x_m for cell in layout.cells],
                "y_m": [cell.y_m for cell in layout.cells],
            },
            "skipped": sorted(list(place) for place in layout.skipped),
            "bin_table": judge.bins.describe(),
            "untested": judge.bins.untested.soft,
            "limits": {name: {"low": limit.low, "high": limit.high} for name, limit in judge.limits.limits.items()},
        }
