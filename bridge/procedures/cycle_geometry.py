"""The active area of a cell whose cross-section is cut again now and then: a dated history."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bridge.analysis.formatting import area, percent, si
from bridge.analysis.geometry import effective_area_m2
from drivers.errors import InvalidValue
from drivers.quantities import quantity

_SPLIT = re.compile(r"[;\n]")
_SIDES = re.compile(r"[x\u00d7*]")
_EXAMPLE = "'2026-11-20 09:30 = 5 um x 2 um; 2026-11-21 14:00 = 4.6 um x 1.8 um'"


@dataclass(frozen=True, slots=True)
class AreaEntry:
    """The area from `from_ns` (UTC) on. `why` is free text."""

    from_ns: int
    area_m2: float
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {"from_ns": self.from_ns, "area_m2": self.area_m2, "why": self.why}


def parse_history(text: str, damage_depth_m: float = 0.0) -> tuple[AreaEntry, ...]:
    """Entries "date = area" or "date = length x width", by date, apart by semicolons or lines.

    Dates as ISO 8601, UTC unless they say another zone. Raises `InvalidValue` naming the entry.
    """
    entries = []
    for part in _SPLIT.split(text):
        if not part.strip():
            continue
        date, equals, size = part.partition("=")
        if not equals:
            raise InvalidValue(f"area_history has {part.strip()!r}; accepted: {_EXAMPLE}")
        try:
            when = datetime.fromisoformat(date.strip())
        except ValueError:
            raise InvalidValue(f"area_history has the date {date.strip()!r}; accepted: {_EXAMPLE}") from None
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        entries.append(AreaEntry(round(when.timestamp() * 1e6) * 1000, _size(size.strip(), damage_depth_m)))
    if not entries:
        raise InvalidValue(f"area_history is empty; accepted: {_EXAMPLE}")
    return tuple(sorted(entries, key=lambda entry: entry.from_ns))


def _size(text: str, damage_depth_m: float) -> float:
    sides = _SIDES.split(text)
    if len(sides) == 2:
        lengths = [quantity(side, "m", field="area_history") for side in sides]
        if not min(lengths) > 0:
            raise InvalidValue(f"area_history has {text!r}; sides above zero are accepted, such as '5 um x 2 um'")
        return effective_area_m2(lengths[0], lengths[1], damage_depth_m)
    value = quantity(text, "m**2", field="area_history")
    if not value > 0:
        raise InvalidValue(f"area_history has {text!r}; an area above zero is accepted, such as '10 um2'")
    return value


def valid_at(history: Sequence[AreaEntry], now_ns: int) -> AreaEntry:
    """The latest entry that had begun by `now_ns`. Raises `InvalidValue` if all begin later."""
    begun = [entry for entry in history if entry.from_ns <= now_ns]
    if not begun:
        first = datetime.fromtimestamp(history[0].from_ns / 1e9, UTC).isoformat()
        now = datetime.fromtimestamp(now_ns / 1e9, UTC).isoformat(timespec="seconds")
        raise InvalidValue(f"area_history begins at {first}; it is {now}: an entry that has begun is needed")
    return begun[-1]


def changed_density(current_a: float, before_m2: float, now_m2: float) -> str:
    """What an unchanged current means on an area that was cut again, and the current that keeps the density."""
    before, now = current_a / before_m2, current_a / now_m2
    return (
        f"{si(current_a, 'A')} was {si(before, 'A/m2')} on {area(before_m2)}; on {area(now_m2)} it is "
        f"{si(now, 'A/m2')} ({'+' if now >= before else ''}{percent(now / before - 1)}). "
        f"{si(current_a * now_m2 / before_m2, 'A')} keeps the density: give current_density_a_per_m2 to have it follow"
    )
