"""`name=value` words of a command line."""

from __future__ import annotations

from collections.abc import Sequence

from drivers.errors import InvalidValue


def assignments(words: Sequence[str], form: str) -> dict[str, str]:
    """`name=value` words. Raises `InvalidValue`."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise InvalidValue(f"{word!r} is no {form}")
        if name in found:
            raise InvalidValue(f"{name} is given twice")
        found[name] = value
    return found
