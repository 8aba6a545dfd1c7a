"""The one error of the state database, with what to do about it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from drivers.errors import PicobridgeError

from .rows import Damaged

_FULL = "Free space on that disk; nothing that was stored before is lost."
_HARDWARE = "The disk or its connection fails: see dmesg and smartctl, and move state_dir to a good disk."
_RIGHTS = "The daemon's user must be able to write the state directory and every file in it; is it mounted read-only?"
_DAMAGED = "Start the daemon again: it sets a damaged file aside, begins a new one, and says so."
_BUSY = "Another program writes to it (the sqlite3 shell?); close that."

_HINTS = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: _HARDWARE,
    sqlite3.SQLITE_READONLY: _RIGHTS,
    sqlite3.SQLITE_CANTOPEN: _RIGHTS,
    sqlite3.SQLITE_PERM: _RIGHTS,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
}


class StoreError(PicobridgeError, OSError):
    """The state database could not be read or written; what was to be stored is not.

    It is an `OSError` too, as other failures of a disk are.
    """


def primary_code(error: sqlite3.Error) -> int | None:
    """SQLite's primary result code; None for an error of the Python module itself."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def store_error(path: Path, error: sqlite3.Error | OSError | Damaged) -> StoreError:
    """In our tree, with a hint."""
    if isinstance(error, Damaged):
        text, hint = str(error), _DAMAGED
    elif isinstance(error, sqlite3.Error):
        code = primary_code(error)
        name = getattr(error, "sqlite_errorname", "")
        text, hint = f"{error}{f' ({name})' if name else ''}", _HINTS.get(code or 0, "")
    else:
        text, hint = error.strerror or str(error), _RIGHTS
    return StoreError(f"the state database {path} failed: {text}", hint=hint)
