"""What is made of a record when its run has ended: exports and a report, in a process of low priority."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

LOG = logging.getLogger("picobridge.finishing")

#: How long stopping waits for the run that is being finished; the rest is left to `picobridge report` and `export`.
STOP_S = 3.0


class Finisher:
    """For each folder a module is run as `python -m MODULE FOLDER`; it prints a JSON object, which `done` is told.

    `cache` is where matplotlib may keep what it knows of fonts: a service has no home.
    """

    def __init__(self, cache: Path, done: Callable[[Path, Mapping[str, Any]], None]) -> None:
        self._cache = cache
        self._done = done
        self._waiting: asyncio.Queue[tuple[Path, str]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def add(self, folder: Path, module: str) -> None:
        self._waiting.put_nowait((folder, module))
        if self._task is None:
            self._task = asyncio.create_task(self._serve(), name="picobridge finishing")

    async def close(self) -> None:
        """Wait a while for what is waiting, then give it up."""
        if self._task is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._waiting.join()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    async def _serve(self) -> None:
        while True:
            folder, module = await self._waiting.get()
            try:
                self._done(folder, await self._finish(folder, module))
            except (OSError, ValueError) as error:
                LOG.error("exports and report of %s were not made: %s", folder, error)
            finally:
                self._waiting.task_done()

    async def _finish(self, folder: Path, module: str) -> Mapping[str, Any]:
        """Raises `OSError`, `ValueError`."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", module, str(folder)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"MPLCONFIGDIR": str(self._cache), **os.environ},
        )
        try:
            output, trouble = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            last = trouble.decode(errors="replace").strip().rpartition("\n")[2]
            raise OSError(f"exit status {process.returncode}: {last}")
        answer = json.loads(output)
        if not isinstance(answer, dict):
            raise ValueError(f"{module} printed no JSON object")
        return answer
