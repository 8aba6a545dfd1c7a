"""Values as JSON: see `drivers.plain`."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.plain import dumps, from_plain, to_plain

__all__ = ["Encoded", "dumps", "from_plain", "to_plain"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A long result that is JSON text already: made in a thread, since the event loop would be held up by it."""

    text: bytes
