"""What the commands print: JSON lines for programs, plain lines for people, errors for both."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from drivers.errors import PicobridgeError


def waiting(text: str) -> AbstractContextManager[object]:
    """Something that turns on stderr while a block takes its time; nothing where that is no terminal."""
    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console  # only who looks at a terminal waits for it

    return Console(stderr=True).status(text)


def print_json(fields: Mapping[str, Any]) -> None:
    """One JSON object on one line of stdout, at once."""
    print(json.dumps(fields, allow_nan=False), flush=True)


def print_error(error: PicobridgeError, *, as_json: bool) -> None:
    """With JSON an object with `error`, `message` and `hint` on stdout; else plain lines on stderr."""
    if as_json:
        print_json({**error.to_dict(), "message": str(error)})
        return
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)


def print_fields(fields: Mapping[str, Any], indent: str = "  ") -> None:
    """Names and values, one a line; columns of samples as a table."""
    columns = fields.get("columns")
    if isinstance(columns, Mapping):
        _print_columns(columns)
        fields = {key: value for key, value in fields.items() if key not in ("columns", "units")}
    for key, value in fields.items():
        if isinstance(value, Mapping):
            print(f"{indent}{key}:")
            print_fields(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            print(f"{indent}{key}:")
            for item in value:
                print(f"{indent}  - " + ", ".join(f"{k} {v}" for k, v in item.items() if v is not None))
        elif value is not None:
            print(f"{indent}{key}: {value}")


def _print_columns(columns: Mapping[str, list[Any]]) -> None:
    names = list(columns)
    print("  " + "  ".join(f"{name:>22}" for name in names))
    for row in zip(*columns.values(), strict=True):
        print("  " + "  ".join(f"{'' if item is None else repr(item):>22}" for item in row))
