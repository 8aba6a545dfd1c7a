"""What the daemon remembers: its state directory, which is its alone, and the tables of the database in it."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import time
from pathlib import Path

from bridge.store.cursor_table import CursorTable
from bridge.store.database import Database, forget_loss
from bridge.store.errors import StoreError
from bridge.store.fault_table import FaultTable, latch
from bridge.store.fence_table import FenceTable
from bridge.store.note_table import NoteTable
from bridge.store.run_table import RunTable
from drivers.errors import ConfigurationError

from .old_journal import take_over_old_journal

LOG = logging.getLogger("picobridge.state")

DATABASE = "state.db"
_LOCK = "lock"

#: Kinds of the faults that say that what was remembered is lost: all of it, or the run journal of an earlier version.
STATE_LOST, JOURNAL_LOST = "state-lost", "journal-lost"
_HINT = (
    "Look at every instrument: what an earlier daemon left on, which faults were open and how far recorders have come "
    "is not known any more. Then acknowledge."
)


class State:
    """Opened before everything else and closed after it. `problems` are sentences that a person must read: something
    that was remembered is lost. Each is latched as a fault when `open` returns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []
        self.database = Database(folder / DATABASE)
        self.runs = RunTable(self.database)
        self.cursors = CursorTable(self.database)
        self.faults = FaultTable(self.database)
        self.fences = FenceTable(self.database)
        self.notes = NoteTable(self.database)
        self._lock: int | None = None

    async def open(self) -> None:
        """Raises `ConfigurationError` if the directory cannot be used or another daemon uses it, and `StoreError` if
        the database is of a newer picobridge or cannot be used."""
        self._take_lock()
        try:
            await self.database.open()
            await self._tell_loss()
            await take_over_old_journal(self.folder, self.database, self._journal_lost)
        except BaseException as error:
            await self.close()
            if isinstance(error, OSError) and not isinstance(error, StoreError):
                raise self._unusable(error) from error
            raise

    async def close(self) -> None:
        await self.database.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None
            if isinstance(error, BlockingIOError):
                raise ConfigurationError(
                    f"{self.folder} is in use by another daemon",
                    hint="Two daemons must not share instruments; stop the other, or give this one another state_dir.",
                ) from error
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"the state directory {self.folder} cannot be used: {error.strerror}",
            hint="Set [bridge] state_dir to a directory that the daemon may write.",
        )

    async def _tell_loss(self) -> None:
        """The fault is latched before the database forgets that it had to be told."""
        if (loss := self.database.problem) is None:
            return
        text = (
            f"{DATABASE} was lost: {loss.text}; what is left of it is {loss.kept}, and a new one was begun. Open "
            "faults, runs under way and acknowledgements of recorders were forgotten"
        )
        self._tell(text)

        def work(connection: sqlite3.Connection) -> None:
            detail = {"kept": loss.kept, "reason": loss.text}
            latch(connection, STATE_LOST, "", text, hint=_HINT, detail=detail, at_ns=time.time_ns())
            forget_loss(connection)

        await self.database.write(work)

    def _journal_lost(self, connection: sqlite3.Connection, text: str) -> None:
        self._tell(text)
        latch(connection, JOURNAL_LOST, "", text, hint=_HINT, detail={}, at_ns=time.time_ns())

    def _tell(self, text: str) -> None:
        self.problems.append(text)
        LOG.error("%s", text)
