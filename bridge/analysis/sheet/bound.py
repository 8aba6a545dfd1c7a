"""How fast a sheet can be measured at best: before, from a plan; and afterwards, from what each operation took.

The bound is of the operations as they were (moves, settling, records, switchings, retries included): no order of them
on the same resources can be faster. So the ratio of the time taken to it judges the order alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from drivers.errors import InvalidValue


def plan_s(cells: int, channels: int, move_s: float, ocv_s: float, eis_s: float, settle_s: float = 0.0) -> float:
    """Time of a sheet measured in groups of `channels` with nothing overlapped: the domain note's table, section 6."""
    if cells < 0 or channels < 1:
        raise InvalidValue(f"{cells} cells on {channels} channels; at least one channel is needed")
    return math.ceil(cells / channels) * (move_s + settle_s + ocv_s + eis_s)


@dataclass(slots=True)
class Touchdown:
    """One landing of a head: what it took to get there, and the records made from it by channel (seconds)."""

    head: str
    move_s: float
    settle_s: float
    channel_s: dict[str, float] = field(default_factory=dict)
    #: what of the records needs the shared terminal for itself, and the least that comes before such a record
    terminal_s: float = 0.0
    lead_s: float = 0.0
    #: what of the records was made through each route of the multiplexer
    route_s: dict[str, float] = field(default_factory=dict)

    @property
    def arrival_s(self) -> float:
        return self.move_s + self.settle_s

    @property
    def shortest_s(self) -> float:
        """The least that the head must stay: its busiest channel's records, or what is one at a time for all."""
        alone_s = self.lead_s + self.terminal_s if self.terminal_s else 0.0
        return max([alone_s, *self.channel_s.values()])


@dataclass(frozen=True, slots=True)
class Bound:
    """`seconds` is the largest of `by_resource`; `limited_by` that resource."""

    seconds: float
    limited_by: str
    by_resource: Mapping[str, float]


def lower_bound(touchdowns: Sequence[Touchdown], switching_s: float = 0.0, exclusive_routes: bool = False) -> Bound:
    """The least time in which these touchdowns can be done.

    A head is taken up by all its moves, its settling and, landed, by its busiest channel; a channel by its records; the
    shared terminal by the records that need it alone; the multiplexer by its switchings (`switching_s`, all together)
    and, if it makes one route at a time (`exclusive_routes`), by the longest record on each route of each touchdown.
    What cannot begin before the first landing waits for the shortest one.
    """
    if not touchdowns:
        return Bound(0.0, "", {})
    heads: dict[str, float] = {}
    channels: dict[str, float] = {}
    first: dict[str, float] = {}
    earliest = math.inf
    seen: set[str] = set()
    for touchdown in touchdowns:
        heads[touchdown.head] = heads.get(touchdown.head, 0.0) + touchdown.arrival_s + touchdown.shortest_s
        for channel, seconds in touchdown.channel_s.items():
            channels[channel] = channels.get(channel, 0.0) + seconds
        if touchdown.head not in seen:
            seen.add(touchdown.head)
            earliest = min(earliest, touchdown.arrival_s)
            for channel in touchdown.channel_s:
                first[channel] = min(first.get(channel, math.inf), touchdown.arrival_s)
    found = {f"head {name}": seconds for name, seconds in heads.items()}
    found |= {f"channel {name}": first.get(name, earliest) + seconds for name, seconds in channels.items()}
    terminal = _total(touchdown.terminal_s for touchdown in touchdowns)
    if terminal:
        found["shared terminal"] = earliest + terminal
    if switching_s:
        busy = sum(seconds for t in touchdowns for seconds in t.route_s.values()) if exclusive_routes else 0.0
        found["multiplexer"] = earliest + switching_s + busy
    limited_by = max(found, key=lambda name: found[name])
    return Bound(found[limited_by], limited_by, found)


def _total(seconds: Iterable[float]) -> float:
    return math.fsum(seconds)
