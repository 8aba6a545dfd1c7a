"""Sample blocks as they arrive, and what the indices say about those that did not."""

from __future__ import annotations

from typing import Self

from bridge.transfer.codec import decode
from drivers.errors import InvalidValue
from drivers.samples import SampleBlock

from .connection import Listener


class BlockStream:
    """An async iterator of a device's blocks. `missing` and `duplicated` count samples, by the indices of the streams.

    A block that was already seen (QoS 1 may deliver twice) is left out and counted.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._next: dict[str, int] = {}
        self.received = 0
        self.missing = 0
        self.duplicated = 0
        self.malformed = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SampleBlock:
        while (block := self.take()) is None:
            await self.arrived()
        return block

    async def arrived(self) -> None:
        """Wait until something has arrived."""
        await self._listener.wait()

    def take(self) -> SampleBlock | None:
        """The next block if one has arrived. What is no block (someone else's message) is counted and left out."""
        while (message := self._listener.take()) is not None:
            try:
                block = decode(message.payload)
            except InvalidValue:
                self.malformed += 1
                continue
            if self._is_new(block):
                return block
        return None

    def _is_new(self, block: SampleBlock) -> bool:
        expected = self._next.get(block.stream, block.first_index)
        if len(block) and block.next_index <= expected:
            self.duplicated += len(block)
            return False
        self.missing += max(0, block.first_index - expected)
        self.duplicated += max(0, expected - block.first_index)
        self.received += len(block) - max(0, expected - block.first_index)
        self._next[block.stream] = max(expected, block.next_index)
        return True
