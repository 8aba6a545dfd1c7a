"""The catalogue is whole, its tests exist, and the page shows it as it is; the checks find what they are there for."""

from __future__ import annotations

import ast
from pathlib import Path

from .catalogue import CATALOGUE, table

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "reliability.md"


def functions(*paths: Path) -> set[str]:
    found: set[str] = set()
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        found |= {node.name for node in ast.walk(tree) if isinstance(node, kinds) and node.name.startswith("test_")}
    return found


def test_every_row_is_there_once() -> None:
    assert [row.number for row in CATALOGUE] == list(range(1, 66))


def test_every_row_is_tested_or_says_why_not() -> None:
    for row in CATALOGUE:
        assert row.tests or row.pending or row.cannot, row
        assert not (row.tests and row.cannot), row
        if row.tests:
            assert row.injected, row
            assert row.sees, row
            assert row.lost, row


def test_the_tests_that_it_names_exist() -> None:
    here = functions(*Path(__file__).parent.glob("test_*.py"))
    for row in CATALOGUE:
        for name in row.tests:
            file, _, function = name.rpartition("::")
            assert function in (functions(TESTS / file) if file else here), f"row {row.number}: {name}"


def test_every_test_is_in_the_catalogue() -> None:
    named = {name for row in CATALOGUE for name in row.tests}
    others = functions(*(path for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)))
    assert sorted(name for name in others if name[5:7].isdecimal() and name not in named) == []


def test_the_page_is_up_to_date() -> None:
    assert table() in PAGE.read_text(encoding="utf-8"), "run `python -m tests.faults` and put its table into the page"
