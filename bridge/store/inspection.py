"""Whether a database file is whole and ours, as far as can be known without what was written to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from .errors import primary_code
from .migrations import Migration, migrate
from .rows import CRC, Damaged, Table, fetch

_MAGIC = b"SQLite format 3\0"
#: Bytes 18 and 19 of the header, the versions for writing and for reading: 1 (rollback journal) or 2 (write-ahead log).
_FORMATS = ({1, 2}, slice(18, 20))
_HEADER = 100

#: What the machine refuses; the file may be whole, and must stay where it is.
_NOT_THE_FILE = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}


def check_header(path: Path) -> int:
    """Before SQLite sees it, which takes an empty file for a new database, and some damage for missing rights.

    Returns the size of a page. Raises `Damaged`, and `OSError` if it cannot be read.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER)
    accepted, formats = _FORMATS
    if len(header) < _HEADER or not header.startswith(_MAGIC) or not accepted.issuperset(header[formats]):
        raise Damaged(f"it begins with {header[:20]!r}, as no database does" if header else "it is empty")
    size = int.from_bytes(header[16:18], "big")
    return 65536 if size == 1 else size


def check_content(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> int:
    """The version of a database. One that is newer than `migrations` is only checked as far as it is understood.

    Raises `Damaged`, or the `sqlite3.Error` of a file that cannot be read.
    """
    for (line,) in connection.execute("PRAGMA quick_check(1)"):
        if line != "ok":
            raise Damaged(str(line))
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if "migrations" not in _structure(connection):
        raise Damaged("it is no database of picobridge")
    (newest,) = connection.execute("SELECT max(version) FROM migrations").fetchone()
    if version != newest:
        raise Damaged(f"its header says version {version}, its content version {newest}")
    if version <= len(migrations) and _structure(connection) != _expected(migrations[:version]):
        raise Damaged(f"its tables are not those of version {version}")
    for name, columns in _structure(connection).items():
        if CRC in columns:
            fetch(connection, Table(name, ()))
    return int(version)


def is_damage(error: Exception) -> bool:
    """Whether an error while a file was opened and checked is the file's fault, and not the machine's."""
    if isinstance(error, sqlite3.Error):
        return primary_code(error) not in _NOT_THE_FILE
    return isinstance(error, Damaged | UnicodeDecodeError)  # names of columns are decoded by the Python module


def _structure(connection: sqlite3.Connection) -> dict[str, dict[str, tuple[Any, ...]]]:
    """Columns of tables, and on what indices are. Not the text of the statements: versions of SQLite write it
    differently when a migration alters a table."""
    found: dict[str, dict[str, tuple[Any, ...]]] = {}
    for kind, name, table in connection.execute("SELECT type, name, tbl_name FROM sqlite_master").fetchall():
        if kind == "table":
            columns = connection.execute("SELECT * FROM pragma_table_info(?)", (name,)).fetchall()
        else:
            columns = [(kind, table)]
        found[name] = {str(column[1]): tuple(column) for column in columns}
    return found


def _expected(migrations: Sequence[Migration]) -> dict[str, dict[str, tuple[Any, ...]]]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, 0, migrations)
        return _structure(connection)
