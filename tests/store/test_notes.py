"""Small things by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.store.database import Database
from bridge.store.note_table import NoteTable
from drivers.errors import InvalidValue

from .conftest import opened


async def test_values_by_name(path: Path) -> None:
    async with opened(path) as database:
        notes = NoteTable(database)
        assert await notes.get("stopped") is None
        assert await notes.get("stopped", "never") == "never"
        await notes.put("stopped", {"at_ns": 5, "clean": True})
        await notes.put("gone", 1)
        assert await notes.remove("gone")
        assert not await notes.remove("gone")
    async with opened(path) as database:
        assert await NoteTable(database).get("stopped") == {"at_ns": 5, "clean": True}
        assert await NoteTable(database).get("gone") is None


async def test_a_counter_never_gives_a_number_twice(path: Path) -> None:
    counted = []
    for _ in range(3):
        async with opened(path) as database:
            counted += [await NoteTable(database).count_up("epoch") for _ in range(2)]
    assert counted == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("value", ["text", True, 1.5])
async def test_only_a_number_counts(database: Database, value: object) -> None:
    await NoteTable(database).put("note", value)
    with pytest.raises(InvalidValue, match="accepted: a whole number"):
        await NoteTable(database).count_up("note")
