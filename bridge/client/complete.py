"""Every sample of a bridge's streams, in order: what did not arrive is asked for again.

A broker drops what a slow subscriber does not take, a laptop sleeps, a daemon's queue overflows while the broker is
away. The indices of a stream show each gap; the daemon's spool has what is missing, and `replay` brings it.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

from bridge.transfer import codec
from bridge.transfer.mqtt import Incoming
from drivers.errors import InvalidValue, PicobridgeError
from drivers.samples import SampleBlock

from .connection import Listener

Ask = Callable[[str, Mapping[str, Any]], Awaitable[Any]]

#: How often the daemon is asked what there is: the end of a stream has nothing behind it that would show a gap.
CHECK_S = 2.0
#: So long after a refused or unanswered question it is asked again.
AGAIN_S = 1.0
#: Blocks that wait behind a gap take at most so much memory, a stream; more is left to the next replay.
HELD_BYTES = 16_000_000
#: While so many blocks wait to be taken, no more are asked for.
READY_BLOCKS = 256


@dataclass(frozen=True, slots=True)
class _Held:
    """A block that waits behind a gap; `again` if it came by replay."""

    block: SampleBlock
    again: bool

    @property
    def order(self) -> tuple[int, int, int]:
        """The end of a technique may be a block without samples: it stands before what follows it."""
        return self.block.first_index, self.block.next_index, self.block.start_time_ns


@dataclass(slots=True)
class _Stream:
    """`expected` is the index of the next sample to be handed on, `known` that of the next one the daemon will take."""

    expected: int
    known: int
    #: `expected` when it was checked last: samples that are still on their way are not missing
    checked: int = -1
    #: in order, none twice
    held: list[_Held] = field(default_factory=list)
    held_bytes: int = 0
    filling: asyncio.Task[None] | None = None

    @property
    def gap_end(self) -> int:
        """Up to where (exclusive) samples are missing if any are."""
        return self.held[0].block.first_index if self.held else self.known


class CompleteStream:
    """An async iterator of blocks: per stream in order, none twice, none left out that the daemon still has.

    `recorder` is a name under which `recorded` tells the daemon what is kept, so that the next recorder of that name
    goes on where this one ended; without one, streams begin with what is new. `begin` has streams that begin elsewhere.
    `missing` counts samples that the daemon has no longer, `duplicated` those that came twice, `replayed` those that
    came by replay.
    """

    def __init__(
        self,
        listener: Listener,
        own_topic: str,
        ask: Ask,
        recorder: str,
        device: str,
        begin: Mapping[str, int] | None = None,
    ) -> None:
        self.received = self.missing = self.duplicated = self.replayed = self.malformed = 0
        self._listener = listener
        self._own_topic = own_topic
        self._ask = ask
        self._recorder = recorder
        self._device = device
        self._begin = begin or {}
        self._streams: dict[str, _Stream] = {}
        self._ready: deque[SampleBlock] = deque()
        self._filled = asyncio.Event()
        self._taken = asyncio.Event()
        self._checked_s: float | None = None
        self._told: dict[str, int] = {}

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SampleBlock:
        while (block := self.take()) is None:
            await self.arrived()
        return block

    async def start(self) -> None:
        """Ask the daemon which streams there are, and begin each where it is to begin."""
        found = await self._known()
        for name, index in self._begin.items():
            self._stream(name, index)
        if not self._recorder:  # what came before the answer is new, too
            self._take_all()
        for known in found:
            begun = known["recorded"].get(self._recorder) if self._recorder else None
            if begun is None:
                begun = known["first_index"] if self._recorder else known["next_index"]
            self._stream(known["stream"], int(begun)).known = int(known["next_index"])
        self._checked_s = asyncio.get_running_loop().time()
        self._fill_gaps()

    async def close(self) -> None:
        """End what is under way."""
        tasks = [stream.filling for stream in self._streams.values() if stream.filling is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def arrived(self) -> None:
        """Wait until there may be something to take; asks the daemon now and then."""
        waits = [asyncio.ensure_future(self._listener.wait()), asyncio.ensure_future(self._filled.wait())]
        try:
            await asyncio.wait(waits, timeout=self._until_check(), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if not self._until_check():
            await self.check()

    async def check(self, *, at_once: bool = False) -> bool:
        """Ask the daemon what there is, and for what has not come since it was asked last; `at_once`: for what has not
        come by now. False, and nothing more is known, while it does not answer."""
        answered = True
        try:
            known = await self._known()
        except PicobridgeError:
            known, answered = [], False
        for each in known:
            stream = self._stream(each["stream"], int(each["first_index"]))
            stream.known = max(stream.known, int(each["next_index"]))
        self._checked_s = asyncio.get_running_loop().time()
        self._take_all()
        self._fill_gaps(only_stuck=not at_once)
        return answered

    def take(self) -> SampleBlock | None:
        """The next block if there is one."""
        while not self._ready and (message := self._listener.take()) is not None:
            self._take_in(message)
        self._filled.clear()
        self._taken.set()
        return self._ready.popleft() if self._ready else None

    def handed_on(self) -> dict[str, int]:
        """Up to which index (exclusive) each stream has been handed on, for `recorded`."""
        reached = {name: stream.expected for name, stream in self._streams.items()}
        for block in reversed(self._ready):  # what waits to be taken is not handed on yet
            reached[block.stream] = block.first_index
        return reached

    async def recorded(self, reached: Mapping[str, int]) -> None:
        """Tell the daemon that everything before these indices is kept. Nothing is told twice.

        Does nothing for a stream without a recorder's name, nor for one that the daemon has not got: a daemon that is
        killed may have published samples that it had not on disk, of a stream that the next daemon never sees. Raises
        what the daemon answers otherwise.
        """
        if not self._recorder:
            return
        for name, index in reached.items():
            if self._told.get(name) != index:
                with suppress(InvalidValue):
                    await self._ask("recorded", {"recorder": self._recorder, "stream": name, "next_index": index})
                self._told[name] = index

    @property
    def complete(self) -> bool:
        """Whether everything that the daemon is known to have had has been handed on or is known to be gone."""
        return not self._ready and all(stream.expected >= stream.known for stream in self._streams.values())

    # --- putting in order --------------------------------------------------------------------------------------

    def _stream(self, name: str, begin: int) -> _Stream:
        if name not in self._streams:
            self._streams[name] = _Stream(begin, begin)
        return self._streams[name]

    def _take_all(self) -> None:
        """Sort in what has arrived, and keep it for `take`."""
        while (message := self._listener.take()) is not None:
            self._take_in(message)

    def _take_in(self, message: Incoming) -> None:
        try:
            block = codec.decode(message.payload)
        except InvalidValue:
            self.malformed += 1
            return
        again = message.topic == self._own_topic
        # all who follow streams over one connection hear what any of them asked for
        if not again or block.stream in self._streams:
            self._sort_in(block, again=again)

    def _sort_in(self, block: SampleBlock, *, again: bool) -> None:
        stream = self._stream(block.stream, block.first_index)
        stream.known = max(stream.known, block.next_index)
        if block.first_index <= stream.expected:
            self._hand_on(stream, block, again=again)
            self._hand_on_held(stream)
        else:  # in a replay, too: the broker may have dropped what was before it
            self._hold(stream, _Held(block, again))
            self._fill(block.stream, stream)

    def _hold(self, stream: _Stream, held: _Held) -> None:
        place = bisect_left(stream.held, held.order, key=lambda each: each.order)
        if place < len(stream.held) and stream.held[place].order == held.order:
            self.duplicated += len(held.block)
            return
        size = codec.sample_bytes(held.block)
        if stream.held_bytes + size <= HELD_BYTES:
            stream.held.insert(place, held)
            stream.held_bytes += size

    def _hand_on(self, stream: _Stream, block: SampleBlock, *, again: bool) -> None:
        old = min(max(0, stream.expected - block.first_index), len(block))
        self.duplicated += old
        if old == len(block) and (len(block) or block.next_index < stream.expected):
            return
        fresh = codec.part(block, old, len(block)) if old else block
        self.received += len(fresh)
        self.replayed += len(fresh) if again else 0
        stream.expected = block.next_index
        self._ready.append(fresh)

    def _hand_on_held(self, stream: _Stream) -> None:
        count = 0
        while count < len(stream.held) and (held := stream.held[count]).block.first_index <= stream.expected:
            count += 1
            stream.held_bytes -= codec.sample_bytes(held.block)
            self._hand_on(stream, held.block, again=held.again)
        del stream.held[:count]

    def _give_up(self, stream: _Stream, begin: int, after: int) -> None:
        """The daemon has not got `begin` to `after` (exclusive). What has come of it all the same is handed on."""
        while begin <= stream.expected < after:
            index = min(after, stream.held[0].block.first_index) if stream.held else after
            self.missing += index - stream.expected
            stream.expected = index
            self._hand_on_held(stream)

    # --- filling gaps ------------------------------------------------------------------------------------------

    def _fill_gaps(self, *, only_stuck: bool = False) -> None:
        for name, stream in self._streams.items():
            if stream.expected < stream.known and (stream.checked == stream.expected or not only_stuck):
                self._fill(name, stream)
            stream.checked = stream.expected

    def _fill(self, name: str, stream: _Stream) -> None:
        if stream.filling is None or stream.filling.done():
            stream.filling = asyncio.create_task(self._replay(name, stream), name=f"picobridge replay {name}")

    async def _replay(self, name: str, stream: _Stream) -> None:
        """Until nothing of the stream is missing that the daemon has."""
        while stream.expected < (end := stream.gap_end):
            while len(self._ready) >= READY_BLOCKS:
                self._taken.clear()
                await self._taken.wait()
            first = stream.expected
            try:
                answer = await self._ask("replay", {"stream": name, "first_index": first, "next_index": end})
            except InvalidValue:  # not known to this daemon: what is missing will not come
                answer = {"next_index": end, "missing": [[first, end]]}
            except PicobridgeError:
                await asyncio.sleep(AGAIN_S)
                continue
            # its blocks were sent before the answer, so they are in the listener's queue or already sorted in
            self._take_all()
            for begin, after in answer["missing"]:
                self._give_up(stream, begin, min(after, end))
            self._filled.set()
            if stream.expected == first and stream.gap_end >= end:
                await asyncio.sleep(AGAIN_S)  # nothing came: the connection was away, or the broker dropped all of it

    async def _known(self) -> list[dict[str, Any]]:
        known: list[dict[str, Any]] = await self._ask("streams", {})
        return [each for each in known if self._device in ("+", each["device"])]

    def _until_check(self) -> float:
        if self._checked_s is None:
            return 0.0
        return max(0.0, self._checked_s + CHECK_S - asyncio.get_running_loop().time())


@asynccontextmanager
async def complete_stream(
    listener: Listener, own_topic: str, ask: Ask, recorder: str, device: str, begin: Mapping[str, int] | None = None
) -> AsyncIterator[CompleteStream]:
    """`listener` hears the samples of `device` ("+": all) and, on `own_topic`, what is replayed to us."""
    stream = CompleteStream(listener, own_topic, ask, recorder, device, begin)
    try:
        await stream.start()
        yield stream
    finally:
        await stream.close()
