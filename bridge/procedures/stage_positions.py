"""Named positions of a stage, in a file that outlives runs and daemons.

They are in `stage-positions.json` in the folder that `PICOBRIDGE_POSITIONS` names, or else `$STATE_DIRECTORY` (which
systemd sets), or else `~/.local/state/picobridge`; each run that saves or uses one has it in its result too.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from drivers.errors import InvalidValue, Refused
from drivers.interfaces import StagePosition

_FILE = "stage-positions.json"


def positions_file() -> Path:
    given = os.environ.get("PICOBRIDGE_POSITIONS") or os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    return (Path(given) if given else Path.home() / ".local" / "state" / "picobridge") / _FILE


async def save_position(stage: str, name: str, position: StagePosition, values: dict[str, Any]) -> None:
    """Under `name` for this stage; on disk when it returns. `values` are kept beside it."""
    await asyncio.to_thread(_save, stage, name, {**asdict(position), **values})


async def find_position(stage: str, name: str) -> tuple[StagePosition, dict[str, Any]]:
    """The position and what was kept beside it. Raises `InvalidValue` naming those that there are."""
    known = (await asyncio.to_thread(_read)).get(stage, {})
    if name not in known:
        there = ", ".join(sorted(known)) or "none"
        raise InvalidValue(
            f"position {name!r} of {stage} is not known; there are: {there}", hint="save-position saves one."
        )
    entry = dict(known[name])
    axes = StagePosition.__dataclass_fields__
    return StagePosition(**{axis: float(entry.pop(axis)) for axis in axes}), entry


def _read() -> dict[str, dict[str, Any]]:
    path = positions_file()
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    try:
        found = json.loads(text)
        assert isinstance(found, dict)
    except (ValueError, AssertionError):
        raise Refused(f"{path} is no list of positions", hint="Mend it, or move it away.") from None
    return found


def _save(stage: str, name: str, entry: dict[str, Any]) -> None:
    path = positions_file()
    known = _read()
    known.setdefault(stage, {})[name] = entry
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    with fresh.open("w") as file:
        json.dump(known, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
