"""The state of a daemon: its lock, its tables, and what earlier versions kept in JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.daemon.journal import Journal
from bridge.daemon.state import JOURNAL_LOST, STATE_LOST, State
from bridge.store.database import Database
from bridge.store.errors import StoreError
from bridge.store.fault_table import FaultTable
from bridge.store.note_table import NoteTable
from drivers.errors import ConfigurationError

RUN = {"procedure": "cycle", "parameters": {"area_m2": 1e-11}, "devices": {"potentiostat": "pstat"}, "started_ns": 5}


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[State]:
    state = State(folder)
    await state.open()
    try:
        yield state
    finally:
        await state.close()


async def journal_of(state: State) -> tuple[dict[str, Any], dict[str, Any]]:
    """Runs under way, and those that can be gone on with."""
    journal = Journal(state)
    return await journal.open(), journal.resumable


def write(folder: Path, **files: Any) -> None:
    for name, content in files.items():
        (folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()} - {"lock"}


async def test_a_second_one_is_refused_and_the_first_not_disturbed(tmp_path: Path) -> None:
    async with opened(tmp_path / "new" / "state") as first:
        with pytest.raises(ConfigurationError, match="in use by another daemon"):
            await State(first.folder).open()
        await first.notes.put("note", 1)
    async with opened(first.folder) as again:
        assert await again.notes.get("note") == 1
        assert again.problems == []


async def test_a_directory_that_cannot_be_one(tmp_path: Path) -> None:
    write(tmp_path, state="a file")
    with pytest.raises(ConfigurationError, match="cannot be used: File exists"):
        await State(tmp_path / "state.json").open()


async def test_a_database_that_cannot_be_opened_leaves_the_lock_to_others(tmp_path: Path) -> None:
    await asyncio.to_thread((tmp_path / "state.db").mkdir)
    with pytest.raises(StoreError):
        await State(tmp_path).open()
    await asyncio.to_thread((tmp_path / "state.db").rmdir)
    async with opened(tmp_path):
        pass


async def test_a_loss_is_latched_as_a_fault_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await asyncio.to_thread((tmp_path / "state.db").write_bytes, b"damaged")
    async with opened(tmp_path) as state:
        (text,) = state.problems
        assert text.startswith("state.db was lost: it begins with b'damaged'")
        assert "state.db.damaged-1" in text
        (fault,) = await state.faults.open_faults()
        assert (fault.kind, fault.device, fault.text) == (STATE_LOST, "", text)
        assert fault.detail["kept"] == "state.db.damaged-1"
        assert "every instrument" in fault.hint
        assert text in caplog.text
    async with opened(tmp_path) as state:
        assert state.problems == []
        assert await state.faults.open_faults() == [fault]


async def test_a_loss_that_was_not_latched_yet_is_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.to_thread((tmp_path / "state.db").write_bytes, b"damaged")

    with monkeypatch.context() as patch:
        patch.setattr("bridge.daemon.state.forget_loss", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await State(tmp_path).open()
    async with opened(tmp_path) as state:
        assert len(state.problems) == 1
        assert [fault.count for fault in await state.faults.open_faults()] == [1]


async def test_the_journal_of_an_earlier_version_is_taken_over_once(tmp_path: Path) -> None:
    write(tmp_path, runs={"b": RUN, "a": {}}, resumable={"z": {"saved": [1]}, "y": {"saved": [2]}})
    expected = ({"b": RUN, "a": {}}, {"z": {"saved": [1]}, "y": {"saved": [2]}})
    async with opened(tmp_path) as state:
        found = await journal_of(state)
        assert found == expected
        assert [list(runs) for runs in found] == [["b", "a"], ["z", "y"]]  # in their order
        assert state.problems == []
        await Journal(state).end("b")
    assert names(tmp_path) == {"state.db", "runs.json.imported", "resumable.json.imported"}
    async with opened(tmp_path) as state:
        assert (await journal_of(state))[0] == {"a": {}}


async def test_files_that_were_taken_over_but_not_renamed_do_not_bring_runs_back(tmp_path: Path) -> None:
    """Killed between the two."""
    write(tmp_path, runs={"b": RUN})
    async with opened(tmp_path) as state:
        await Journal(state).end("b")
    await asyncio.to_thread((tmp_path / "runs.json.imported").rename, tmp_path / "runs.json")
    async with opened(tmp_path) as state:
        assert (await journal_of(state))[0] == {}
    assert names(tmp_path) == {"state.db", "runs.json.imported"}


async def test_an_earlier_version_that_ran_in_between_is_heard(tmp_path: Path) -> None:
    write(tmp_path, runs={"b": RUN})
    async with opened(tmp_path) as state:
        await Journal(state).begin("c", RUN)
    write(tmp_path, runs={"c": {}, "d": RUN})
    async with opened(tmp_path) as state:
        assert (await journal_of(state))[0] == {"b": RUN, "c": RUN, "d": RUN}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "is no JSON"),
        ('{"a": ', "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("\0\udc80", "is no JSON"),
        ("[1]", "holds no runs"),
        ('{"a": 5}', "holds no runs"),
    ],
    ids=range(6),
)
async def test_a_journal_that_cannot_be_read_is_told_and_kept(tmp_path: Path, content: str, text: str) -> None:
    data = content.encode("utf-8", "surrogateescape")
    await asyncio.to_thread((tmp_path / "runs.json").write_bytes, data)
    write(tmp_path, resumable={"z": {"saved": [1]}})
    async with opened(tmp_path) as state:
        (problem,) = state.problems
        assert problem.startswith(f"runs.json of an earlier version {text}")
        assert [(f.kind, f.text) for f in await state.faults.open_faults()] == [(JOURNAL_LOST, problem)]
        assert await journal_of(state) == ({}, {"z": {"saved": [1]}})
    assert names(tmp_path) == {"state.db", "runs.json.damaged", "resumable.json.imported"}
    assert (tmp_path / "runs.json.damaged").read_bytes() == data


async def test_a_journal_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    await asyncio.to_thread((tmp_path / "runs.json").mkdir)
    with pytest.raises(ConfigurationError, match="cannot be used: Is a directory"):
        await State(tmp_path).open()


async def test_the_tables_are_those_of_one_file(tmp_path: Path) -> None:
    async with opened(tmp_path) as state:
        await state.faults.raise_fault("disk", "", "full", at_ns=1)
        await state.cursors.acknowledge("disk", "a", 5, at_ns=1)
        assert await state.fences.next("stage") == 1
        await state.notes.put("note", 1)
        await state.runs.begin("run", RUN)
    database = Database(tmp_path / "state.db")
    await database.open()
    try:
        assert len(await FaultTable(database).open_faults()) == 1
        assert await NoteTable(database).get("note") == 1
    finally:
        await database.close()
