"""Small things by name: JSON values, and counters that only go up."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from drivers.errors import InvalidValue

from .database import NOTES, Database
from .rows import delete, fetch, put


class NoteTable:
    """Names that begin with `store.` are this package's own. All methods raise `StoreError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, name: str, default: Any = None) -> Any:
        """`default` if there is none."""
        return await self._database.read(lambda connection: get_note(connection, name, default))

    async def put(self, name: str, value: Any) -> None:
        """On disk when it returns. Raises `TypeError` for what is no JSON."""
        text = json.dumps(value)
        await self._database.write(lambda connection: _put(connection, name, text))

    async def remove(self, name: str) -> bool:
        """False if there was none."""
        return await self._database.write(lambda connection: delete(connection, NOTES, "WHERE name = ?", (name,)) > 0)

    async def count_up(self, name: str) -> int:
        """One more than last time, 1 the first time; on disk when it returns. Raises `InvalidValue` for other notes."""

        def work(connection: sqlite3.Connection) -> int:
            value = get_note(connection, name, 0)
            if isinstance(value, bool) or not isinstance(value, int):
                raise InvalidValue(f"the note {name!r} is {value!r:.100}; accepted: a whole number")
            put_note(connection, name, value + 1)
            return value + 1

        return await self._database.write(work)


def get_note(connection: sqlite3.Connection, name: str, default: Any = None) -> Any:
    """As `NoteTable.get`, within a transaction."""
    rows = fetch(connection, NOTES, "WHERE name = ?", (name,))
    return json.loads(rows[0]["value"]) if rows else default


def put_note(connection: sqlite3.Connection, name: str, value: Any) -> None:
    """As `NoteTable.put`, within a transaction."""
    _put(connection, name, json.dumps(value))


def _put(connection: sqlite3.Connection, name: str, text: str) -> None:
    put(connection, NOTES, {"name": name, "value": text})
