"""One connection, one thread, transactions: what every table builds on."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from bridge.store.database import NOTES, Database
from bridge.store.errors import StoreError
from bridge.store.note_table import NoteTable, put_note
from bridge.store.rows import fetch
from drivers.errors import PicobridgeError

from .conftest import opened


async def test_it_is_set_up_to_lose_nothing(database: Database) -> None:
    def settings(connection: sqlite3.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await database.read(settings) == ["wal", 2, 1, 5000]
    assert database.problem is None


async def test_all_work_is_done_by_one_thread_in_order(database: Database) -> None:
    threads, order = set(), []

    def work(number: int) -> None:
        threads.add(threading.get_ident())
        order.append(number)

    await asyncio.gather(*(database.read(lambda _, n=number: work(n)) for number in range(20)))
    assert order == list(range(20))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_a_transaction_that_raises_changes_nothing(database: Database) -> None:
    notes = NoteTable(database)
    await notes.put("kept", 1)

    def work(connection: sqlite3.Connection) -> None:
        put_note(connection, "kept", 2)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.write(work)
    assert await notes.get("kept") == 1
    await notes.put("kept", 3)
    assert await notes.get("kept") == 3


async def test_a_write_goes_on_though_the_caller_is_cancelled(database: Database) -> None:
    begun, may_go_on = threading.Event(), threading.Event()

    def work(connection: sqlite3.Connection) -> None:
        begun.set()
        may_go_on.wait()
        put_note(connection, "note", "written")

    caller = asyncio.create_task(database.write(work))
    await asyncio.to_thread(begun.wait)
    behind = asyncio.create_task(NoteTable(database).put("behind", "too"))
    await asyncio.sleep(0)
    for task in (caller, behind):
        task.cancel()
    await asyncio.gather(caller, behind, return_exceptions=True)
    may_go_on.set()
    assert await NoteTable(database).get("note") == "written"
    assert await NoteTable(database).get("behind") == "too"


async def test_a_database_that_is_not_open_says_so(path: Path) -> None:
    database = Database(path)
    with pytest.raises(StoreError, match="is not open"):
        await NoteTable(database).get("note")
    await database.open()
    await database.close()
    await database.close()
    with pytest.raises(StoreError, match="is not open"):
        await NoteTable(database).put("note", 1)
    assert not (path.parent / "state.db-wal").exists()


async def test_an_opening_that_is_cancelled_leaves_nothing_behind(path: Path) -> None:
    opening = asyncio.create_task(Database(path).open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    async with opened(path) as database:
        assert database.problem is None


async def test_a_full_disk_is_told_and_loses_nothing(database: Database) -> None:
    """SQLite's own limit stands for the disk's: the code is the same."""
    notes = NoteTable(database)
    await notes.put("before", "here")
    (pages,) = await database.read(lambda connection: connection.execute("PRAGMA page_count").fetchone())
    await database.read(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    with pytest.raises(StoreError, match=r"state\.db failed: .*full \(SQLITE_FULL\)") as caught:
        await notes.put("large", "x" * 100_000)
    assert isinstance(caught.value, PicobridgeError)
    assert isinstance(caught.value, OSError)
    assert "Free space" in caught.value.hint
    assert await notes.get("large") is None
    await database.read(lambda connection: connection.execute("PRAGMA max_page_count = 10000").fetchone())
    await notes.put("large", "x" * 100_000)
    assert await notes.get("before") == "here"


async def test_a_disk_that_does_not_write_is_told(path: Path) -> None:
    """The operating system refuses to let files grow, in a process of its own."""
    script = """
import asyncio, resource, signal, sys
from pathlib import Path
from bridge.store.database import Database
from bridge.store.errors import StoreError
from bridge.store.note_table import NoteTable

async def main() -> None:
    database = Database(Path(sys.argv[1]))
    await database.open()
    notes = NoteTable(database)
    await notes.put("before", "here")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))
    try:
        await notes.put("large", "x" * 200_000)
    except StoreError as error:
        print(error, "|", error.hint)
    await notes.put("after", "too")
    await database.close()

asyncio.run(main())
"""
    said = await asyncio.to_thread(subprocess.check_output, [sys.executable, "-c", script, str(path)], text=True)
    assert "SQLITE_IOERR_WRITE" in said
    assert "smartctl" in said
    async with opened(path) as database:
        notes = NoteTable(database)
        assert [await notes.get(name) for name in ("before", "large", "after")] == ["here", None, "too"]


async def test_another_program_that_holds_the_file_is_told(database: Database) -> None:
    await database.read(lambda connection: connection.execute("PRAGMA busy_timeout = 1").fetchone())
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked") as caught:
            await NoteTable(database).put("note", 1)
        assert "Another program" in caught.value.hint
    await NoteTable(database).put("note", 1)


async def test_a_directory_in_its_place_is_no_damage(path: Path) -> None:
    await asyncio.to_thread(path.mkdir)
    with pytest.raises(StoreError, match="Is a directory"):
        await Database(path).open()
    assert [file.name for file in path.parent.iterdir()] == ["state.db"]


async def test_text_that_is_no_unicode_is_stored(database: Database) -> None:
    await NoteTable(database).put("name\udc80", "value\udc80\0")
    assert await NoteTable(database).get("name\udc80") == "value\udc80\0"


async def test_a_row_that_changes_while_it_is_open_is_not_believed(database: Database) -> None:
    await NoteTable(database).put("note", 1)
    await database.write(lambda connection: connection.execute("UPDATE notes SET value = '2'"))
    with pytest.raises(StoreError, match="a row of notes is not as it was written") as caught:
        await database.read(lambda connection: fetch(connection, NOTES))
    assert "sets a damaged file aside" in caught.value.hint
