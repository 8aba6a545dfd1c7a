"""The run journal of versions without a database, `runs.json` and `resumable.json`, taken over once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge.store.database import Database
from bridge.store.note_table import get_note, put_note
from bridge.store.run_table import take_over

_UNDER_WAY, _RESUMABLE = "runs.json", "resumable.json"
#: Which files were taken over (by their hash), in case we were killed before they were renamed.
_NOTE = "store.imported"


async def take_over_old_journal(
    folder: Path, database: Database, lost: Callable[[sqlite3.Connection, str], None]
) -> None:
    """Take over what is there, and rename it to `<name>.imported`, or `<name>.damaged` if it cannot be read: `lost` is
    then called with a sentence, within the transaction. Raises `StoreError`, `OSError`."""
    files = await asyncio.to_thread(_read_files, folder)
    if not files:
        return
    problems: dict[str, str] = {}
    runs = {name: _parse(name, content, problems) for name, content in files.items()}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}

    def work(connection: sqlite3.Connection) -> None:
        known = get_note(connection, _NOTE, {})
        fresh = {name: entries or {} for name, entries in runs.items() if known.get(name) != hashes[name]}
        take_over(connection, fresh.get(_UNDER_WAY, {}), fresh.get(_RESUMABLE, {}))
        if text := "; ".join(problems[name] for name in problems if name in fresh):
            lost(connection, text)
        put_note(connection, _NOTE, {**known, **hashes})

    await database.write(work)
    await asyncio.to_thread(_rename, folder, {name: entries is not None for name, entries in runs.items()})


def _read_files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in (_UNDER_WAY, _RESUMABLE) if (folder / name).exists()}


def _rename(folder: Path, read: dict[str, bool]) -> None:
    for name, good in read.items():
        (folder / name).replace(folder / f"{name}.{'imported' if good else 'damaged'}")


def _parse(name: str, content: bytes, problems: dict[str, str]) -> dict[str, Any] | None:
    """Runs by their ids; None if it is not what we wrote."""
    try:
        runs = json.loads(content)
    except (ValueError, RecursionError) as error:
        problems[name] = f"{name} of an earlier version is no JSON and was not taken over: {error}"
        return None
    if not isinstance(runs, dict) or not all(isinstance(entry, dict) for entry in runs.values()):
        problems[name] = f"{name} of an earlier version holds no runs and was not taken over"
        return None
    return runs
