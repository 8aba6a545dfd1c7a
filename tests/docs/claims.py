"""Whether a command printed what the page says. Loosely: the words and their order count, numbers and blanks do not."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBER = re.compile(r"[-+]?\d[\d.:]*(?:e[-+]?\d+)?")


def missing(shown: Sequence[str], printed: str) -> list[str]:
    """The lines of a page that were not printed; `...` in a line stands for anything, alone for any lines."""
    whole = loosely(printed)
    return [line for line in shown if not _is_in(line, whole)]


def loosely(text: str) -> str:
    return " ".join(_NUMBER.sub("#", text).split())


def _is_in(line: str, whole: str) -> bool:
    parts = [re.escape(part) for part in map(str.strip, loosely(line).split("...")) if part]
    return re.search(".*".join(parts), whole) is not None
