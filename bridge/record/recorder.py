"""Where the daemon's runs are recorded: one folder each, below one directory."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from drivers.errors import ConfigurationError, RunFailed
from drivers.plain import to_plain

from . import manifest
from .files import file_name, sync_folder
from .recording import Recording, free_bytes
from .run_folder import new_folder

#: So much must stay free on the disk, for what is queued and for results; twice as much to start a run.
RESERVE_BYTES = 100_000_000


class Recorder:
    """`configuration` goes into every manifest. `limit_bytes` bounds what waits to be written, a run."""

    def __init__(
        self,
        data_dir: Path,
        configuration: Mapping[str, Any],
        *,
        limit_bytes: int = 64_000_000,
        reserve_bytes: int = RESERVE_BYTES,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self.data_dir = data_dir
        self._configuration = to_plain(configuration)
        self._limit_bytes = limit_bytes
        self._reserve_bytes = max(reserve_bytes, limit_bytes)
        self._free = free

    async def begin(
        self,
        run: str,
        procedure: str,
        parameters: Mapping[str, Any],
        devices: Mapping[str, Any],
        started_ns: int,
        *,
        expected_bytes: int = 0,
        **more: Any,
    ) -> Recording:
        """A new folder `RUN_PROCEDURE` with its manifest, on disk before anything is energised.

        `devices` describes the run's devices by name; `more` is put into the manifest as it is. `expected_bytes` is
        what the run may write. Raises `RunFailed` if the folder cannot be made or the disk is too full for that.
        """
        description = await asyncio.to_thread(manifest.new, run, procedure, started_ns)
        description |= {
            "parameters": to_plain(parameters),
            "devices": to_plain(devices),
            "configuration": self._configuration,
            **to_plain(more),
        }
        folder = await asyncio.to_thread(
            self._prepare, f"{file_name(run)}_{file_name(procedure)}", description, expected_bytes
        )
        return Recording(
            folder,
            description,
            limit_bytes=self._limit_bytes,
            reserve_bytes=self._reserve_bytes,
            free=self._free,
        )

    def _prepare(self, stem: str, description: dict[str, Any], expected_bytes: int) -> Path:
        def make(path: Path) -> Path:
            path.mkdir()
            return path

        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            free = self._free(self.data_dir)
            needed = self._reserve_bytes + max(self._reserve_bytes, expected_bytes)
            if free < needed:
                raise RunFailed(
                    f"the disk of {self.data_dir} is too full to begin a run: {free / 1e6:.0f} MB are free, "
                    f"{needed / 1e6:.0f} MB are needed ({expected_bytes / 1e6:.0f} MB for its samples)",
                    hint="Make room, or set [bridge] data_dir to a folder on another disk; "
                    "record = false runs without a record.",
                )
            folder = new_folder(self.data_dir, stem, make)
            manifest.write(folder, description)
            sync_folder(self.data_dir)
        except OSError as error:
            raise RunFailed(
                f"the run cannot be recorded in {self.data_dir}: {error.strerror}",
                hint="Set [bridge] data_dir to a directory that the daemon may write, or record = false.",
            ) from error
        return folder


def check_writable(data_dir: Path) -> None:
    """Raises `ConfigurationError` if runs cannot be recorded there."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"runs cannot be recorded in {data_dir}: {error.strerror}",
            hint="Set [bridge] data_dir to a directory that the daemon may write, or record = false.",
        ) from error
