"""The parameters of a request, each checked where it is taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.errors import InvalidValue


def accept(params: Mapping[str, Any], *names: str) -> None:
    """Raises `InvalidValue` for a parameter that is none of `names`."""
    for key in params:
        if key not in names:
            raise InvalidValue(f"parameter {key!r:.100} is not known; accepted: {', '.join(names) or 'none'}")


def table(params: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object, empty if it is not given. Raises `InvalidValue`."""
    value = params.get(key, {})
    if not isinstance(value, dict):
        raise InvalidValue(f"{key} is {value!r:.100}; accepted: an object")
    return value


def text_of(params: Mapping[str, Any], key: str) -> str:
    """A text that is not empty. Raises `InvalidValue`."""
    value = params.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidValue(f"{key} is {value!r:.100}; accepted: text")
    return value


def whole_number(params: Mapping[str, Any], key: str, default: int | None = None) -> int:
    """From 0 on. Raises `InvalidValue`."""
    value = params.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidValue(f"{key} is {value!r:.100}; accepted: a whole number from 0 on")
    return value
