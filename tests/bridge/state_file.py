"""What the daemon's state database holds, read from the side as another program would."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


def runs_under_way(folder: Path) -> dict[str, Any]:
    """The run journal of a state directory: entries by run."""
    return _entries(folder, "runs")


def resumable_runs(folder: Path) -> dict[str, Any]:
    """Ended runs that can be gone on with."""
    return _entries(folder, "resumable")


def _entries(folder: Path, table: str) -> dict[str, Any]:
    with closing(sqlite3.connect(f"file:{folder / 'state.db'}?mode=ro", uri=True)) as connection:
        return {run: json.loads(entry) for run, entry in connection.execute(f"SELECT run, entry FROM {table}")}
