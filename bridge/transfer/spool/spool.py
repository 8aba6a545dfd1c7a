"""The spool of a daemon: all samples of all devices on disk before anybody is told that they are safe."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from drivers.errors import Refused
from drivers.samples import SampleBlock

from ..room import Room
from .batch import Gap
from .catalogue import StreamRange
from .committer import Committed, Committer, Item, weight
from .faults import FaultKind, SpoolFailed
from .files import Files, OsFiles
from .log import SegmentLog
from .options import SpoolOptions
from .reader import Stored
from .recovery import Recovery


@dataclass(frozen=True, slots=True)
class SpoolMetrics:
    """Bytes and seconds. Latencies are from a block's arrival until it was durable."""

    queue_bytes: int
    bytes_on_disk: int
    bytes_written: int
    segments: int
    commits: int
    commit_latency_s: float
    commit_latency_max_s: float


class Spool:
    """Belongs to one event loop; `open`, `read` and `free_bytes` are for threads.

    `changed` is called on the loop when more is durable or when `error` changes; `on_fault(kind, text)` when something
    went wrong. `error` is set while nothing can be made durable: samples then wait in memory.
    """

    def __init__(self, log: SegmentLog, options: SpoolOptions, early: list[tuple[FaultKind, str]]) -> None:
        """Use `open`."""
        self.changed: Callable[[], None] = lambda: None
        #: told each block that was appended
        self.taken: Callable[[SampleBlock], None] = lambda block: None
        self.on_fault: Callable[[FaultKind, str], None] = lambda kind, text: None
        self.error: SpoolFailed | None = None
        self.options = options
        self.queue_bytes = 0
        self._moved_s = 0.0
        self._log = log
        self._early = early
        self._committer: Committer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._durable = {stream: known.next_index for stream, known in log.ranges().items()}
        self._room = Room()
        self._waiting: list[tuple[str, int, asyncio.Future[None]]] = []
        self._ended: asyncio.Future[None] | None = None

    @classmethod
    def open(cls, folder: Path, options: SpoolOptions | None = None, files: Files | None = None) -> Self:
        """Recover what is in the folder, which is made if it is not there. Blocks: for a thread.

        Raises `SpoolFailed` if the folder cannot be made or read. What was found is in `recovery`.
        """
        options = options or SpoolOptions()
        early: list[tuple[FaultKind, str]] = []
        spool: Self

        def told(kind: FaultKind, text: str) -> None:
            spool._tell(kind, text)

        log = SegmentLog(folder, options, files or OsFiles(), told)
        early += [(FaultKind.DAMAGE, text) for text in log.recovery.damage]
        early += [(FaultKind.DISK, text) for text in log.recovery.notes]
        spool = cls(log, options, early)
        return spool

    @property
    def recovery(self) -> Recovery:
        """What was found when the spool was opened."""
        return self._log.recovery

    @property
    def full(self) -> bool:
        """Whether as much waits in memory as may: whoever appends should wait for `room`."""
        return self._room.full

    @property
    def exhausted(self) -> bool:
        """Whether `max_bytes` or `reserve_bytes` is reached: runs should end."""
        return self._log.exhausted

    @property
    def lacking(self) -> str:
        """Why it is exhausted, in words; empty if it is not."""
        return self._log.lacking

    @property
    def stalled_s(self) -> float:
        """For how long nothing has become durable although something waits."""
        return time.monotonic() - self._moved_s if self.queue_bytes else 0.0

    @property
    def metrics(self) -> SpoolMetrics:
        figures = self._committer.figures if self._committer is not None else None
        return SpoolMetrics(
            queue_bytes=self.queue_bytes,
            bytes_on_disk=self._log.bytes_on_disk,
            bytes_written=figures.bytes_written if figures else 0,
            segments=self._log.segments,
            commits=figures.commits if figures else 0,
            commit_latency_s=figures.latency_s if figures else 0.0,
            commit_latency_max_s=figures.latency_max_s if figures else 0.0,
        )

    def start(self) -> None:
        """On the event loop. Faults of the recovery are told at once. A spool is started once."""
        self._loop = loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        self._committer = Committer(
            self._log,
            self.options.commit_s,
            self.options.retry_s,
            committed=lambda what: self._call(self._on_committed, what),
            state=lambda error: self._call(self._on_state, error),
            told=self._tell,
            ended=lambda error: self._call(self._on_ended, error),
        )
        self._committer.thread.start()
        early, self._early = self._early, []
        for kind, text in early:
            self.on_fault(kind, text)

    def use(self, options: SpoolOptions) -> None:
        """Other options from now on, on the event loop. `commit_s` and `retry_s` stay what they were."""
        self.options = options
        self._log.use(options)
        self._see_to_room()
        if self._committer is not None:
            self._committer.tend()

    async def close(self) -> None:
        """Make everything durable and end the thread. Raises `SpoolFailed` if the disk refuses."""
        if self._committer is None or self._ended is None:
            return
        self._committer.close()
        await asyncio.shield(self._ended)
        self._committer.thread.join()
        if self.queue_bytes:
            cause = self.error or SpoolFailed("the thread that writes has ended")
            text = f"{self.queue_bytes} bytes of samples are lost, they could not be made durable: {cause.message}"
            raise SpoolFailed(text) from cause

    def append(self, block: SampleBlock) -> None:
        """Take a block, whatever the queue's length. Never blocks; check `full` afterwards.

        Blocks of a stream come in the order of their indices.
        """
        self._put(block)
        self.taken(block)
        if block.end is not None:
            self._writer().hurry()

    def gap(self, stream: str, first_index: int, next_index: int, reason: str) -> None:
        """Say that samples of a stream, up to `next_index` (exclusive), do not exist."""
        self._put(Gap(stream, first_index, next_index, reason))

    def durable(self, stream: str) -> int:
        """The index up to which (exclusive) a stream is on disk; 0 for one that is not known."""
        return self._durable.get(stream, 0)

    async def synced(self, stream: str, index: int) -> None:
        """Wait until a stream is durable up to an index (exclusive). Raises `SpoolFailed` if it never will be, because
        the spool was closed; while the disk refuses, it waits."""
        if self.durable(stream) >= index:
            return
        future = asyncio.get_running_loop().create_future()
        if self._ended is None or self._ended.done():
            raise SpoolFailed(f"sample {index} of {stream} cannot be made durable: the spool is not open")
        self._waiting.append((stream, index, future))
        self._writer().hurry()
        try:
            await future
        finally:
            self._waiting = [each for each in self._waiting if each[2] is not future]

    async def room(self, timeout_s: float) -> bool:
        """Wait until the queue is not full; false if it still is after `timeout_s`."""
        return await self._room.wait(timeout_s)

    def streams(self) -> Mapping[str, StreamRange]:
        """What there is on disk. Any thread."""
        return self._log.ranges()

    def read(self, stream: str, first_index: int, limit_bytes: int) -> list[Stored]:
        """Durable blocks of a stream from an index on: first index, next index (exclusive), payload as
        `bridge.transfer.codec` encodes it. Blocks: for a thread.

        The first block may begin before the index. At least one is given if there is one, further ones while all
        payloads together take at most `limit_bytes`. Where one begins after the end of the one before, samples are
        missing. A block without samples (the end of a technique) has two equal indices. Raises `SpoolFailed` if the
        disk cannot be read.
        """
        return self._log.read(stream, first_index, limit_bytes)

    def release(self, floor: Mapping[str, int]) -> None:
        """Say up to which index (exclusive) each stream is no longer needed: every recorder has it.

        A segment goes when none of its samples is needed and all are older than `keep_s`. Of a stream that was never
        named everything is needed.
        """
        self._log.release(floor)
        if self._committer is not None:
            self._committer.tend()

    def free_bytes(self) -> int:
        """What is left on the disk. Raises `OSError`. For a thread, or now and then."""
        return self._log.free_bytes()

    def _put(self, item: Item) -> None:
        if not self.queue_bytes:
            self._moved_s = time.monotonic()
        self.queue_bytes += weight(item)
        self._see_to_room()
        self._writer().put(item)

    def _see_to_room(self) -> None:
        self._room.measure(self.queue_bytes, self.options.queue_bytes)

    def _writer(self) -> Committer:
        if self._committer is None:
            raise Refused("the spool was not started", hint="Call start() on the event loop first.")
        return self._committer

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        """From the thread, on the loop."""
        if self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            return  # the loop was closed before the spool: nobody is there to be told

    def _tell(self, kind: FaultKind, text: str) -> None:
        if self._loop is None:
            self._early.append((kind, text))
        else:
            self._call(self._on_fault, kind, text)

    def _on_fault(self, kind: FaultKind, text: str) -> None:
        self.on_fault(kind, text)

    def _on_committed(self, what: Committed) -> None:
        self._durable.update(what.reached)
        self.queue_bytes -= what.freed
        if what.reached:
            self._moved_s = time.monotonic()
        self._see_to_room()
        for stream, index, future in self._waiting:
            if self.durable(stream) >= index and not future.done():
                future.set_result(None)
        self.changed()

    def _on_state(self, error: SpoolFailed | None) -> None:
        self.error = error
        self.changed()

    def _on_ended(self, error: BaseException | None) -> None:
        if error is not None:
            self.error = SpoolFailed(f"the thread that writes has ended: {error!r}", hint="Restart the daemon.")
            self.on_fault(FaultKind.DISK, self.error.message)
        for stream, index, future in self._waiting:
            if not future.done():
                text = f"sample {index} of {stream} cannot be made durable: the spool was closed"
                future.set_exception(SpoolFailed(text))
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
