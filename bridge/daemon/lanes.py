"""The two connections that requests come by: one for all, and one for stops only, which so wait behind nothing.

A stop comes by both. Whichever brings it first has it executed.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Hashable

from bridge.access.permissions import STOPS
from bridge.transfer.mqtt import BrokerAddress, Connect, Incoming
from bridge.transfer.topics import Topics
from bridge.transfer.uplink import Uplink

#: The slower connection brings it so much later at most; what comes later is a message of its own.
WITHIN_S = 10.0
_REMEMBERED = 256


def request_filters(topics: Topics, users: bool) -> list[str]:
    """Of the connection for all. A user's requests are on topics of its own where the broker proves users; a stop may
    come without."""
    return [topics.request("+", "+"), *map(topics.request, STOPS)] if users else [topics.request("+")]


def stop_filters(topics: Topics, users: bool) -> list[str]:
    """Of the connection for stops."""
    return [*map(topics.request, STOPS), *(topics.request(stop, "+") for stop in STOPS if users)]


def stop_lane(
    address: BrokerAddress,
    connect: Connect,
    identifier: str,
    topics: Topics,
    users: bool,
    on_message: Callable[[Incoming], None],
    changed: Callable[[str | None], None],
    backoff_s: tuple[float, float],
) -> Uplink:
    """The connection for stops. That there is none is said by the other one."""
    return Uplink(
        address,
        connect,
        identifier=f"{identifier}-stops",
        will=None,
        subscriptions=stop_filters(topics, users),
        on_message=on_message,
        changed=changed,
        backoff_s=backoff_s,
        level=logging.DEBUG,
    )


class Doubles:
    """A message counts as a double only if the other connection brought it, once, a moment ago. `clock` is
    monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._brought: deque[tuple[Hashable, str, float]] = deque(maxlen=_REMEMBERED)

    def forget(self) -> None:
        """When a connection comes or goes, and may have missed one: what both bring is then executed twice, which is
        better than not at all."""
        self._brought.clear()

    def brought_before(self, message: Hashable, lane: str) -> bool:
        """Whether another connection than `lane` brought `message`; each one that it brought answers for one."""
        now = self._clock()
        while self._brought and now - self._brought[0][2] > WITHIN_S:
            self._brought.popleft()
        for earlier in self._brought:
            if earlier[0] == message and earlier[1] != lane:
                self._brought.remove(earlier)
                return True
        self._brought.append((message, lane, now))
        return False
