"""A result as a person reads it in a terminal: the words and tables of its report page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Columns

from bridge.report.page import summary_of
from bridge.report.summary import Summary, Table

_COLOURS = {"pass": "green", "fail": "red", "doubt": "yellow"}

#: Where the output is no terminal, lines are not cut to one.
_WIDE = 200


def print_result(result: Mapping[str, Any], *, nested: bool = False) -> None:
    """Title, verdict, numbers, tables, notes; then the same of each procedure that was a part of it."""
    console = Console(highlight=False, width=None if Console().is_terminal else _WIDE)
    _print_summary(console, summary_of(result), nested)
    for text in result.get("notes") or ():
        console.print(f"  note: {escape(str(text))}")
    for part in result.get("parts") or ():
        console.print()
        print_result({"procedure": part["procedure"], **part["result"]}, nested=True)


def _print_summary(console: Console, summary: Summary, nested: bool) -> None:
    verdict = f"  [{_COLOURS[summary.tone]}]{escape(summary.verdict.upper())}[/]" if summary.verdict else ""
    console.print(f"[bold]{escape(summary.title)}[/]{verdict}" if not nested else f"{escape(summary.title)}{verdict}")
    if summary.reason:
        console.print(f"  {escape(summary.reason)}")
    if summary.rows:
        _print_table(console, Table("", (), summary.rows))
    for table in summary.tables:
        if table.title:
            console.print(f"  {escape(table.title)}")
        _print_table(console, table)


def _print_table(console: Console, table: Table) -> None:
    if not table.rows:
        return
    columns = Columns(box=None, show_header=bool(table.header), pad_edge=True, header_style="dim")
    for name in table.header or [""] * len(table.rows[0]):
        columns.add_column(escape(name), overflow="fold")
    for row in table.rows:
        columns.add_row(*(escape(cell) for cell in row))
    console.print(columns)
