"""Fencing numbers: each lease of a group gets a higher one than all before, over restarts too."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from .database import FENCE_BASE, NOTES, Database
from .rows import Table, fetch, put

_FENCES = Table("fences", ("lease_group",))


@dataclass(frozen=True, slots=True)
class Fence:
    """The last number that a group has granted."""

    group: str
    number: int


class FenceTable:
    """The first number of a group is 1. If the numbers were lost with a damaged file, it is the milliseconds since 1970
    instead, which is higher than all that were granted before. All methods raise `StoreError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def next(self, group: str) -> int:
        """One more than the last; on disk when it returns."""

        def work(connection: sqlite3.Connection) -> int:
            number = _current(connection, group) + 1
            put(connection, _FENCES, {"lease_group": group, "number": number})
            return number

        return await self._database.write(work)

    async def current(self, group: str) -> int:
        """The last number granted; nobody holds a lease with a higher one."""
        return await self._database.read(lambda connection: _current(connection, group))

    async def all(self) -> list[Fence]:
        """By group."""
        rows = await self._database.read(lambda connection: fetch(connection, _FENCES, "ORDER BY lease_group"))
        return [Fence(row["lease_group"], row["number"]) for row in rows]


def _current(connection: sqlite3.Connection, group: str) -> int:
    rows = fetch(connection, _FENCES, "WHERE lease_group = ?", (group,))
    if rows:
        return int(rows[0]["number"])
    base = fetch(connection, NOTES, "WHERE name = ?", (FENCE_BASE,))
    return int(json.loads(base[0]["value"])) if base else 0
