"""The pages of `docs/reference` are what the code says today."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.daemon import config
from bridge.daemon.problems import Problems
from tools.reference.pages import PAGES, page

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_up_to_date(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICOBRIDGE_BROKER", "mqtt://elsewhere")  # of whoever makes it, and in no page
    assert (FOLDER / f"{name}.md").read_text(encoding="utf-8") == page(name), "make reference"


def test_no_page_is_left_over() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} == set(PAGES)


def test_every_table_that_is_accepted_has_a_section(tmp_path: Path) -> None:
    problems = Problems("lab.toml")
    config.parse({"nonsense": {}}, problems, tmp_path)
    (line,) = problems.lines
    tables = line.partition("accepted: ")[2].partition(";")[0].split(", ")
    assert len(tables) > 5
    text = page("configuration")
    assert [name for name in tables if f"## `[{name}]`" not in text and f"## `[{name}.NAME]`" not in text] == []
