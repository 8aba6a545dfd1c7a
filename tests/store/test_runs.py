"""The run journal."""

from __future__ import annotations

import math
from pathlib import Path

from bridge.store.database import Database
from bridge.store.run_table import KEPT, RunTable, StoredRun

from .conftest import opened


async def test_runs_under_way_with_what_they_saved(path: Path) -> None:
    async with opened(path) as database:
        runs = RunTable(database)
        await runs.begin("b", {"procedure": "cycle", "saved": []})
        await runs.begin("a", {"procedure": "rest"})
        await runs.begin("c", {})
        assert await runs.save("b", [[[], {"turn": 1}]])
        assert await runs.end("c")
        assert not await runs.save("c", [])
        assert not await runs.end("c")
    async with opened(path) as database:
        assert await RunTable(database).under_way() == [
            StoredRun("b", {"procedure": "cycle", "saved": [[[], {"turn": 1}]]}),
            StoredRun("a", {"procedure": "rest"}),
        ]


async def test_the_newest_can_be_gone_on_with(path: Path) -> None:
    async with opened(path) as database:
        runs = RunTable(database)
        for number in range(KEPT + 2):
            await runs.keep(f"run-{number}", {"saved": number})
        await runs.keep("run-2", {"saved": "again"})  # it stays the oldest
        assert await runs.forget("run-5")
        assert not await runs.forget("run-5")
    async with opened(path) as database:
        left = await RunTable(database).resumable()
    assert [stored.run for stored in left] == [f"run-{number}" for number in range(2, KEPT + 2) if number != 5]
    assert left[0].entry == {"saved": "again"}


async def test_what_is_no_number_comes_back(database: Database) -> None:
    runs = RunTable(database)
    await runs.begin("run", {"limit": math.inf, "text": "Ä\udc80"})
    (stored,) = await runs.under_way()
    assert stored.entry == {"limit": math.inf, "text": "Ä\udc80"}
