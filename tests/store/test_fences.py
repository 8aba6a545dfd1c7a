"""Fencing numbers go up by one, for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bridge.store.database import Database
from bridge.store.fence_table import Fence, FenceTable

from .conftest import opened


async def test_each_group_counts_for_itself(database: Database) -> None:
    fences = FenceTable(database)
    assert await fences.current("stage") == 0
    assert [await fences.next("stage") for _ in range(3)] == [1, 2, 3]
    assert await fences.next("pstat") == 1
    assert await fences.all() == [Fence("pstat", 1), Fence("stage", 3)]


async def test_none_is_granted_twice_over_restarts(path: Path) -> None:
    granted = []
    for _ in range(5):
        async with opened(path) as database:
            granted += [await FenceTable(database).next("stage") for _ in range(2)]
            assert await FenceTable(database).current("stage") == granted[-1]
    assert granted == list(range(1, 11))


async def test_none_is_granted_twice_though_the_file_was_lost(path: Path) -> None:
    granted = []
    for _ in range(3):
        async with opened(path) as database:
            granted += [await FenceTable(database).next("stage") for _ in range(2)]
        await asyncio.to_thread(path.write_bytes, b"not a database")
    assert granted == sorted(set(granted))
    assert granted[:2] == [1, 2]
    assert granted[2] < 2**53  # in JSON too
