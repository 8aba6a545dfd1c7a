"""A damaged file: set aside, told, never a crash, and never something else than what was written."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bridge.store.database import Database
from bridge.store.fault_table import FaultTable
from bridge.store.note_table import NoteTable

from .conftest import opened
from .content import Content, everything, fill


@pytest.fixture
async def filled(path: Path) -> tuple[bytes, Content]:
    """A closed file, and what is in it."""
    async with opened(path) as database:
        await fill(database)
        content = await everything(database)
    return files_of(path)[0], content


@pytest.fixture
async def killed(path: Path) -> tuple[bytes, bytes, Content]:
    """A file and its log as a daemon leaves them that was killed, and what they hold."""
    async with opened(path) as database:
        await fill(database)
        content = await everything(database)
        left = files_of(path)
    return *left, content


def files_of(path: Path) -> tuple[bytes, bytes]:
    """A database and its log, empty if it has none."""
    log = path.with_name("state.db-wal")
    return path.read_bytes(), log.read_bytes() if log.exists() else b""


def put(folder: Path, file: bytes | None, log: bytes | None = None) -> Path:
    """Files in a folder of their own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if file is not None:
        (folder / "state.db").write_bytes(file)
    if log is not None:
        (folder / "state.db-wal").write_bytes(log)
    return folder / "state.db"


async def read(path: Path) -> Content | None:
    """What is in a database; None if it says that it was lost. It can be used in any case."""
    async with opened(path) as database:
        if database.problem is None:
            return await everything(database)
        assert database.problem.kept == "state.db.damaged-1"
        assert (path.parent / database.problem.kept).exists() or (path.parent / f"{database.problem.kept}-wal").exists()
        await NoteTable(database).put("usable", True)
    return None


def flipped(data: bytes, at: int, mask: int) -> bytes:
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


async def test_any_flipped_bit_is_told_or_does_not_matter(filled: tuple[bytes, Content], tmp_path: Path) -> None:
    """All bytes of the header, and many of the others."""
    data, content = filled
    chance = random.Random(1)
    used = [at for at in range(100, len(data)) if data[at]]
    places = [*range(100), *chance.sample(used, 180), *chance.sample(range(100, len(data)), 30)]
    told = 0
    for at in places:
        path = put(tmp_path / "case", flipped(data, at, 1 << chance.randrange(8)))
        found = await read(path)
        assert found in (None, content), f"byte {at} changed what is read"
        told += found is None
    assert told > 150


@pytest.mark.parametrize(
    ("at", "mask"), [(18, 4), (19, 4), (39, 1)], ids=["format for writing", "format for reading", "free pages"]
)
async def test_damage_that_only_a_later_write_would_meet_is_told(
    filled: tuple[bytes, Content], tmp_path: Path, at: int, mask: int
) -> None:
    assert await read(put(tmp_path / "case", flipped(filled[0], at, mask))) is None


async def test_a_file_cut_anywhere_is_told(filled: tuple[bytes, Content], tmp_path: Path) -> None:
    data, _ = filled
    chance = random.Random(2)
    cuts = {0, 1, 15, 16, 99, 100, 101, len(data) - 1, *range(0, len(data), 4096)}
    for cut in sorted(cuts.union(chance.sample(range(len(data)), 60))):
        assert await read(put(tmp_path / "case", data[:cut])) is None, f"cut at {cut}"


async def test_zeroed_and_random_pages_are_told(filled: tuple[bytes, Content], tmp_path: Path) -> None:
    data, content = filled
    chance = random.Random(3)
    for page in range(0, len(data), 4096):
        for patch in (bytes(4096), chance.randbytes(4096), bytes([255]) * 4096):
            found = await read(put(tmp_path / "case", data[:page] + patch + data[page + 4096 :]))
            assert found in (None, content)


@pytest.mark.parametrize("content", [b"", b"\0" * 8192, b"SQLite format 3\0", b"{}", b"x" * 9999], ids=len)
async def test_what_is_no_database_is_told(tmp_path: Path, content: bytes) -> None:
    assert await read(put(tmp_path / "case", content)) is None


def foreign(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE theirs (name TEXT)")
    connection.execute("PRAGMA user_version = 1")


def without_a_table(connection: sqlite3.Connection) -> None:
    connection.execute("DROP TABLE fences")


def with_another_column(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE fences RENAME COLUMN number TO numbers")


def of_another_version(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA user_version = 9")


def without_the_rule(connection: sqlite3.Connection) -> None:
    connection.execute("DROP INDEX one_open_fault")


@pytest.mark.parametrize("spoil", [without_a_table, with_another_column, of_another_version, without_the_rule])
async def test_a_whole_file_that_is_not_ours_is_told(
    filled: tuple[bytes, Content], path: Path, spoil: Callable[[sqlite3.Connection], None]
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        spoil(connection)
    assert await read(path) is None


async def test_a_file_of_another_program_is_told(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        foreign(connection)
    assert await read(path) is None


async def test_a_log_of_a_killed_daemon_is_read(killed: tuple[bytes, bytes, Content], tmp_path: Path) -> None:
    data, log, content = killed
    assert await read(put(tmp_path / "case", data, log)) == content


async def test_a_damaged_log_loses_one_change_at_most_silently(
    killed: tuple[bytes, bytes, Content], tmp_path: Path
) -> None:
    """The very last change cannot be told from one that a power loss cut short, before it was acknowledged."""
    data, log, content = killed
    frames = [log[at : at + 4120] for at in range(32, len(log), 4120)]
    commits = [number for number, frame in enumerate(frames) if frame[4:8] != bytes(4)]
    certain = 32 + 4120 * (commits[-2] + 1)  # before it, a change is lost that was followed by another one
    chance = random.Random(4)
    for at in [*range(32), *chance.sample(range(32, certain), 80)]:
        found = await read(put(tmp_path / "case", data, flipped(log, at, 1 << chance.randrange(8))))
        assert found is None, f"byte {at} of the log"
    for at in chance.sample(range(certain, len(log)), 20):
        assert await read(put(tmp_path / "case", data, flipped(log, at, 1))) != content


async def test_an_old_round_of_the_log_does_not_count(path: Path, tmp_path: Path) -> None:
    """What was moved into the file long ago stays in the log behind newer frames."""
    async with opened(path) as database:
        await fill(database)
        await database.read(lambda connection: connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall())
        await NoteTable(database).put("stopped", "new round")
        expected = await everything(database)
        data, log = files_of(path)
    assert await read(put(tmp_path / "case", data, log)) == expected


async def test_a_log_without_its_file_is_told_and_not_played_into_a_new_one(
    killed: tuple[bytes, bytes, Content], tmp_path: Path
) -> None:
    path = put(tmp_path / "case", None, killed[1])
    async with opened(path) as database:
        assert database.problem is not None
        assert "only its log was there" in database.problem.text
        assert await FaultTable(database).newest() == []
    assert (path.parent / "state.db.damaged-1-wal").read_bytes() == killed[1]


async def test_a_damaged_file_is_kept_with_its_log(killed: tuple[bytes, bytes, Content], tmp_path: Path) -> None:
    data, log, _ = killed
    damaged = data[:-1000]
    path = put(tmp_path / "case", damaged, flipped(log, 40, 1))
    assert await read(path) is None
    assert (path.parent / "state.db.damaged-1").read_bytes() == damaged
    assert (path.parent / "state.db.damaged-1-wal").read_bytes() == flipped(log, 40, 1)


async def test_each_damaged_file_has_a_name_of_its_own(path: Path) -> None:
    for number in (1, 2, 11):
        for older in range(3, number):
            path.with_name(f"state.db.damaged-{older}").touch()
        await asyncio.to_thread(path.write_bytes, b"damaged")
        async with opened(path) as database:
            assert database.problem is not None
            assert database.problem.kept == f"state.db.damaged-{number}"


async def test_it_is_told_at_each_start_until_somebody_was_told(path: Path) -> None:
    await asyncio.to_thread(path.write_bytes, b"damaged")
    for _ in range(2):
        async with opened(path) as database:
            assert database.problem is not None
            assert database.problem.kept == "state.db.damaged-1"
    async with opened(path) as database:
        await database.told()
    async with opened(path) as database:
        assert database.problem is None


async def test_it_is_told_though_we_were_killed_before_the_new_one_was_made(path: Path) -> None:
    await asyncio.to_thread(path.write_bytes, b"damaged")
    await asyncio.to_thread(path.rename, path.with_name("state.db.damaged-1"))
    async with opened(path) as database:
        assert database.problem is not None
        assert database.problem.kept == "state.db.damaged-1"


async def test_too_many_open_files_are_no_damage(filled: tuple[bytes, Content], path: Path) -> None:
    """The machine refuses, not the file: it must stay where it is."""
    database = Database(path)
    script = """
import asyncio, os, resource, sys
from pathlib import Path
from bridge.store.database import Database
from bridge.store.errors import StoreError

async def main() -> None:
    await asyncio.to_thread(lambda: None)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    taken = os.open("/dev/null", os.O_RDONLY)
    os.close(taken)
    for spare in range(4):
        database = Database(Path(sys.argv[1]))
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken + spare, hard))
        try:
            await database.open()
        except StoreError as error:
            print(error)
        else:
            print("opened")
        await database.close()

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(path), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    assert b"Too many open files" in said
    assert b"SQLITE_CANTOPEN" in said
    assert [file.name for file in path.parent.glob("state.db.*")] == []
    await database.open()
    try:
        assert await everything(database) == filled[1]
    finally:
        await database.close()
