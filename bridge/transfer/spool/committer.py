"""The thread that makes samples durable: a group of blocks at a time, again and again if the disk refuses."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from bridge.transfer import codec
from drivers.samples import SampleBlock

from .batch import Batcher, Gap
from .faults import FaultKind, SpoolFailed, explain, no_room
from .log import SegmentLog

Item = SampleBlock | Gap

#: What one waiting block costs in memory beside its samples, about.
OVERHEAD = 1000
#: So much is made durable at once, about.
_GROUP_BYTES = 8_000_000
#: How often it is looked whether there is something to close or to let go.
_TEND_S = 1.0


class Committed(NamedTuple):
    """What has become durable, and how many bytes of the queue that frees."""

    reached: Mapping[str, int]
    freed: int


@dataclass(slots=True)
class Figures:
    """Of group commits since the start; latencies in seconds, from the oldest block's arrival until it was durable."""

    commits: int = 0
    latency_s: float = 0.0
    latency_max_s: float = 0.0
    bytes_written: int = 0


def weight(item: Item) -> int:
    """What an item takes in the queue."""
    return OVERHEAD if isinstance(item, Gap) else OVERHEAD + codec.sample_bytes(item)


class Committer:
    """`committed` and `state` are called in its thread: for what became durable, and with the error when writing begins
    to fail or None when it works again; `told` for faults."""

    def __init__(
        self,
        log: SegmentLog,
        commit_s: float,
        retry_s: float,
        committed: Callable[[Committed], None],
        state: Callable[[SpoolFailed | None], None],
        told: Callable[[FaultKind, str], None],
        ended: Callable[[BaseException | None], None],
    ) -> None:
        self.figures = Figures()
        self._log = log
        self._commit_s = commit_s
        self._retry_s = retry_s
        self._committed = committed
        self._state = state
        self._told = told
        self._ended = ended
        self._queue: deque[Item] = deque()
        self._batcher = Batcher()
        self._wake = threading.Event()
        self._urgent = threading.Event()
        self._closing = threading.Event()
        self._since = 0.0
        self._last_commit = 0.0
        self._tend_at = 0.0
        self._tend_now = threading.Event()
        self._segments = 0
        self._failed = False
        self.thread = threading.Thread(target=self._run, name="spool", daemon=True)

    def put(self, item: Item) -> None:
        """Any thread; never blocks."""
        self._queue.append(item)
        if not self._wake.is_set():
            self._since = time.monotonic()
            self._wake.set()

    def hurry(self) -> None:
        """Commit at once."""
        self._urgent.set()
        self._wake.set()

    def tend(self) -> None:
        """See at once what can go."""
        self._tend_now.set()
        self.hurry()

    def close(self) -> None:
        """End when all is durable, or when the disk refuses it once more."""
        self._closing.set()
        self.hurry()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            while self._step():
                pass
        except BaseException as raised:  # whoever waits for this thread must hear of it
            error = raised
        finally:
            self._log.close()
        self._ended(error)

    def _step(self) -> bool:
        self._wake.wait(_TEND_S)
        closing = self._closing.is_set()
        if self._queue:
            wait_s = self._last_commit + self._commit_s - time.monotonic()
            if wait_s > 0 and not closing:
                self._urgent.wait(wait_s)
        self._urgent.clear()
        self._wake.clear()
        items, freed, since = self._take()
        if items and not self._commit(items, freed, since):
            return False
        if self._tend_now.is_set() or time.monotonic() >= self._tend_at or self._log.segments != self._segments:
            self._tend_now.clear()
            self._tend_at = time.monotonic() + _TEND_S
            exhausted = self._log.exhausted
            self._log.tend()
            self._segments = self._log.segments
            if self._log.exhausted != exhausted:
                self._committed(Committed({}, 0))  # nothing more is durable, but runs may begin, or should end
        return not closing or bool(self._queue)

    def _take(self) -> tuple[list[Item], int, float]:
        items: list[Item] = []
        since, size = self._since, 0
        while self._queue and size < _GROUP_BYTES:
            items.append(self._queue.popleft())
            size += weight(items[-1])
        if self._queue:
            self.hurry()
        return items, size, since

    def _commit(self, items: list[Item], freed: int, since: float) -> bool:
        """False if it is to end although something is not durable."""
        records = self._batcher.records(items, time.time_ns(), time.monotonic_ns())
        for text in self._batcher.refused:
            self._told(FaultKind.BLOCK, text)
        self._batcher.refused.clear()
        items.clear()
        refusals, portion = 0, len(records)
        while records:
            try:
                count, reached = self._log.commit(records[:portion])
            except OSError as error:
                refusals += 1
                if refusals == 1:
                    continue  # in a new segment it mostly goes
                if portion > 1 and no_room(error):
                    portion //= 2  # there may be room for some of it
                    continue
                self._refused(error)
                if self._closing.is_set():
                    return False
                self._log.tend()
                self._closing.wait(self._retry_s)
                continue
            refusals, portion = 0, len(records)
            self.figures.bytes_written += sum(map(len, records[:count]))
            records = records[count:]
            self._committed(Committed(reached, 0 if records else freed))
        self._last_commit = time.monotonic()
        self._count(self._last_commit - since)
        if self._failed:
            self._failed = False
            self._state(None)
        return True

    def _count(self, latency_s: float) -> None:
        figures = self.figures
        figures.commits += 1
        figures.latency_s = latency_s
        figures.latency_max_s = max(figures.latency_max_s, latency_s)

    def _refused(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            failed = SpoolFailed(f"samples cannot be made durable: {explain(error)}")
            self._state(failed)
            self._told(FaultKind.DISK, failed.message)
