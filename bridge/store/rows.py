"""Rows with a checksum each: SQLite notices a damaged structure, but not a changed digit."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Value = int | str | None
Row = dict[str, Any]

CRC = "crc"


class Damaged(Exception):
    """The file does not hold what was written to it; the text says where."""


@dataclass(frozen=True, slots=True)
class Table:
    """`key` are the columns that make a row the same row."""

    name: str
    key: tuple[str, ...]


def put(connection: sqlite3.Connection, table: Table, row: Mapping[str, Value]) -> None:
    """Insert a row, or replace the one of the same key; all columns but the checksum must be given."""
    values = {name: _storable(value) for name, value in row.items()}
    values[CRC] = checksum(values)
    changes = ", ".join(f"{name} = excluded.{name}" for name in values if name not in table.key)
    connection.execute(
        f"INSERT INTO {table.name} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))}) "
        f"ON CONFLICT ({', '.join(table.key)}) DO UPDATE SET {changes}",
        list(values.values()),
    )


def fetch(connection: sqlite3.Connection, table: Table, tail: str = "", parameters: Sequence[Value] = ()) -> list[Row]:
    """Rows without their checksums; `tail` is what follows the name of the table (WHERE, ORDER BY).

    Raises `Damaged`.
    """
    cursor = connection.execute(f"SELECT * FROM {table.name} {tail}", [_storable(value) for value in parameters])
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, values, strict=True)) for values in cursor]
    for row in rows:
        if row.pop(CRC) != checksum(row):
            raise Damaged(f"a row of {table.name} is not as it was written")
    return rows


def delete(connection: sqlite3.Connection, table: Table, tail: str, parameters: Sequence[Value]) -> int:
    """How many rows went."""
    where = [_storable(value) for value in parameters]
    return connection.execute(f"DELETE FROM {table.name} {tail}", where).rowcount


def checksum(row: Mapping[str, Any]) -> int:
    """Empty columns do not count, so that a migration may add one. -1 for a row that cannot be ours."""
    filled = {name: value for name, value in row.items() if value is not None and name != CRC}
    if not all(isinstance(value, int | str) for value in filled.values()):
        return -1
    return zlib.crc32(json.dumps(filled, sort_keys=True).encode())


def _storable(value: Value) -> Value:
    """Text may hold what is no Unicode (a file name that was never UTF-8); that must not keep a fault from the disk."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
