"""A database with something in every table, and all of it read back."""

from __future__ import annotations

from typing import Any

from bridge.store.cursor_table import CursorTable
from bridge.store.database import Database
from bridge.store.fault_table import FaultTable
from bridge.store.fence_table import FenceTable
from bridge.store.note_table import NoteTable
from bridge.store.run_table import RunTable

Content = dict[str, Any]


async def fill(database: Database) -> None:
    runs, faults = RunTable(database), FaultTable(database)
    await runs.begin("20260101-000000-1", {"procedure": "cycle", "devices": {"potentiostat": "pstat"}})
    await runs.save("20260101-000000-1", [[["first"], {"turn": 3}]])
    await runs.begin("20260101-000001-2", {"procedure": "rest"})
    await runs.keep("20251231-235959-9", {"saved": [[[], {"step": 2}]], "status": "failed"})
    for stream, index in (("pstat-1", 1200), ("stage-1", 7)):
        await CursorTable(database).acknowledge("disk", stream, index, at_ns=1_764_000_000_000_000_000)
    await faults.raise_fault("limit", "pstat", "5.1 V is above 4.2 V", hint="Look.", detail={"v": 5.1}, at_ns=10)
    await faults.raise_fault("lost", "stage", "unplugged", at_ns=20)
    await faults.set_cause_gone(1, True)
    await faults.acknowledge(1, "ana", at_ns=30)
    for group in ("stage", "stage", "pstat"):
        await FenceTable(database).next(group)
    await NoteTable(database).put("stopped", {"clean": True})
    await NoteTable(database).count_up("epoch")


async def everything(database: Database) -> Content:
    runs, notes = RunTable(database), NoteTable(database)
    return {
        "under way": await runs.under_way(),
        "resumable": await runs.resumable(),
        "cursors": await CursorTable(database).all(),
        "faults": await FaultTable(database).newest(),
        "fences": await FenceTable(database).all(),
        "notes": [await notes.get(name) for name in ("stopped", "epoch")],
    }
