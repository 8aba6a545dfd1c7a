"""The database file: opened or made, checked, brought to this version; one connection, used by one thread.

Each table is a class over it (`RunTable`, `FaultTable` and others); what one of their methods writes is one
transaction, on disk when it returns.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from . import files
from .errors import StoreError, store_error
from .inspection import check_content, check_header, is_damage
from .log_check import check_log, commits_in_log
from .migrations import MIGRATIONS, Migration, migrate
from .rows import Damaged, Table, delete, fetch, put

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

#: How long another program (the sqlite3 shell) may hold the file before a call fails.
BUSY_S = 5.0

NOTES = Table("notes", ("name",))
#: Notes that this module writes: a loss that nobody was told of yet, and where fencing numbers begin.
_LOSS, FENCE_BASE = "store.loss", "store.fence_base"


@dataclass(frozen=True, slots=True)
class Loss:
    """What was remembered is lost: `text` says why, `kept` is where the damaged file is now."""

    text: str
    kept: str


class Database:
    """`problem` is set by `open` if a damaged file was set aside and a new one begun, at this start or at an earlier
    one that ended before `told`."""

    def __init__(self, path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        self.path = path
        self.problem: Loss | None = None
        self._migrations = migrations
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Raises `StoreError`: the file is of a newer picobridge, or the machine does not let us (rights, disk).

        A damaged file is no error, but the `problem`."""
        self._thread = ThreadPoolExecutor(1, "picobridge-store")
        try:
            await self._call(self._open)
        except BaseException:
            # also when cancelled: the connection is closed by the thread that opened it
            self._thread.submit(self._close)
            self._thread.shutdown(wait=True)
            self._thread = None
            raise

    async def close(self) -> None:
        """After what was asked for before. Closing twice does no harm."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(thread, self._close))
        finally:
            thread.shutdown(wait=True)

    async def read(self, work: Work[T]) -> T:
        """The result of `work(connection)`, in the database's thread. Raises `StoreError`."""
        return await self._call(lambda: work(self._connected()))

    async def write(self, work: Work[T]) -> T:
        """As `read`, in one transaction that is on disk when this returns; it changes nothing if `work` raises.

        It goes on to its end if the caller is cancelled. Raises `StoreError`.
        """
        return await self._call(lambda: _transact(self._connected(), work))

    async def told(self) -> None:
        """The problem was told and latched: the next start needs not say it again. Raises `StoreError`."""
        await self.write(forget_loss)

    async def _call(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise StoreError(f"the state database {self.path} is not open")

        def guarded() -> T:
            try:
                return work()
            except StoreError:
                raise
            except (sqlite3.Error, OSError, Damaged) as error:
                raise store_error(self.path, error) from error

        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, guarded))

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"the state database {self.path} is not open")
        return self._connection

    # --- in the thread -----------------------------------------------------------------------------------------

    def _open(self) -> None:
        if not self.path.exists():
            self._begin(self._explain_absence())
        try:
            version = self._connect()
        except Exception as error:
            if not is_damage(error):
                raise
            kept = files.set_aside(self.path)
            self._close()  # afterwards: closing would move what the log holds into the file, and delete the log
            self._begin(Loss(str(error), kept.name))
            version = self._connect()
        self._bring_up_to_date(version)
        self.problem = self._read_loss()

    def _explain_absence(self) -> Loss | None:
        """Why there is no file: None if there never was one."""
        log = files.log_of(self.path)
        if log.exists() and log.stat().st_size > 0:
            return Loss("the database is gone, only its log was there", files.set_aside(self.path).name)
        kept = files.last_set_aside(self.path)
        return None if kept is None else Loss("it was damaged and set aside, or removed by somebody", kept.name)

    def _begin(self, loss: Loss | None) -> None:
        def fill(connection: sqlite3.Connection) -> None:
            migrate(connection, 0, self._migrations)
            if loss is not None:
                note = {"text": loss.text, "kept": loss.kept}
                put(connection, NOTES, {"name": _LOSS, "value": json.dumps(note)})
                # the fencing numbers are lost, and none may be granted twice: the time is ahead of all of them
                put(connection, NOTES, {"name": FENCE_BASE, "value": json.dumps(time.time_ns() // 1_000_000)})

        files.make(self.path, fill)

    def _connect(self) -> int:
        """Open and check; returns the file's version."""
        commits = commits_in_log(files.log_of(self.path), check_header(self.path))
        connection = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
        self._connection = connection
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        version = check_content(connection, self._migrations)
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if commits:
            _, valid, _ = connection.execute("PRAGMA wal_checkpoint").fetchone()
            check_log(commits, valid)
        return version

    def _bring_up_to_date(self, version: int) -> None:
        known, connection = len(self._migrations), self._connected()
        if version > known:
            raise StoreError(
                f"the state database {self.path} is of version {version}; this picobridge knows up to {known}",
                hint="Run the newer picobridge that wrote it, or give this one another state_dir.",
                version=version,
                known=known,
            )
        if version < known:
            files.copy(connection, files.beside(self.path, f".v{version}"))
            try:
                migrate(connection, version, self._migrations)
            except sqlite3.Error as error:
                raise StoreError(
                    f"the state database {self.path} could not be brought from version {version} to {known}: {error}",
                    hint=f"Run the earlier picobridge again; {self.path.name}.v{version} is a copy from before.",
                    version=version,
                    known=known,
                ) from error

    def _read_loss(self) -> Loss | None:
        rows = fetch(self._connected(), NOTES, "WHERE name = ?", (_LOSS,))
        return Loss(**json.loads(rows[0]["value"])) if rows else None

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def forget_loss(connection: sqlite3.Connection) -> None:
    """Within a transaction that has latched it."""
    delete(connection, NOTES, "WHERE name = ?", (_LOSS,))


def _transact(connection: sqlite3.Connection, work: Work[T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled back already
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise
    return result
