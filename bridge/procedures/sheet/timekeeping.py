"""One time for many devices: whose turn it is, and how long each has worked.

Every device has a clock (`Device.clock`). On hardware it is the same one for all. Simulated instruments each have a
timeline of their own, which advances only by what they do and by what their host waits for: while a stage moves, the
potentiostat's time stands still. So the clocks are kept together here: whoever goes on from what another device has
done (a channel from the landing of its head) first waits, by its own clock, until the time at which that was done. On
hardware that wait is over already; in a simulation it is where the device's idle time passes. The sheet's time is then
any device's clock less its reading at the start, and the run has taken what the clock that is farthest ahead says.

Turns are given in the order of that time, not in the order in which tasks happen to run: a request is granted once no
device that is at work could still make an earlier one. On hardware this is always so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from drivers.clock import Clock

#: clocks that differ by more than this are not of one rig: each then counts from its own start
_ONE_RIG_S = 60.0
_SLACK_S = 1e-9


@dataclass(eq=False)
class Resource:
    """Something that works: a head, a channel, the multiplexer. `busy_s` by kind of work."""

    name: str
    clock: Clock
    busy_s: dict[str, float] = field(default_factory=dict)
    origin_s: float = 0.0

    @property
    def now_s(self) -> float:
        """The sheet's time by this device's clock."""
        return self.clock.monotonic() - self.origin_s

    async def wait_until(self, time_s: float) -> None:
        """By its own clock; over at once if it is that late already."""
        left = time_s - self.now_s
        if left > _SLACK_S:
            await self.clock.sleep(left)

    @contextmanager
    def working(self, kind: str) -> Iterator[None]:
        began = self.now_s
        try:
            yield
        finally:
            self.busy_s[kind] = self.busy_s.get(kind, 0.0) + self.now_s - began


@dataclass(eq=False)
class _Request:
    resource: Resource
    ready_s: float
    number: int
    route: str
    granted: asyncio.Future[float]


class Timekeeper:
    """Who is at work, and since when. All resources of a run share one."""

    def __init__(self) -> None:
        self._active: dict[Resource, int] = {}
        self._turnstiles: list[Turnstile] = []
        self._reaching: list[_Request] = []
        self._numbers = 0

    async def start(self, resources: list[Resource]) -> None:
        """Time zero: the latest of the clocks; the others wait for it, if they are of one rig."""
        readings = [resource.clock.monotonic() for resource in resources]
        latest = max(readings)
        together = latest - min(readings) < _ONE_RIG_S
        for resource, reading in zip(resources, readings, strict=True):
            resource.origin_s = latest if together else reading
        if together:
            for resource in resources:
                await resource.wait_until(0.0)

    def enter(self, resource: Resource) -> None:
        """`resource` is at work from now on and may ask for a turn."""
        self._active[resource] = self._active.get(resource, 0) + 1

    def leave(self, resource: Resource) -> None:
        self._active[resource] -= 1
        if not self._active[resource]:
            del self._active[resource]
        self.look()

    async def reached(self, resource: Resource, time_s: float) -> None:
        """Until nobody at work is behind `time_s`: what others have done by then can be seen."""
        request = self.request(resource, time_s, "")
        self._reaching.append(request)
        self.leave(resource)
        await self.granted(request, self._reaching)

    def add(self, turnstile: Turnstile) -> None:
        self._turnstiles.append(turnstile)

    def look(self) -> None:
        """Grant what can be granted, the earliest first."""
        for request in [r for r in self._reaching if self._may(r.ready_s)]:
            self._reaching.remove(request)
            self._grant(request, request.ready_s)
        while (found := self._earliest()) is not None:
            turnstile, request = found
            starts_s = turnstile.starts_s(request)
            turnstile.take(request)
            self._grant(request, starts_s)

    def _earliest(self) -> tuple[Turnstile, _Request] | None:
        """Whose turn it is, if it can be granted now."""
        waiting = [(t, r) for t in self._turnstiles if (r := t.next) is not None and t.admits(r)]
        for turnstile, request in sorted(waiting, key=lambda pair: (pair[0].starts_s(pair[1]), pair[1].number)):
            if self._may(turnstile.starts_s(request)):
                return turnstile, request
        return None

    def _may(self, time_s: float) -> bool:
        return all(resource.now_s >= time_s - _SLACK_S for resource in self._active)

    def _grant(self, request: _Request, time_s: float) -> None:
        self.enter(request.resource)
        request.granted.set_result(time_s)

    def request(self, resource: Resource, ready_s: float, route: str) -> _Request:
        self._numbers += 1
        return _Request(resource, ready_s, self._numbers, route, asyncio.get_running_loop().create_future())

    async def granted(self, request: _Request, queue: list[_Request]) -> float:
        try:
            return await request.granted
        except asyncio.CancelledError:
            if request in queue:
                queue.remove(request)
                self.enter(request.resource)  # as it was when it asked
            raise


class Turnstile:
    """What one may have at a time; with routes: several, as long as all want the same one.

    `acquire` gives the time from which on it is theirs; whoever is granted is at work again. With a route, the one for
    whom it has to be switched finds `switching` set, switches, and calls `switched`.
    """

    def __init__(self, keeper: Timekeeper) -> None:
        self.route = ""
        #: while the route is being switched nobody is let in
        self.switching = False
        self._users = 0
        self._closed_s = 0.0
        self._idle_s = 0.0
        self._keeper = keeper
        self._queue: list[_Request] = []
        keeper.add(self)

    @property
    def next(self) -> _Request | None:
        """The earliest request: nobody passes it."""
        return min(self._queue, key=lambda r: (r.ready_s, r.number), default=None)

    def starts_s(self, request: _Request) -> float:
        """When it could begin, as things are."""
        return max(request.ready_s, self._closed_s if self._joins(request) else self._idle_s)

    def admits(self, request: _Request) -> bool:
        return not self.switching and (not self._users or self._joins(request))

    def take(self, request: _Request) -> None:
        self._queue.remove(request)
        self.switching = bool(request.route) and request.route != self.route
        self.route = request.route
        self._users += 1

    async def acquire(self, resource: Resource, ready_s: float, route: str = "") -> float:
        request = self._keeper.request(resource, ready_s, route)
        self._queue.append(request)
        self._keeper.leave(resource)
        return await self._keeper.granted(request, self._queue)

    def switched(self, time_s: float) -> None:
        """The route is closed since `time_s`: others that want it may come."""
        self.switching = False
        self._closed_s = time_s
        self._keeper.look()

    def release(self, time_s: float) -> None:
        self._users -= 1
        self._idle_s = max(self._idle_s, time_s)
        self._keeper.look()

    def _joins(self, request: _Request) -> bool:
        return bool(request.route) and request.route == self.route
