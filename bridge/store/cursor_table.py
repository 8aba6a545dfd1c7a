"""How far each recorder has acknowledged each stream: what the spool may delete."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from drivers.errors import InvalidValue

from .database import Database
from .rows import Row, Table, delete, fetch, put

_CURSORS = Table("cursors", ("recorder", "stream"))
#: Of SQLite's integers.
_LIMIT = 2**63


@dataclass(frozen=True, slots=True)
class Cursor:
    """The recorder has everything of the stream before sample `next_index`."""

    recorder: str
    stream: str
    next_index: int
    acknowledged_ns: int


class CursorTable:
    """Cumulative and monotone. All methods raise `StoreError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def acknowledge(self, recorder: str, stream: str, next_index: int, *, at_ns: int) -> Cursor:
        """The cursor as it stands then, on disk; a `next_index` that is not higher changes nothing.

        `at_ns` is wall time. Raises `InvalidValue`.
        """
        if isinstance(next_index, bool) or not 0 <= next_index < _LIMIT:
            raise InvalidValue(f"next_index is {next_index!r}; accepted: a whole number from 0 to 2^63 - 1")

        def work(connection: sqlite3.Connection) -> Cursor:
            rows = fetch(connection, _CURSORS, "WHERE recorder = ? AND stream = ?", (recorder, stream))
            if rows and rows[0]["next_index"] >= next_index:
                return _cursor(rows[0])
            row: Row = {"recorder": recorder, "stream": stream, "next_index": next_index, "acknowledged_ns": at_ns}
            put(connection, _CURSORS, row)
            return _cursor(row)

        return await self._database.write(work)

    async def acknowledge_all(self, recorder: str, reached: Mapping[str, int], *, at_ns: int) -> None:
        """As `acknowledge`, of many streams in one transaction."""

        def work(connection: sqlite3.Connection) -> None:
            rows = fetch(connection, _CURSORS, "WHERE recorder = ?", (recorder,))
            before = {row["stream"]: row["next_index"] for row in rows}
            for stream, next_index in reached.items():
                if next_index > before.get(stream, -1):
                    row: Row = {"recorder": recorder, "stream": stream, "next_index": next_index}
                    put(connection, _CURSORS, row | {"acknowledged_ns": at_ns})

        await self._database.write(work)

    async def get(self, recorder: str, stream: str) -> Cursor | None:
        """None if that recorder has acknowledged nothing of it."""
        found = await self._select("WHERE recorder = ? AND stream = ?", recorder, stream)
        return found[0] if found else None

    async def all(self) -> list[Cursor]:
        """By recorder and stream."""
        return await self._select("ORDER BY recorder, stream")

    async def of_stream(self, stream: str) -> list[Cursor]:
        """By recorder."""
        return await self._select("WHERE stream = ? ORDER BY recorder", stream)

    async def forget_streams(self, streams: Iterable[str]) -> int:
        """Streams that are deleted, of all recorders; how many cursors went."""
        return await self._delete("stream", list(streams))

    async def forget_recorder(self, recorder: str) -> int:
        """A recorder that will not come back; how many cursors went."""
        return await self._delete("recorder", [recorder])

    async def _select(self, tail: str, *parameters: str) -> list[Cursor]:
        rows = await self._database.read(lambda connection: fetch(connection, _CURSORS, tail, parameters))
        return [_cursor(row) for row in rows]

    async def _delete(self, column: str, names: list[str]) -> int:
        def work(connection: sqlite3.Connection) -> int:
            return sum(delete(connection, _CURSORS, f"WHERE {column} = ?", (name,)) for name in names)

        return await self._database.write(work)


def _cursor(row: Row) -> Cursor:
    return Cursor(**row)
