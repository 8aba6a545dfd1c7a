"""Databases of every earlier version, and of a later one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bridge.store.database import Database
from bridge.store.errors import StoreError
from bridge.store.migrations import MIGRATIONS, Migration, sql
from bridge.store.note_table import NoteTable

from .conftest import opened
from .content import everything, fill

RELEASED = Path(__file__).parent / "released"
VERSIONS = range(1, len(MIGRATIONS) + 1)

#: Two versions to come: a column that may be empty, and a table.
LATER = (
    *MIGRATIONS,
    Migration("where a run was", sql("ALTER TABLE runs ADD COLUMN place_name TEXT")),
    Migration("leases", sql("CREATE TABLE leases (name TEXT PRIMARY KEY, crc INTEGER NOT NULL)")),
)


def build(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def released(path: Path, version: int) -> Path:
    return build(path, (RELEASED / f"v{version}.sql").read_text())


def peek(path: Path, statement: str) -> Any:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(statement).fetchall()


def test_there_is_a_file_of_every_version() -> None:
    assert sorted(file.name for file in RELEASED.glob("*.sql")) == sorted(f"v{version}.sql" for version in VERSIONS)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("migrations", [MIGRATIONS, LATER], ids=["now", "later"])
async def test_a_released_version_is_brought_up_to_date(
    path: Path, tmp_path: Path, version: int, migrations: tuple[Migration, ...]
) -> None:
    async with opened(tmp_path / "new.db") as new:
        await fill(new)
        expected = await everything(new)
    async with opened(released(path, version), migrations) as database:
        assert database.problem is None
        assert await everything(database) == expected
        await NoteTable(database).put("stopped", "now")
        assert await everything(database) == {**expected, "notes": ["now", 1]}
    assert peek(path, "PRAGMA user_version") == [(len(migrations),)]
    steps = peek(path, "SELECT version, name FROM migrations ORDER BY version")
    assert steps == [(number, step.name) for number, step in enumerate(migrations, start=1)]


@pytest.mark.parametrize("start", [1, 2])
async def test_the_old_file_is_copied_aside(path: Path, start: int) -> None:
    async with opened(path, LATER[:start]) as database:
        await fill(database)
        before = await everything(database)
    async with opened(path, LATER) as database:
        assert await everything(database) == before
        await NoteTable(database).put("stopped", "later")
    names = {"state.db", f"state.db.v{start}"}
    assert {file.name for file in path.parent.iterdir()} == names
    async with opened(path.with_name(f"state.db.v{start}"), LATER[:start]) as copy:
        assert copy.problem is None
        assert await everything(copy) == before


async def test_without_a_step_nothing_is_copied(path: Path) -> None:
    for _ in range(2):
        async with opened(path):
            pass
    assert [file.name for file in path.parent.iterdir()] == ["state.db"]


async def test_a_later_version_is_refused_and_left_as_it_is(path: Path) -> None:
    async with opened(path, LATER) as database:
        await fill(database)
        before = await everything(database)
    with pytest.raises(StoreError, match="is of version 3; this picobridge knows up to 1") as caught:
        await Database(path).open()
    assert (caught.value.detail["version"], caught.value.detail["known"]) == (3, 1)
    assert "newer picobridge" in caught.value.hint
    async with opened(path, LATER) as database:
        assert database.problem is None
        assert await everything(database) == before


async def test_a_step_that_fails_changes_nothing(path: Path) -> None:
    async with opened(path) as database:
        await fill(database)
        before = await everything(database)
    broken = (
        *LATER[:2],
        Migration("fails", sql("CREATE TABLE half (name TEXT)", "INSERT INTO nowhere VALUES (1)")),
    )
    with pytest.raises(StoreError, match="could not be brought from version 1 to 3: no such table: nowhere") as caught:
        await Database(path, broken).open()
    assert "state.db.v1 is a copy from before" in caught.value.hint
    assert peek(path, "SELECT name FROM sqlite_master WHERE name = 'half'") == []
    assert peek(path, "PRAGMA user_version") == [(2,)]  # the step before it stands
    async with opened(path, LATER) as database:
        assert await everything(database) == before


async def test_a_copy_that_was_begun_is_made_again(path: Path) -> None:
    async with opened(path) as database:
        await fill(database)
        before = await everything(database)
    for suffix in (".v1", ".v1.new", ".v1.new-journal"):
        path.with_name(f"state.db{suffix}").write_bytes(b"half of it")
    async with opened(path, LATER):
        pass
    async with opened(path.with_name("state.db.v1")) as copy:
        assert copy.problem is None
        assert await everything(copy) == before


async def test_a_first_file_that_was_begun_is_made_again(path: Path) -> None:
    """Killed while it was made, there was no file of that name yet."""
    for suffix in (".new", ".new-journal"):
        path.with_name(f"state.db{suffix}").write_bytes(b"half of it")
    async with opened(path) as database:
        assert database.problem is None
        await fill(database)
    assert [file.name for file in path.parent.iterdir()] == ["state.db"]
