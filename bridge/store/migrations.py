"""How the database came to be as it is: one step for each version, never changed once released."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Change = Callable[[sqlite3.Connection], None]


@dataclass(frozen=True, slots=True)
class Migration:
    """The n-th of the list makes version n out of version n - 1."""

    name: str
    change: Change


def sql(*statements: str) -> Change:
    """A change that is made of statements."""

    def change(connection: sqlite3.Connection) -> None:
        for statement in statements:
            connection.execute(statement)

    return change


#: Every version adds a row of `migrations`, so that a damaged version number in the header is not believed.
_HISTORY = "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_ns INTEGER)"

MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        "runs, cursors, faults, fences and notes",
        sql(
            """CREATE TABLE runs (
                run TEXT PRIMARY KEY NOT NULL, place INTEGER NOT NULL, entry TEXT NOT NULL, crc INTEGER NOT NULL
            ) WITHOUT ROWID""",
            """CREATE TABLE resumable (
                run TEXT PRIMARY KEY NOT NULL, place INTEGER NOT NULL, entry TEXT NOT NULL, crc INTEGER NOT NULL
            ) WITHOUT ROWID""",
            """CREATE TABLE cursors (
                recorder TEXT NOT NULL, stream TEXT NOT NULL, next_index INTEGER NOT NULL,
                acknowledged_ns INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (recorder, stream)
            ) WITHOUT ROWID""",
            """CREATE TABLE faults (
                id INTEGER PRIMARY KEY NOT NULL, kind TEXT NOT NULL, device TEXT NOT NULL, text TEXT NOT NULL,
                hint TEXT NOT NULL, detail TEXT NOT NULL, raised_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL,
                count INTEGER NOT NULL, cause_gone INTEGER NOT NULL, acknowledged_ns INTEGER,
                acknowledged_by TEXT NOT NULL, crc INTEGER NOT NULL
            )""",
            "CREATE UNIQUE INDEX one_open_fault ON faults (kind, device) WHERE acknowledged_ns IS NULL",
            """CREATE TABLE fences (
                lease_group TEXT PRIMARY KEY NOT NULL, number INTEGER NOT NULL, crc INTEGER NOT NULL
            ) WITHOUT ROWID""",
            """CREATE TABLE notes (
                name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL, crc INTEGER NOT NULL
            ) WITHOUT ROWID""",
        ),
    ),
)


def migrate(connection: sqlite3.Connection, version: int, migrations: Sequence[Migration]) -> None:
    """From `version` to the newest, each step in a transaction of its own. Raises `sqlite3.Error`; the step that failed
    has then changed nothing."""
    for number, migration in enumerate(migrations[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(_HISTORY)
            migration.change(connection)
            connection.execute("INSERT INTO migrations VALUES (?, ?, ?)", (number, migration.name, time.time_ns()))
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
