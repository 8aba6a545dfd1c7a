"""What recorders have acknowledged only grows."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.store.cursor_table import Cursor, CursorTable
from bridge.store.database import Database
from drivers.errors import InvalidValue

from .conftest import opened


async def test_a_lower_one_is_ignored(path: Path) -> None:
    async with opened(path) as database:
        cursors = CursorTable(database)
        assert await cursors.get("disk", "pstat-1") is None
        first = await cursors.acknowledge("disk", "pstat-1", 100, at_ns=1)
        assert first == Cursor("disk", "pstat-1", 100, 1)
        assert await cursors.acknowledge("disk", "pstat-1", 99, at_ns=2) == first
        assert await cursors.acknowledge("disk", "pstat-1", 100, at_ns=3) == first
        assert await cursors.get("disk", "pstat-1") == first
        second = await cursors.acknowledge("disk", "pstat-1", 2**63 - 1, at_ns=4)
    async with opened(path) as database:
        assert await CursorTable(database).get("disk", "pstat-1") == second
        assert await CursorTable(database).acknowledge("disk", "pstat-1", 5, at_ns=5) == second


async def test_streams_and_recorders_are_apart_and_can_be_forgotten(database: Database) -> None:
    cursors = CursorTable(database)
    for at, (recorder, stream) in enumerate([("disk", "b"), ("disk", "a"), ("cloud", "a"), ("cloud", "c")]):
        await cursors.acknowledge(recorder, stream, 10 + at, at_ns=at)
    assert [(c.recorder, c.stream, c.next_index) for c in await cursors.all()] == [
        ("cloud", "a", 12),
        ("cloud", "c", 13),
        ("disk", "a", 11),
        ("disk", "b", 10),
    ]
    assert [c.recorder for c in await cursors.of_stream("a")] == ["cloud", "disk"]
    assert await cursors.forget_streams(["a", "b", "never"]) == 3
    assert [(c.recorder, c.stream) for c in await cursors.all()] == [("cloud", "c")]
    assert await cursors.forget_recorder("cloud") == 1
    assert await cursors.all() == []


@pytest.mark.parametrize("wrong", [-1, 2**63, True])
async def test_an_index_that_is_none(database: Database, wrong: Any) -> None:
    with pytest.raises(InvalidValue, match=r"next_index is .*; accepted: a whole number from 0"):
        await CursorTable(database).acknowledge("disk", "a", wrong, at_ns=1)
    assert await CursorTable(database).all() == []


@given(st.lists(st.integers(0, 20), min_size=1, max_size=20))
def test_in_whatever_order_they_come(indices: list[int]) -> None:
    async def highest() -> list[int]:
        with tempfile.TemporaryDirectory() as folder:
            async with opened(Path(folder) / "state.db") as database:
                cursors = CursorTable(database)
                return [(await cursors.acknowledge("r", "s", index, at_ns=0)).next_index for index in indices]

    assert asyncio.run(highest()) == [max(indices[: count + 1]) for count in range(len(indices))]
