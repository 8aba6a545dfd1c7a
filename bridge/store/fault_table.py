"""Latched faults: they outlive a restart, and go only when a person acknowledges them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from drivers.errors import InvalidValue, Refused

from .database import Database
from .rows import Row, Table, delete, fetch, put

#: So many acknowledged faults are remembered.
KEPT = 1000

_FAULTS = Table("faults", ("id",))
_OPEN = "acknowledged_ns IS NULL"
#: Of SQLite's integers.
_LAST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Open until it is acknowledged. `raised_ns` is when it came first, `last_ns` last, `count` how often; `device` is
    empty for one of the daemon itself. All times are wall time."""

    id: int
    kind: str
    device: str
    text: str
    hint: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    raised_ns: int
    last_ns: int
    count: int = 1
    cause_gone: bool = False
    acknowledged_ns: int | None = None
    acknowledged_by: str = ""

    @property
    def open(self) -> bool:
        return self.acknowledged_ns is None


class FaultTable:
    """There is one open fault for each kind and device. Everything is on disk when a method returns; all raise
    `StoreError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def raise_fault(
        self, kind: str, device: str, text: str, *, hint: str = "", detail: Mapping[str, Any] | None = None, at_ns: int
    ) -> Fault:
        """Latch a fault. One that is open already counts up, says the new text, and its cause is there again."""
        return await self._database.write(
            lambda connection: latch(connection, kind, device, text, hint=hint, detail=detail or {}, at_ns=at_ns)
        )

    async def set_cause_gone(self, number: int, gone: bool) -> Fault:
        """Whether what caused an open fault is over, which does not clear it. Raises `InvalidValue`."""

        def work(connection: sqlite3.Connection) -> Fault:
            return _put(connection, {**_open(connection, number), "cause_gone": int(gone)})

        return await self._database.write(work)

    async def doubt_causes(self) -> int:
        """After a start nothing was looked at yet: no cause counts as gone. How many open faults there are."""

        def work(connection: sqlite3.Connection) -> int:
            rows = fetch(connection, _FAULTS, f"WHERE {_OPEN}")
            for row in rows:
                _put(connection, {**row, "cause_gone": 0})
            return len(rows)

        return await self._database.write(work)

    async def acknowledge(self, number: int, by: str, *, at_ns: int) -> Fault:
        """A person clears an open fault whose cause is gone.

        Raises `InvalidValue` if there is no such open fault, `Refused` while its cause is there.
        """

        def work(connection: sqlite3.Connection) -> Fault:
            row = _open(connection, number)
            if not row["cause_gone"]:
                raise Refused(
                    f"fault {number} ({row['kind']}) is not acknowledged: its cause is still there: {row['text']}",
                    device=row["device"],
                    hint=row["hint"] or "Remove the cause first; acknowledging does not switch anything on again.",
                )
            fault = _put(connection, {**row, "acknowledged_ns": at_ns, "acknowledged_by": by})
            kept = f"SELECT id FROM {_FAULTS.name} WHERE NOT {_OPEN} ORDER BY id DESC LIMIT ?"
            delete(connection, _FAULTS, f"WHERE NOT {_OPEN} AND id NOT IN ({kept})", (KEPT,))
            return fault

        return await self._database.write(work)

    async def open_faults(self) -> list[Fault]:
        """The oldest first."""
        return await self._select(f"WHERE {_OPEN} ORDER BY id")

    async def get(self, number: int) -> Fault | None:
        """Open or not; None for one that never was, or is forgotten."""
        found = await self._select("WHERE id = ?", number)
        return found[0] if found else None

    async def newest(self, limit: int = 100) -> list[Fault]:
        """Open or not, the newest first."""
        return await self._select("ORDER BY id DESC LIMIT ?", limit)

    async def _select(self, tail: str, *parameters: int) -> list[Fault]:
        rows = await self._database.read(lambda connection: fetch(connection, _FAULTS, tail, parameters))
        return [_fault(row) for row in rows]


def latch(
    connection: sqlite3.Connection,
    kind: str,
    device: str,
    text: str,
    *,
    hint: str,
    detail: Mapping[str, Any],
    at_ns: int,
) -> Fault:
    """As `FaultTable.raise_fault`, within a transaction."""
    said = {"text": text, "hint": hint, "detail": json.dumps(detail), "last_ns": at_ns, "cause_gone": 0}
    rows = fetch(connection, _FAULTS, f"WHERE kind = ? AND device = ? AND {_OPEN}", (kind, device))
    if rows:
        return _put(connection, {**rows[0], **said, "count": rows[0]["count"] + 1})
    # the newest is never deleted while another one is kept, so no number is used twice
    (last,) = connection.execute(f"SELECT coalesce(max(id), 0) FROM {_FAULTS.name}").fetchone()
    return _put(
        connection,
        {
            "id": last + 1,
            "kind": kind,
            "device": device,
            **said,
            "raised_ns": at_ns,
            "count": 1,
            "acknowledged_ns": None,
            "acknowledged_by": "",
        },
    )


def _open(connection: sqlite3.Connection, number: int) -> Row:
    rows = fetch(connection, _FAULTS, f"WHERE id = ? AND {_OPEN}", (number,)) if 0 < number <= _LAST_ID else []
    if not rows:
        numbers = ", ".join(str(row["id"]) for row in fetch(connection, _FAULTS, f"WHERE {_OPEN} ORDER BY id"))
        raise InvalidValue(f"fault {number} is not open; accepted: {numbers or 'none'}")
    return rows[0]


def _put(connection: sqlite3.Connection, row: Row) -> Fault:
    put(connection, _FAULTS, row)
    return _fault(row)


def _fault(row: Row) -> Fault:
    return Fault(**{**row, "detail": json.loads(row["detail"]), "cause_gone": bool(row["cause_gone"])})
