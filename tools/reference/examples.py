"""What the docstrings of the configuration's modules say of each key, in their commented example."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import ModuleType

_TABLE = re.compile(r"\[+([\w.-]+)\]+\s*(?:#\s*(.*))?$")
_KEY = re.compile(r"([\w.]+) = (.*?)(?:\s+#\s*(.*))?$")


def remarks(*modules: ModuleType) -> Mapping[tuple[str, str], str]:
    """(table, key) to its remark, "" for a key without one; (table, "") to that of the table itself.

    A key before the first table is of the table "". Names that are the user's (`[devices.pstat]`) become NAME.
    """
    found: dict[tuple[str, str], str] = {}
    for module in modules:
        table = ""
        for line in map(str.strip, (module.__doc__ or "").splitlines()):
            if match := _TABLE.match(line):
                table = named(match[1])
                found.setdefault((table, ""), match[2] or "")
            elif match := _KEY.match(line):
                found.setdefault((table, match[1]), match[3] or "")
    return found


def named(table: str) -> str:
    """`devices.pstat` as `devices.NAME`."""
    words = table.split(".")
    if words[0] == "devices" or len(words) == 3:
        words[-1] = "NAME"
    return ".".join(words)
