"""`python -m tools.reference`: write the pages."""

from __future__ import annotations

from pathlib import Path

from .pages import PAGES, page

FOLDER = Path(__file__).parents[2] / "docs" / "reference"

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in PAGES:
        (FOLDER / f"{name}.md").write_text(page(name), encoding="utf-8")
