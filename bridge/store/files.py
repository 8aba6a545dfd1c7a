"""The files of a database: made whole or not at all, set aside together, copied before a migration."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

#: Beside the file itself. The log belongs to it: left behind, SQLite would play it back into whatever file comes next.
_LOG, _INDEX = "-wal", "-shm"
_SUFFIXES = ("", _LOG, _INDEX, "-journal")


def log_of(path: Path) -> Path:
    """The write-ahead log of a database, which need not be there."""
    return beside(path, _LOG)


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def make(path: Path, fill: Callable[[sqlite3.Connection], None]) -> None:
    """A new database under this name, filled. Killed meanwhile, there is none.

    Raises `sqlite3.Error`, `OSError`.
    """
    new = beside(path, ".new")
    _remove(new)
    with closing(sqlite3.connect(new, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        fill(connection)
    _settle(new, path)


def copy(connection: sqlite3.Connection, to: Path) -> None:
    """What the connection sees, log included, into a file of its own; an older one is replaced.

    Raises `sqlite3.Error`, `OSError`.
    """
    new = beside(to, ".new")
    _remove(new)
    with closing(sqlite3.connect(new, isolation_level=None)) as target:
        connection.backup(target)
        # one file that needs no log beside it
        target.execute("PRAGMA journal_mode = DELETE").fetchone()
    _settle(new, to)


def set_aside(path: Path) -> Path:
    """Rename a database with its log; returns the new name, `<name>.damaged-<n>`. Raises `OSError`."""
    number = 1
    while any(beside(path, f".damaged-{number}{suffix}").exists() for suffix in _SUFFIXES):
        number += 1
    kept = beside(path, f".damaged-{number}")
    for suffix in _SUFFIXES:
        if beside(path, suffix).exists():
            beside(path, suffix).rename(beside(kept, suffix))
    sync_folder(path.parent)
    return kept


def last_set_aside(path: Path) -> Path | None:
    """The newest of what `set_aside` left."""
    numbers = [file.name.removeprefix(f"{path.name}.damaged-") for file in path.parent.glob(f"{path.name}.damaged-*")]
    found = sorted(int(number) for number in numbers if number.isdecimal())
    return beside(path, f".damaged-{found[-1]}") if found else None


def sync_folder(folder: Path) -> None:
    """So that a new name survives a power loss. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _settle(new: Path, path: Path) -> None:
    descriptor = os.open(new, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.replace(path)
    sync_folder(path.parent)


def _remove(path: Path) -> None:
    for suffix in _SUFFIXES:
        beside(path, suffix).unlink(missing_ok=True)
