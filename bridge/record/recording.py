"""One run being recorded: a bounded queue on the event loop's side, one thread that writes.

Nothing here blocks the loop. What `add` has taken is the operating system's 0.2 s later; every few seconds it is synced
to the disk. If the disk fills up, `error` is set while there is still room for what is queued: the run must end
then, and nothing of it is lost.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from bridge.transfer.codec import part, sample_bytes
from bridge.transfer.room import Room
from drivers.errors import PicobridgeError, RunFailed
from drivers.plain import dumps
from drivers.samples import SampleBlock

from . import manifest
from .description import Description
from .files import file_name, json_text, replace_file, sync_folder
from .raw import RawFiles, StreamCount, merged

#: Blocks are gathered for so long before they are written together (real seconds): one by one, slow samples would cost
#: ten times as much in headers as in numbers. What a killed daemon loses.
GATHER_S = 0.2
#: A power cut loses at most so much (real seconds).
SYNC_S = 5.0
#: How often the free space is looked at (real seconds).
SPACE_S = 1.0
#: What one waiting block costs in memory beside its samples, about.
_OVERHEAD = 1000
_ROOM = "Make room, or set [bridge] data_dir to a folder on another disk; record = false runs without a record."


def free_bytes(path: Path) -> int:
    """What an ordinary user may still write there."""
    return shutil.disk_usage(path).free


class Recording:
    """Made by `Recorder.begin`. `description` is what is known so far. `reserve_bytes` is what must stay free.

    `raw` are the files of a folder that is gone on with: what they have is not taken again.
    """

    def __init__(
        self,
        folder: Path,
        description: Description,
        thread: ThreadPoolExecutor,
        *,
        limit_bytes: int,
        reserve_bytes: int,
        free: Callable[[Path], int] = free_bytes,
        raw: RawFiles | None = None,
    ) -> None:
        self.folder = folder
        #: why nothing more can be recorded; the run must end
        self.error: PicobridgeError | None = None
        #: set with `error`
        self.failed = asyncio.Event()
        self.description = description
        self._limit_bytes = limit_bytes
        self._reserve_bytes = reserve_bytes
        self._free = free
        self._raw = RawFiles(folder) if raw is None else raw
        self._before = {stream: count.next_index or 0 for stream, count in self._raw.counts.items()}
        self._events = _open_lines(folder / manifest.EVENTS)
        self._queue: deque[tuple[str, SampleBlock]] = deque()
        self._lines: deque[bytes] = deque()
        self._queued_bytes = 0
        self._blocks_written = self._lines_written = 0
        self._devices: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._written = asyncio.Event()
        self._room = Room()
        self._ending = asyncio.Event()
        self._hurry = asyncio.Event()
        self._synced = self._looked = time.monotonic()
        self._thread = thread
        self._task = asyncio.create_task(self._serve(), name=f"record {folder.name}")

    # --- while the run goes ------------------------------------------------------------------------------------

    def add(self, device: str, block: SampleBlock) -> None:
        """Queue a block of a device, as part of its stream. Check `full` and `error` afterwards."""
        self._devices.setdefault(device, block.stream)
        if (before := self._before.get(block.stream)) is not None:
            if block.next_index < before or (len(block) and block.next_index == before):
                return
            block = part(block, max(0, before - block.first_index), len(block))
        self._queue.append((device, block))
        self._account(_size(block))
        self._wake.set()
        if self._queued_bytes > self._limit_bytes // 4:
            self._hurry.set()

    def event(self, event: Mapping[str, Any]) -> None:
        """Queue something that was said about the run."""
        self.description.event(event)
        self._lines.append(dumps(event) + b"\n")
        self._wake.set()

    @property
    def full(self) -> bool:
        return self._room.full

    async def room(self, timeout_s: float) -> bool:
        """Wait until the queue is not full; false if it still is after `timeout_s`."""
        return await self._room.wait(timeout_s)

    async def sync(self) -> None:
        """Everything so far to the disk itself. Raises `RunFailed`."""
        while (self._queue or self._lines) and self.error is None:
            self._written.clear()
            self._hurry.set()
            self._wake.set()
            await self._written.wait()
        if self.error is not None:
            raise self.error
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._sync)
        except OSError as failure:
            raise self._failed(failure) from failure

    @property
    def counts(self) -> Mapping[str, StreamCount]:
        """What was written, by stream."""
        return self._raw.counts

    # --- the end -----------------------------------------------------------------------------------------------

    async def end(self, result: Any, *, events_anew: bool = False) -> None:
        """Write what is queued, the result and the manifest as `description` has it; nothing may be added afterwards.

        Streams that the description names are complete when all of their samples are there. With `events_anew` the
        events are written once more, as the description has them. Raises `RunFailed` if not everything could be
        written; the folder then says that it is not complete.
        """
        await self._leave()
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._finish, result, events_anew)
        except OSError as failure:
            known = self._failed(failure)
            if self.error is not None:  # what broke first is the reason
                known.message = f"{self.error.message}; {failure}"
            raise known from failure
        finally:
            self._close()

    async def leave(self) -> None:
        """Write what is queued and no more: the folder can be gone on with."""
        await self._leave()
        self._close()

    async def _leave(self) -> None:
        self._ending.set()
        self._hurry.set()
        self._wake.set()
        await self._task

    async def discard(self) -> None:
        """The run was not started after all: the folder goes, nothing was recorded."""
        await self._leave()
        self._close()
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    def _close(self) -> None:
        self._raw.close()
        os.close(self._events)
        self._thread.shutdown(wait=False)

    def _finish(self, result: Any, events_anew: bool) -> None:
        """In the thread. The queue is empty, or it cannot be emptied."""
        content = self.description.content
        left = sum(len(block) for _, block in self._queue)
        if events_anew:
            lines = "".join(f"{dumps(event).decode()}\n" for event in content["events"])
            replace_file(self.folder / manifest.EVENTS, lines)
        if result is not None:
            replace_file(self.folder / manifest.RESULT, json_text(result))
        if not left:
            self._raw.sync()
        content["streams"] = streams = self._streams()
        paths = manifest.files_of(self.folder)
        content["files"] = manifest.describe_files(self.folder, paths, self._raw.checksums())
        missing = sum(stream["missing"] for stream in streams.values())
        content["complete"] = content["ended_ns"] is not None and not left and not missing
        manifest.write(self.folder, content)
        if left:
            raise OSError(f"{left} samples are not on disk")

    def _streams(self) -> dict[str, Any]:
        """What there is of each device's samples, beside what there should be, where that is known."""
        counts, names = self._raw.counts, self._raw.names()
        told: dict[str, Any] = {
            device: {"stream": stream, **counts[stream].describe(), "file": names.get(stream)}
            for device, stream in self._devices.items()
            if stream in counts
        }
        for device, wanted in self.description.content["streams"].items():
            stream, first, after = wanted["stream"], wanted["first_index"] or 0, wanted["next_index"] or 0
            samples = counts[stream].samples if stream in counts else 0
            told[device] = {
                "stream": stream,
                "first_index": first,
                "next_index": after,
                "samples": samples,
                "missing": max(0, after - first - samples),
                "file": names.get(stream),
            }
        return told

    # --- the writer --------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Until the end, and until everything that waits is written or cannot be."""
        while not self._ending.is_set() or self._queue or self._lines:
            await self._wake.wait()
            self._wake.clear()
            last = self._ending.is_set()
            if not await self._write_waiting() and last:
                return  # it was tried once more; nobody is left who could make room
            if not self._ending.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(GATHER_S):
                        await self._hurry.wait()
                self._hurry.clear()

    async def _write_waiting(self) -> bool:
        blocks, lines = [*self._queue], [*self._lines]
        self._blocks_written = self._lines_written = 0
        failure: Exception | None = None
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._write, blocks, lines)
        except (OSError, PicobridgeError) as error:
            failure = error
        for _ in range(self._blocks_written):
            self._account(-_size(self._queue.popleft()[1]))
        for _ in range(self._lines_written):
            self._lines.popleft()
        if failure is not None and self.error is None:
            self.error = self._failed(failure)
            self.failed.set()
        self._written.set()
        return failure is None

    def _write(self, blocks: list[tuple[str, SampleBlock]], lines: list[bytes]) -> None:
        """In the thread. Counts what it has written, so that after an error only that leaves the queues."""
        for device, group in groupby(blocks, key=itemgetter(0)):
            own = [block for _, block in group]
            self._raw.write(own[0].stream, file_name(device), [*merged(own)])
            for block in own:
                self._raw.count(block)
            self._blocks_written += len(own)
        for line in lines:
            os.write(self._events, line)
            self._lines_written += 1
        now = time.monotonic()
        if now - self._synced >= SYNC_S:
            self._synced = now
            self._sync()
        if now - self._looked >= SPACE_S:
            self._looked = now
            self._check_space()

    def _sync(self) -> None:
        """In the thread. Raises `OSError`."""
        self._raw.sync()
        os.fsync(self._events)
        sync_folder(self.folder)

    def _check_space(self) -> None:
        """In the thread. Raises `RunFailed` while there is still room for the whole queue."""
        free = self._free(self.folder)
        if free < self._reserve_bytes and not self._ending.is_set():
            raise RunFailed(
                f"the disk of {self.folder} is nearly full: {free / 1e6:.0f} MB are free, "
                f"{self._reserve_bytes / 1e6:.0f} MB are kept free: the source is switched off before a sample is lost",
                hint=_ROOM,
            )

    def _account(self, count: int) -> None:
        self._queued_bytes += count
        self._room.measure(self._queued_bytes, self._limit_bytes)

    def _failed(self, failure: Exception) -> PicobridgeError:
        if isinstance(failure, PicobridgeError):
            return failure
        reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure)
        return RunFailed(f"the record {self.folder} cannot be written: {reason}", hint=_ROOM)


def _size(block: SampleBlock) -> int:
    return _OVERHEAD + sample_bytes(block)


def _open_lines(path: Path) -> int:
    """To be appended to, behind a whole line."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    if (size := os.fstat(file).st_size) and os.pread(file, 1, size - 1) != b"\n":
        os.write(file, b"\n")
    return file
