"""What has arrived on a wire and was not read yet, and whether the wire is gone."""

from __future__ import annotations

import asyncio
from collections import deque

from ..errors import DeviceLost, LinkError
from .address import Address
from .base import timed_out


class Inbox:
    """Filled by a wire's callbacks on the event loop, emptied by `get`.

    Removing from it never involves waiting, so a cancelled `get` loses nothing. What arrived before the wire was lost
    can still be read; after that every `get` raises `DeviceLost`.
    """

    #: A wire with more than this waiting should stop reading until `get` was called.
    HIGH_WATER = 1 << 20

    def __init__(self, address: Address, *, packets: bool) -> None:
        self._address = address
        self._packets = packets
        self._chunks: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._lost: DeviceLost | None = None
        self._fault: LinkError | None = None
        #: bytes waiting
        self.size = 0

    @property
    def lost(self) -> DeviceLost | None:
        """A new copy of the error that ended the wire, or None."""
        return None if self._lost is None else DeviceLost(self._lost.message, hint=self._lost.hint)

    @property
    def empty(self) -> bool:
        return not self._chunks

    @property
    def full(self) -> bool:
        return self.size > self.HIGH_WATER

    def put(self, data: bytes) -> None:
        """Bytes or, on a packet wire, one packet (which may be empty)."""
        self._chunks.append(data)
        self.size += len(data)
        self._wake()

    def put_fault(self, error: LinkError) -> None:
        """Something went wrong after what has arrived, but the wire goes on: one `get` raises it."""
        self._fault = error
        self._wake()

    def fail(self, error: DeviceLost) -> bool:
        """The wire is gone. Returns whether that is news."""
        if self._lost is not None:
            return False
        self._lost = error
        self._wake()
        return True

    async def get(self, timeout_s: float) -> bytes:
        """All that is there, at least one byte; on a packet wire one packet.

        Raises `DeviceTimeout`, `DeviceLost`, and what `put_fault` got.
        """
        if not self._chunks and self._lost is None and self._fault is None:
            await self._wait(timeout_s)
        if self._chunks:
            return self._take()
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault
        lost = self.lost
        if lost is not None:
            raise lost
        raise timed_out(self._address, timeout_s)

    async def look(self) -> None:
        """Let the event loop deliver what the operating system has already."""
        if not self._chunks and self._lost is None:
            await self._wait(0.0)

    def take_all(self) -> bytes:
        """Everything that is there now, maybe nothing, and no error."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._fault = None
        self.size = 0
        return data

    def _take(self) -> bytes:
        if self._packets or len(self._chunks) == 1:
            data = self._chunks.popleft()
        else:
            return self.take_all()
        self.size -= len(data)
        return data

    async def _wait(self, timeout_s: float) -> None:
        if self._waiter is not None:
            raise RuntimeError(f"two tasks read from {self._address} at once")
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        # a timer on the loop sees what the descriptors report in the same turn first, so a deadline of 0 is useful
        timer = loop.call_later(timeout_s, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
