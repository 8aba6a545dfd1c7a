"""The blocks of a bridge that fall to one member of a group of recorders.

The broker gives each block to one member of the group. What reaches no disk (a member died, the broker dropped it, it
was measured before there was a group) is found by the daemon, to which each member says what it has: it gives a member
the ranges to ask for again. See `bridge.daemon.recorder_groups`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Self

from bridge.transfer import codec
from bridge.transfer.ranges import Range, Ranges
from drivers.errors import InvalidValue, PicobridgeError
from drivers.samples import SampleBlock

from .complete import AGAIN_S, Ask
from .connection import Listener

#: So many ranges are told in one request, which so stays below its limit.
_TOLD_AT_ONCE = 1500


class SharedStream:
    """An async iterator of blocks, in no particular order. Those that this member has had are left out.

    `received`, `duplicated` and `replayed` count samples of this member, `missing` those that the daemon has no longer.
    """

    def __init__(self, listener: Listener, ask: Ask, group: str, member: str) -> None:
        self.received = self.missing = self.duplicated = self.replayed = self.malformed = 0
        self._listener = listener
        self._ask = ask
        self._group = group
        self._member = member
        self._daemon = ""
        #: what the whole group has
        self._cursors: dict[str, int] = {}
        #: beyond that: what was handed on here, what of it is on disk here, and what of that was not told yet
        self._had: dict[str, Ranges] = {}
        self._kept: dict[str, Ranges] = {}
        self._untold: dict[str, Ranges] = {}
        self._gone: dict[str, Ranges] = {}
        self._fetching: set[asyncio.Task[None]] = set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SampleBlock:
        while (block := self.take()) is None:
            await self._listener.wait()
        return block

    def take(self) -> SampleBlock | None:
        """The next block if one has arrived."""
        while (message := self._listener.take()) is not None:
            try:
                block = codec.decode(message.payload)
            except InvalidValue:
                self.malformed += 1
                continue
            if self._is_new(block):
                self.replayed += len(block) if message.topic == self._listener.filters[1] else 0
                return block
        return None

    def handed_on(self) -> dict[str, list[Range]]:
        """What has been handed on so far, beyond what the whole group has: for `recorded`, once it is on disk."""
        beyond = {}
        for stream, had in self._had.items():
            cursor = self._cursors.get(stream, 0)
            beyond[stream] = [(max(begin, cursor), end) for begin, end in had if end > cursor]
        return beyond

    async def recorded(self, ranges: Mapping[str, Iterable[Range]]) -> None:
        """These are on this member's disk: the daemon is told, and may give us something to ask for.

        Raises what the daemon answers; what it has not taken is told again next time.
        """
        for stream, each in ranges.items():
            for begin, end in each:
                kept = self._kept.setdefault(stream, Ranges())
                for first, after in list(kept.missing(begin, end)):
                    self._untold.setdefault(stream, Ranges()).add(first, after)
                    kept.add(first, after)
        while await self._tell():
            pass

    async def close(self) -> None:
        """End what is under way."""
        for task in self._fetching:
            task.cancel()
        await asyncio.gather(*self._fetching, return_exceptions=True)

    def _is_new(self, block: SampleBlock) -> bool:
        had = self._had.setdefault(block.stream, Ranges([(0, self._cursors.get(block.stream, 0))]))
        old = had.count_in(block.first_index, block.next_index)
        self.duplicated += old
        self.received += len(block) - old
        had.add(block.first_index, block.next_index)
        return old < len(block) or not len(block)

    async def _tell(self) -> bool:
        """Whether there is more to tell."""
        kept, more = _some(self._untold)
        gone, _ = _some(self._gone)
        asked = {"group": self._group, "member": self._member, "kept": kept, "gone": gone}
        answer = await self._ask("group_recorded", asked)
        _without(self._untold, kept)
        _without(self._gone, gone)
        self._cursors = {stream: int(index) for stream, index in answer["recorded"].items()}
        for stream, index in self._cursors.items():
            for ranges in (self._kept, self._had):
                if stream in ranges:
                    ranges[stream].remove_before(index)
                    if ranges is self._had:
                        ranges[stream].add(0, index)
        if self._daemon not in ("", answer["daemon"]):  # another one: it has forgotten what is beyond the cursors
            self._untold = {stream: Ranges(kept) for stream, kept in self._kept.items()}
            more = bool(self._untold)
        self._daemon = answer["daemon"]
        if answer["fetch"]:
            task = asyncio.create_task(self._fetch(answer["fetch"]), name="picobridge fetch")
            self._fetching.add(task)
            task.add_done_callback(self._fetching.discard)
        return more

    async def _fetch(self, ranges: Iterable[Mapping[str, Any]]) -> None:
        """Ask for each once; what does not come is given to somebody again."""
        for each in ranges:
            stream, first, end = str(each["stream"]), int(each["first_index"]), int(each["next_index"])
            while first < end:
                try:
                    answer = await self._ask("replay", {"stream": stream, "first_index": first, "next_index": end})
                except InvalidValue:  # deleted meanwhile
                    break
                except PicobridgeError:
                    await asyncio.sleep(AGAIN_S)
                    break
                for begin, after in answer["missing"]:
                    self.missing += min(after, end) - begin
                    self._gone.setdefault(stream, Ranges()).add(begin, min(after, end))
                first = max(int(answer["next_index"]), first + 1)


def _some(ranges: Mapping[str, Ranges]) -> tuple[dict[str, list[list[int]]], bool]:
    """As many as one request takes, and whether there are more."""
    taken: dict[str, list[list[int]]] = {}
    left = _TOLD_AT_ONCE
    for stream, each in ranges.items():
        if len(each) and left > 0:
            taken[stream] = [list(pair) for pair in each][:left]
            left -= len(taken[stream])
    return taken, sum(map(len, ranges.values())) > _TOLD_AT_ONCE


def _without(ranges: dict[str, Ranges], told: Mapping[str, list[list[int]]]) -> None:
    for stream, pairs in told.items():
        ranges[stream] = Ranges(list(ranges[stream])[len(pairs) :])
        if not ranges[stream]:
            del ranges[stream]
