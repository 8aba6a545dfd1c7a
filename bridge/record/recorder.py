"""Where the daemon's runs are recorded: one folder each, below one directory."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from drivers.errors import ConfigurationError, RunFailed

from . import manifest
from .description import Description
from .files import file_name, sync_folder
from .raw import RawFiles
from .recording import Recording, free_bytes

T = TypeVar("T")

#: So much must stay free on the disk, for what is queued and for results; twice as much to start a run.
RESERVE_BYTES = 100_000_000


class Recorder:
    """`limit_bytes` bounds what waits to be written, a run."""

    def __init__(
        self,
        data_dir: Path,
        *,
        limit_bytes: int = 64_000_000,
        reserve_bytes: int = RESERVE_BYTES,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self.data_dir = data_dir
        self._limit_bytes = limit_bytes
        self._reserve_bytes = max(reserve_bytes, limit_bytes)
        self._free = free

    async def begin(self, description: Description, *, expected_bytes: int = 0, promised_bytes: int = 0) -> Recording:
        """A new folder `RUN_PROCEDURE` with its manifest, on disk before anything is energised.

        `expected_bytes` is what the run may write, `promised_bytes` what those under way still may. Raises `RunFailed`
        if the folder cannot be made, the disk is too full for that, or no thread can be started.
        """
        work = partial(self._prepare, description, expected_bytes, promised_bytes)
        thread, folder = await self._in_new_thread(work)
        return self._recording(folder, description, thread)

    async def go_on(self, folder: Path, description: Description) -> Recording:
        """With a folder of the run that was left. Raises `RunFailed` if it cannot be written."""
        try:
            thread, raw = await self._in_new_thread(partial(RawFiles, folder))
        except OSError as error:
            raise self._cannot(error) from error
        return self._recording(folder, description, thread, raw)

    def named(self, folder: Path, description: Description) -> Path:
        """The folder under the name of its run, where that was not known when it was made. Raises `OSError`."""
        stem = _stem(description)
        if folder.name.startswith(stem):
            return folder
        path = new_folder(self.data_dir, stem)
        return folder.rename(path)  # over the new one, which is empty

    async def _in_new_thread(self, work: Callable[[], T]) -> tuple[ThreadPoolExecutor, T]:
        """The thread is the recording's from now on: one that was begun lacks none later. Raises what `work` raises."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="picobridge-record")
        try:
            try:
                working = asyncio.get_running_loop().run_in_executor(thread, work)
            except RuntimeError as error:
                raise RunFailed(
                    f"the run cannot be recorded: {error}",
                    hint="The system lets this user have no more threads: look at ulimit -u, or TasksMax of the unit.",
                ) from error
            return thread, await working
        except BaseException:
            thread.shutdown(wait=False)
            raise

    def _recording(
        self, folder: Path, description: Description, thread: ThreadPoolExecutor, raw: RawFiles | None = None
    ) -> Recording:
        return Recording(
            folder,
            description,
            thread,
            limit_bytes=self._limit_bytes,
            reserve_bytes=self._reserve_bytes,
            free=self._free,
            raw=raw,
        )

    def _prepare(self, description: Description, expected_bytes: int, promised_bytes: int) -> Path:
        stem = _stem(description)
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            free = self._free(self.data_dir)
            needed = self._reserve_bytes + max(self._reserve_bytes, expected_bytes + promised_bytes)
            if free < needed:
                raise RunFailed(
                    f"the disk of {self.data_dir} is too full to begin a run: {free / 1e6:.0f} MB are free, "
                    f"{needed / 1e6:.0f} MB are needed ({expected_bytes / 1e6:.0f} MB for its samples, "
                    f"{promised_bytes / 1e6:.0f} MB for runs under way)",
                    hint="Make room, or set [bridge] data_dir to a folder on another disk; "
                    "record = false runs without a record.",
                )
            folder = new_folder(self.data_dir, stem)
            manifest.write(folder, description.content)
            sync_folder(self.data_dir)
        except OSError as error:
            raise self._cannot(error) from error
        return folder

    def _cannot(self, error: OSError) -> RunFailed:
        return RunFailed(
            f"the run cannot be recorded in {self.data_dir}: {error.strerror}",
            hint="Set [bridge] data_dir to a directory that the daemon may write, or record = false.",
        )


def _stem(description: Description) -> str:
    return f"{file_name(description.run)}_{file_name(description.procedure)}"


def new_folder(parent: Path, stem: str) -> Path:
    """The first of `stem`, `stem_2`, ... that does not exist: a run is never written over another."""
    number = 1
    while True:
        path = parent / (stem if number == 1 else f"{stem}_{number}")
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path


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
