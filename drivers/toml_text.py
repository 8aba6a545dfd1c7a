"""TOML out of a text that anybody may have written."""

from __future__ import annotations

import tomllib
from typing import Any


def loads(text: str) -> dict[str, Any]:
    """Raises `tomllib.TOMLDecodeError`, and nothing else: Python's own reader runs out of stack over brackets in
    brackets, and fails over a number of thousands of digits."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise tomllib.TOMLDecodeError(str(error)) from None
