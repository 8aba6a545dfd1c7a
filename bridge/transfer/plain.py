"""Values as JSON: see `drivers.plain`."""

from __future__ import annotations

from drivers.plain import dumps, from_plain, to_plain

__all__ = ["dumps", "from_plain", "to_plain"]
