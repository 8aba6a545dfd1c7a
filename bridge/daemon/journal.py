"""Which runs are under way, on disk, so that a daemon that was killed knows at its next start what it left on."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.errors import ConfigurationError

_FILE = "runs.json"
_RESUMABLE = "resumable.json"
#: So many ended runs can be gone on with; older ones are forgotten.
KEPT = 50
_LOCK = "lock"


class Journal:
    """One file of the state directory, replaced as a whole. The directory is this daemon's alone while it is open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs: dict[str, Any] = {}
        #: ended runs that can be gone on with, by their ids, the oldest first
        self.resumable: dict[str, Any] = {}
        self._lock: int | None = None
        self._writing = asyncio.Lock()

    def open(self) -> dict[str, Any]:
        """The runs that an earlier daemon did not end, by their ids.

        Raises `ConfigurationError` if the directory cannot be used or another daemon uses it.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise ConfigurationError(
                f"{self._folder} is in use by another daemon",
                hint="Two daemons must not share instruments; stop the other, or give this one another state_dir.",
            ) from error
        except OSError as error:
            self.close()
            raise ConfigurationError(
                f"the state directory {self._folder} cannot be used: {error.strerror}",
                hint="Set [bridge] state_dir to a directory that the daemon may write.",
            ) from error
        self._runs = _read(self._folder / _FILE)
        self.resumable = _read(self._folder / _RESUMABLE)
        return dict(self._runs)

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def begin(self, run: str, entry: Mapping[str, Any]) -> None:
        """On disk when it returns: before anything is energised."""
        self._runs[run] = dict(entry)
        await self._write()

    async def save(self, run: str, saved: list[Any]) -> None:
        """What a resume of a run under way needs; on disk when it returns."""
        if run in self._runs:
            self._runs[run] = {**self._runs[run], "saved": saved}
            await self._write()

    async def keep(self, run: str, entry: Mapping[str, Any]) -> None:
        """A run that has ended can be gone on with."""
        self.resumable[run] = dict(entry)
        for oldest in list(self.resumable)[:-KEPT]:
            del self.resumable[oldest]
        await self._write_resumable()

    async def forget(self, run: str) -> None:
        """It is gone on with, or not needed any more."""
        if self.resumable.pop(run, None) is not None:
            await self._write_resumable()

    async def end(self, run: str) -> None:
        if self._runs.pop(run, None) is not None:
            await self._write()

    async def _write(self) -> None:
        async with self._writing:
            await asyncio.to_thread(_replace, self._folder / _FILE, json.dumps(self._runs))

    async def _write_resumable(self) -> None:
        async with self._writing:
            await asyncio.to_thread(_replace, self._folder / _RESUMABLE, json.dumps(self.resumable))


def _read(path: Path) -> dict[str, Any]:
    """Runs by their ids; none if there is no such file, or one that is not ours."""
    try:
        runs = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        # it is replaced as a whole, so this is no half-written file of ours; every source is switched off anyway
        return {}
    return runs if isinstance(runs, dict) else {}


def _replace(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
