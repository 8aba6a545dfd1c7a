"""The samples of one device on their way to the broker: a bounded queue that delays and never drops.

Every sample gets the next index of the device's stream. While the broker keeps up, a block goes out as it came, at
once. While it does not, blocks wait here, and small ones that follow each other are merged, so that a backlog drains in
few messages. What was sent and not acknowledged when the connection was lost is sent again, byte for byte.

When the queue is full, its oldest blocks leave it, provided that they are durable elsewhere (`Keeper`): subscribers see
a gap in the indices and may ask for a replay. Without a keeper, or while it lags behind, the queue stays full.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from drivers.samples import SampleBlock

from . import codec
from .room import Room

#: Payloads are not longer than this.
PAYLOAD_LIMIT = 64 * 1024
#: What one waiting block costs in memory beside its samples, about.
_OVERHEAD = 1000
#: So many small blocks at the end of the queue are merged into one.
_MERGE_COUNT = 64


@dataclass(frozen=True, slots=True)
class Package:
    """An encoded block."""

    block: SampleBlock
    payload: bytes


class Keeper(Protocol):
    """Where blocks are made durable: as much of a spool as a pump needs."""

    def append(self, block: SampleBlock) -> None:
        """Never blocks."""

    def durable(self, stream: str) -> int:
        """The index up to which (exclusive) the stream is on disk."""


class SamplePump:
    """`stream` names the stream (a new one each time the daemon starts). `wake` is called when something waits.

    `limit_bytes` bounds what waits; one block more than that is taken, so that none is ever dropped. `changed` is
    called when samples were acknowledged. `keeper` gets every block.
    """

    def __init__(
        self,
        stream: str,
        wake: Callable[[], None],
        limit_bytes: int = 64_000_000,
        keeper: Keeper | None = None,
    ) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.stream = stream
        self.limit_bytes = limit_bytes
        #: index that the next sample will get
        self.next_index = 0
        #: samples that a broker has acknowledged
        self.published = 0
        #: samples that left the full queue before a broker took them; the keeper has them
        self.left_to_replay = 0
        #: bytes that wait to be sent, about
        self.waiting_bytes = 0
        self._wake = wake
        self._keeper = keeper
        self._blocks: deque[SampleBlock] = deque()
        self._again: deque[Package] = deque()
        self._in_flight = 0
        self._small_tail = 0
        self._header: codec.Header | None = None
        self._room = Room()

    @property
    def pending(self) -> int:
        """Samples taken and not yet acknowledged, without those left to replay."""
        return self.next_index - self.published - self.left_to_replay

    @property
    def waiting(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._blocks or self._again)

    @property
    def idle(self) -> bool:
        return not self.waiting and not self._in_flight

    @property
    def full(self) -> bool:
        return self._room.full

    def take(self, block: SampleBlock, attributes: Mapping[str, Any] | None = None) -> SampleBlock:
        """Queue a block, whatever the queue's length, and return it as part of the stream. Check `full` afterwards.

        `attributes` replace the block's own.
        """
        block = block.rebased(self.stream, self.next_index, attributes)
        self.next_index = block.next_index
        self._blocks.append(block)
        self._account(block, 1)
        self._small_tail += 1
        self._wake()
        if self._keeper is not None:
            self._keeper.append(block)  # which wakes a thread: the block is on the socket by then
        if self._small_tail >= _MERGE_COUNT and len(self._blocks) >= _MERGE_COUNT:
            self._merge_tail()
        if self.full:
            self.relieve()
        return block

    def relieve(self) -> None:
        """Let the oldest blocks go that are durable, until the queue is not full. For whoever hears that more are."""
        if self._keeper is None or not self.full:
            return
        durable = self._keeper.durable(self.stream)
        while self.full:
            waiting = self._again[0].block if self._again else self._blocks[0] if self._blocks else None
            if waiting is None or waiting.next_index > durable:
                break
            if self._again:
                self._again.popleft()
            else:
                self._blocks.popleft()
                self._small_tail = min(self._small_tail, len(self._blocks))
            self.left_to_replay += len(waiting)
            self._account(waiting, -1)
        self.changed()

    async def room(self, timeout_s: float) -> bool:
        """Wait until the queue is not full; false if it still is after `timeout_s`."""
        return await self._room.wait(timeout_s)

    def next(self, payload_limit: int = PAYLOAD_LIMIT) -> Package | None:
        """The next message, which is then in flight, or None if nothing waits."""
        package = self._next_again(payload_limit) or self._next_new(payload_limit)
        if package is not None:
            self._in_flight += 1
            self._account(package.block, -1)
        return package

    def acknowledged(self, package: Package) -> None:
        self._in_flight -= 1
        self.published += len(package.block)
        self.changed()

    def lost(self, packages: list[Package]) -> None:
        """Of the packages in flight these were not acknowledged; they go first, in this order."""
        self._in_flight -= len(packages)
        self._again.extendleft(reversed(packages))
        for package in packages:
            self._account(package.block, 1)

    def _next_again(self, payload_limit: int) -> Package | None:
        if not self._again:
            return None
        package = self._again.popleft()
        if len(package.payload) <= payload_limit:
            return package
        # the broker takes less than it did: cut anew
        self._blocks.appendleft(package.block)
        while self._again:
            self._blocks.insert(1, self._again.pop().block)
        return None

    def _next_new(self, payload_limit: int) -> Package | None:
        if not self._blocks:
            return None
        first = self._blocks.popleft()
        self._small_tail = min(self._small_tail, len(self._blocks))
        per_sample = codec.bytes_per_sample(first)
        header = self._header_of(first)
        capacity = max(1, (payload_limit - header.size) // per_sample)
        if len(first) > capacity:
            self._blocks.appendleft(codec.part(first, capacity, len(first)))
            self._change(_OVERHEAD)
            first = codec.part(first, 0, capacity)
        elif self._blocks:
            first = self._merged(first, capacity)
        return Package(first, header.encode(first))

    def _header_of(self, block: SampleBlock) -> codec.Header:
        """Made anew only when blocks begin to say something else."""
        if self._header is None or not self._header.fits(block):
            self._header = codec.Header(block)
        return self._header

    def _merged(self, first: SampleBlock, capacity: int) -> SampleBlock:
        """`first` with the waiting blocks that follow it, up to `capacity` samples."""
        group, count = [first], len(first)
        while self._blocks and codec.follows(group[-1], self._blocks[0]) and count + len(self._blocks[0]) <= capacity:
            group.append(self._blocks.popleft())
            count += len(group[-1])
            self._change(-_OVERHEAD)
        self._small_tail = min(self._small_tail, len(self._blocks))
        return SampleBlock.concatenate(group) if len(group) > 1 else first

    def _merge_tail(self) -> None:
        """Thousands of single samples waiting for a broker would cost more in headers than in numbers."""
        tail = [self._blocks.pop() for _ in range(_MERGE_COUNT)][::-1]
        while tail:
            first = tail.pop(0)
            capacity = PAYLOAD_LIMIT // codec.bytes_per_sample(first)
            group, count = [first], len(first)
            while tail and codec.follows(group[-1], tail[0]) and count + len(tail[0]) <= capacity:
                group.append(tail.pop(0))
                count += len(group[-1])
                self._change(-_OVERHEAD)
            self._blocks.append(SampleBlock.concatenate(group) if len(group) > 1 else first)
        self._small_tail = 0

    def _account(self, block: SampleBlock, sign: int) -> None:
        self._change(sign * (_OVERHEAD + codec.sample_bytes(block)))

    def _change(self, count: int) -> None:
        self.waiting_bytes += count
        self._room.measure(self.waiting_bytes, self.limit_bytes)
