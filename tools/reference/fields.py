"""The fields of a dataclass of `drivers.interfaces.option`s, as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bridge.procedures.forms import describe_fields
from drivers.interfaces import Options

from .markdown import code, table

HEAD = ("key", "type", "default", "accepted", "what it is")


def options_table(options: type[Options], more: Sequence[Sequence[str]] = ()) -> str:
    return table(HEAD, [*rows(options), *more])


def rows(options: type[Options]) -> list[tuple[str, str, str, str, str]]:
    return [
        (code(field["name"]), kind(field), default(field), accepted(field), field["help"])
        for field in describe_fields(options)
    ]


def kind(field: Mapping[str, Any]) -> str:
    if field.get("file"):
        return "text of a file"
    words = {"number": "number", "integer": "whole number", "boolean": "true, false", "text": "text"}[field["type"]]
    return f"{words}, {unit(field)}" if unit(field) else words


def unit(field: Mapping[str, Any]) -> str:
    """As people write it; nothing where there is none."""
    return "" if field["unit"] in ("", "1") else str(field["unit"]).replace("**", "").replace("*", " ")


def default(field: Mapping[str, Any]) -> str:
    if field["required"]:
        return "needed"
    if field["default"] in (None, "", {}):
        return ""
    return code(worded(field["default"]))


def accepted(field: Mapping[str, Any]) -> str:
    if field.get("choices"):
        return ", ".join(code(choice) for choice in field["choices"])
    limits = [
        f"{words} {field[limit]:g}"
        for limit, words in (("at_least", "at least"), ("above", "more than"), ("at_most", "at most"))
        if limit in field
    ]
    return ", ".join(limits)


def worded(value: Any) -> str:
    """As one writes it in TOML, near enough."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(worded, value))}]"
    return str(value)
