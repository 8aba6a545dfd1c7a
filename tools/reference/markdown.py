"""Tables, and texts of docstrings, as Markdown."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a blank line after it; nothing if it has no rows."""
    lines = [row(cells) for cells in rows]
    return "\n".join([row(head), row(["---"] * len(head)), *lines, "", ""]) if lines else ""


def row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|").replace("\n", " ") for cell in cells) + " |"


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def plain(text: str) -> str:
    """Prose that may hold `<name>` or `*`, which Markdown would take for its own."""
    return text.replace("<", r"\<").replace("*", r"\*")


def docstring(thing: object) -> str:
    """Of a class or function, as it stands; its own `code` is Markdown already."""
    return inspect.cleandoc(getattr(thing, "__doc__", None) or "")


def sentence(text: str) -> str:
    """Beginning with a capital and ending with a stop."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?")) else f"{text}."
