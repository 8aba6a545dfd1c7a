"""Recorders that share the load: what each has on its disk, what all of them have, who asks for what none has.

The members of a group share one subscription to the samples, so a block comes to one of them, and a broker loses what
it has given to a member that dies. Each member tells here which samples it has on disk. What the group has without a
gap is acknowledged in the group's name, as if it were one recorder: only that may be deleted. What none has told of a
while after it was measured is given to one of them to ask for again.

Nothing but the acknowledgement is kept over a restart of the daemon: members then tell everything again that is beyond
it. A sample that two members have is no harm, it is left out when their folders are merged.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from bridge.access.caller import CALLER, is_of
from bridge.store.cursor_table import CursorTable
from bridge.transfer.ranges import Range, Ranges
from bridge.transfer.topics import checked_name
from drivers.errors import InvalidValue, Refused

from .params import accept

Handler = Callable[[Mapping[str, Any]], Awaitable[Any]]

#: A sample that no member has told of so long after it was measured is asked for again.
GRACE_S = 5.0
#: What a member was given to ask for is given to another if it has not come by then.
GIVEN_S = 30.0
#: So many samples are given to a member at a time, in so many ranges.
GIVEN_SAMPLES = 200_000
GIVEN_RANGES = 16


@dataclass(frozen=True, slots=True)
class Extent:
    """What there is of a stream: from `first_index` up to `next_index`, without what is `missing` for ever."""

    first_index: int
    next_index: int
    missing: tuple[Range, ...] = ()


class HasStreams(Protocol):
    def extents(self) -> Mapping[str, Extent]:
        """By stream."""


@dataclass(frozen=True, slots=True)
class _Given:
    begin: int
    end: int
    until_s: float


@dataclass(slots=True)
class _Shared:
    """Of one stream and one group. `cursor` is what it has without a gap, `kept` lies beyond it, and `acknowledged` is
    what of it is on the daemon's disk."""

    cursor: int
    acknowledged: int
    kept: Ranges = field(default_factory=Ranges)
    given: list[_Given] = field(default_factory=list)
    #: (monotonic time, next index) at some moments
    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def advance(self, extent: Extent) -> bool:
        """Whether there is more to acknowledge now."""
        covered = Ranges([(0, extent.first_index), *extent.missing, *self.kept])
        self.cursor = covered.end_of(self.cursor)
        self.kept.remove_before(self.cursor)
        return self.cursor > self.acknowledged

    def due(self, extent: Extent, now_s: float) -> Iterable[Range]:
        """What should have been told of by now, and was not, and is nobody's to ask for."""
        if not self.seen or now_s - self.seen[-1][0] > GRACE_S / 4:
            self.seen.append((now_s, extent.next_index))
        settled = 0
        while self.seen and now_s - self.seen[0][0] >= GRACE_S:
            settled = self.seen[0][1]
            if len(self.seen) > 1 and now_s - self.seen[1][0] >= GRACE_S:
                self.seen.popleft()
            else:
                break
        self.given = [given for given in self.given if given.until_s > now_s and given.end > self.cursor]
        taken = Ranges([*extent.missing, *self.kept, *((given.begin, given.end) for given in self.given)])
        return taken.missing(max(self.cursor, extent.first_index), settled)


class RecorderGroups:
    """`handlers` are the methods of requests. `clock` is monotonic."""

    def __init__(self, streams: HasStreams, cursors: CursorTable, clock: Callable[[], float] = time.monotonic) -> None:
        self._streams = streams
        self._cursors = cursors
        self._clock = clock
        self._id = secrets.token_hex(8)
        self._groups: dict[str, dict[str, _Shared]] = {}
        self.handlers: Mapping[str, Handler] = {"group_recorded": self._recorded}

    async def _recorded(self, params: Mapping[str, Any]) -> Any:
        """What a member has on its disk; answered with what the group has, and what the member is to ask for."""
        accept(params, "group", "member", "kept", "gone")
        group = checked_name(params.get("group"), "group")
        checked_name(params.get("member"), "member")
        told = {key: _ranges_of(params, key) for key in ("kept", "gone")}
        caller = CALLER.get()
        if caller.user and not is_of(caller.user, group):
            raise Refused(
                f"{caller.user} may not say what {group} has recorded",
                hint=f"Call the group {caller.user}, or {caller.user}-something.",
            )
        extents = self._streams.extents()
        shared = await self._shared(group, extents)
        for ranges in told.values():
            for stream, pairs in ranges.items():
                for begin, end in pairs if stream in shared else ():  # nobody has more of a stream than there is
                    shared[stream].kept.add(begin, min(end, extents[stream].next_index))
        higher = {stream: one.cursor for stream, one in shared.items() if one.advance(extents[stream])}
        if higher:
            await self._cursors.acknowledge_all(group, higher, at_ns=time.time_ns())
            for stream, index in higher.items():
                shared[stream].acknowledged = max(shared[stream].acknowledged, index)
        return {
            "daemon": self._id,
            "recorded": {stream: one.acknowledged for stream, one in shared.items()},
            "fetch": self._give(shared, extents),
        }

    async def _shared(self, group: str, extents: Mapping[str, Extent]) -> dict[str, _Shared]:
        known = self._groups.setdefault(group, {})
        if new := extents.keys() - known.keys():
            cursors = {one.stream: one.next_index for one in await self._cursors.all() if one.recorder == group}
            for stream in new:
                begun = cursors.get(stream, 0)
                known.setdefault(stream, _Shared(begun, begun))
        for stream in known.keys() - extents.keys():
            del known[stream]
        return known

    def _give(self, shared: Mapping[str, _Shared], extents: Mapping[str, Extent]) -> list[dict[str, Any]]:
        """What the asker is to ask for again."""
        now_s, left, fetch = self._clock(), GIVEN_SAMPLES, list[dict[str, Any]]()
        for stream, one in shared.items():
            for begin, due in list(one.due(extents[stream], now_s)):
                if left <= 0 or len(fetch) >= GIVEN_RANGES:
                    break
                end = min(due, begin + left)
                left -= end - begin
                one.given.append(_Given(begin, end, now_s + GIVEN_S))
                fetch.append({"stream": stream, "first_index": begin, "next_index": end})
        return fetch


def _ranges_of(params: Mapping[str, Any], key: str) -> dict[str, list[Range]]:
    ranges = params.get(key, {})
    if not isinstance(ranges, dict):
        raise InvalidValue(f"{key} is {ranges!r:.100}; accepted: an object of lists of ranges by stream")
    return {stream: [_range(key, pair) for pair in _list(key, pairs)] for stream, pairs in ranges.items()}


def _list(key: str, pairs: Any) -> list[Any]:
    if not isinstance(pairs, list):
        raise InvalidValue(f"{key} has {pairs!r:.100}; accepted: a list of ranges")
    return pairs


def _range(key: str, pair: Any) -> Range:
    if isinstance(pair, list) and len(pair) == 2:
        begin, end = pair
        if type(begin) is int and type(end) is int and 0 <= begin < end:
            return begin, end
    raise InvalidValue(f"{key} has {pair!r:.100}; accepted: [index, index behind the last one]")
