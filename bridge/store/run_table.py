"""Which runs are under way, and which ended ones can be gone on with."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .database import Database
from .rows import Table, delete, fetch, put

#: So many ended runs can be gone on with; older ones are forgotten.
KEPT = 50

_RUNS, _RESUMABLE = Table("runs", ("run",)), Table("resumable", ("run",))


@dataclass(frozen=True, slots=True)
class StoredRun:
    """`entry` is whatever JSON the daemon keeps of a run; `entry["saved"]` is what a resume begins from."""

    run: str
    entry: Mapping[str, Any]


class RunTable:
    """Everything is on disk when a method returns. All raise `StoreError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def under_way(self) -> list[StoredRun]:
        """The oldest first."""
        return await self._database.read(lambda connection: _stored(connection, _RUNS))

    async def resumable(self) -> list[StoredRun]:
        """The oldest first."""
        return await self._database.read(lambda connection: _stored(connection, _RESUMABLE))

    async def begin(self, run: str, entry: Mapping[str, Any]) -> None:
        """A run is under way from now on."""
        text = json.dumps(entry)
        await self._database.write(lambda connection: _put(connection, _RUNS, run, text))

    async def save(self, run: str, saved: list[Any]) -> bool:
        """What a resume of a run under way needs; false if there is no such run."""
        text = json.dumps(saved)  # now: the caller may go on to change it

        def work(connection: sqlite3.Connection) -> bool:
            found = fetch(connection, _RUNS, "WHERE run = ?", (run,))
            for row in found:
                entry = {**json.loads(row["entry"]), "saved": json.loads(text)}
                put(connection, _RUNS, {**row, "entry": json.dumps(entry)})
            return bool(found)

        return await self._database.write(work)

    async def end(self, run: str) -> bool:
        """It is not under way any more; false if it was not."""
        return await self._delete(_RUNS, run)

    async def keep(self, run: str, entry: Mapping[str, Any], *, newest: int = KEPT) -> None:
        """An ended run can be gone on with; so many of the newest are kept."""
        text = json.dumps(entry)
        await self._database.write(lambda connection: _keep(connection, run, text, newest))

    async def forget(self, run: str) -> bool:
        """It is gone on with, or not needed any more; false if there is none of the name."""
        return await self._delete(_RESUMABLE, run)

    async def _delete(self, table: Table, run: str) -> bool:
        return await self._database.write(lambda connection: delete(connection, table, "WHERE run = ?", (run,)) > 0)


def take_over(
    connection: sqlite3.Connection,
    under_way: Mapping[str, Mapping[str, Any]],
    resumable: Mapping[str, Mapping[str, Any]],
) -> None:
    """Runs that an earlier version kept elsewhere, within a transaction; those that are here already stay."""
    for table, runs in ((_RUNS, under_way), (_RESUMABLE, resumable)):
        known = {stored.run for stored in _stored(connection, table)}
        for run, entry in runs.items():
            if run not in known:
                _put(connection, table, run, json.dumps(entry))


def _stored(connection: sqlite3.Connection, table: Table) -> list[StoredRun]:
    return [StoredRun(row["run"], json.loads(row["entry"])) for row in fetch(connection, table, "ORDER BY place")]


def _put(connection: sqlite3.Connection, table: Table, run: str, text: str) -> None:
    """A new one is the newest, a known one stays where it is."""
    rows = fetch(connection, table, "WHERE run = ?", (run,))
    (last,) = connection.execute(f"SELECT coalesce(max(place), 0) FROM {table.name}").fetchone()
    put(connection, table, {"run": run, "place": rows[0]["place"] if rows else last + 1, "entry": text})


def _keep(connection: sqlite3.Connection, run: str, text: str, newest: int) -> None:
    _put(connection, _RESUMABLE, run, text)
    kept = f"SELECT run FROM {_RESUMABLE.name} ORDER BY place DESC LIMIT ?"
    delete(connection, _RESUMABLE, f"WHERE run NOT IN ({kept})", (newest,))
