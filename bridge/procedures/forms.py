"""Parameters as a form sees them: what a command line, a page or a prompt needs to ask for values."""

from __future__ import annotations

import dataclasses
from typing import Any

from drivers.interfaces import Options
from drivers.plain import to_plain

_LIMITS = ("at_least", "above", "at_most", "choices")


def describe_fields(options: type[Options]) -> list[dict[str, Any]]:
    """Name, help, unit, type, whether required, default and limits of each field, as JSON values."""
    described = []
    for field in dataclasses.fields(options):
        default = field.default if field.default is not dataclasses.MISSING else None
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        entry = {
            "name": field.name,
            "help": field.metadata.get("help", ""),
            "unit": field.metadata.get("unit", ""),
            "type": kind_of(field),
            "required": required,
            "default": default,
        }
        if field.metadata.get("file"):
            entry["file"] = True  # its value is the text of a file, not the file's name
        limits = {limit: field.metadata[limit] for limit in _LIMITS if limit in field.metadata}
        described.append(to_plain(entry | limits))
    return described


def kind_of(field: dataclasses.Field[Any]) -> str:
    """number, integer, boolean or text; a field with a unit is a number (or text with a unit)."""
    text = field.type if isinstance(field.type, str) else field.type.__name__
    base = text.replace(" | None", "")
    return {"float": "number", "int": "integer", "bool": "boolean"}.get(base, "text")
