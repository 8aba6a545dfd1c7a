"""A range of one stream once more, out of the spool: read piece by piece, sent behind what is new."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from . import codec

#: So much is in memory of one replay, about.
AHEAD_BYTES = 1_000_000

#: Blocks as they lie in the spool: first index, next index, payload.
Stored = tuple[int, int, bytes]


@dataclass(frozen=True, slots=True)
class Piece:
    """One message of a replay."""

    first_index: int
    next_index: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of it: sent up to `next_index` (exclusive), without the ranges that the spool does not have."""

    next_index: int
    messages: int
    missing: tuple[tuple[int, int], ...]


class Replay:
    """A `Source` of an `Uplink`. `read(first_index, limit_bytes)` gives blocks of the stream from there on, none if
    there are no more.

    Blocks are sent whole: the first and the last may reach beyond the range asked for.
    """

    def __init__(
        self,
        read: Callable[[int, int], Awaitable[Sequence[Stored]]],
        wake: Callable[[], None],
        first_index: int,
        next_index: int,
        limit_bytes: int,
    ) -> None:
        self._read = read
        self._wake = wake
        self._first = first_index
        self._end = next_index
        self._limit_bytes = limit_bytes
        self._pieces: deque[Piece] = deque()
        self._bytes = 0
        self._in_flight = 0
        self._moved = asyncio.Event()

    @property
    def waiting(self) -> bool:
        """See `Source`."""
        return bool(self._pieces)

    @property
    def idle(self) -> bool:
        """See `Source`."""
        return not self._pieces and not self._in_flight

    def next(self, payload_limit: int) -> Piece | None:
        """See `Source`."""
        if not self._pieces:
            return None
        piece = self._pieces.popleft()
        self._bytes -= len(piece.payload)
        if len(piece.payload) > payload_limit:
            self._put_back(_cut(piece, payload_limit))
            piece = self._pieces.popleft()
            self._bytes -= len(piece.payload)
        self._in_flight += 1
        return piece

    def acknowledged(self, parcel: Piece) -> None:
        """See `Source`."""
        self._in_flight -= 1
        self._moved.set()

    def lost(self, parcels: list[Piece]) -> None:
        """See `Source`."""
        self._in_flight -= len(parcels)
        self._put_back(parcels)

    async def run(self) -> Replayed:
        """Until a broker has acknowledged all of it, or `limit_bytes` of it."""
        position, sent, messages, ended = self._first, 0, 0, False
        missing: list[tuple[int, int]] = []
        while position < self._end and sent < self._limit_bytes:
            stored = await self._read(position, min(AHEAD_BYTES, self._limit_bytes - sent))
            if not stored:
                missing.append((position, self._end))
                position = self._end
                break
            for first, after, payload in stored:
                if first > self._end or (first == self._end and after > first):
                    missing += [(position, self._end)] if position < self._end else []
                    position = self._end
                    break
                if first > position:
                    missing.append((position, first))
                self._put(Piece(first, after, payload))
                position, sent, messages = after, sent + len(payload), messages + 1
                ended = first == after == self._end
            self._wake()
            while self._bytes > AHEAD_BYTES:
                await self._progress()
        if position == self._end and not ended:
            await self._send_end()
        while not self.idle:
            await self._progress()
        return Replayed(min(position, self._end), messages, tuple(missing))

    async def _send_end(self) -> None:
        """The end of a technique may be a block without samples, right behind the range."""
        for first, after, payload in await self._read(self._end, 1):
            if first == after == self._end:
                self._put(Piece(first, after, payload))
                self._wake()

    async def _progress(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    def _put(self, piece: Piece) -> None:
        self._pieces.append(piece)
        self._bytes += len(piece.payload)

    def _put_back(self, pieces: Sequence[Piece]) -> None:
        self._pieces.extendleft(reversed(pieces))
        self._bytes += sum(len(piece.payload) for piece in pieces)


def _cut(piece: Piece, payload_limit: int) -> list[Piece]:
    """The same samples in messages that the broker takes."""
    block = codec.decode(piece.payload)
    header = codec.Header(block)
    capacity = max(1, (payload_limit - header.size) // codec.bytes_per_sample(block))
    parts = [codec.part(block, start, start + capacity) for start in range(0, max(1, len(block)), capacity)]
    return [Piece(part.first_index, part.next_index, header.encode(part)) for part in parts]
