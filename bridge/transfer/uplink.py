"""One connection to the broker, kept for ever, and everything that goes out over it, in order.

What waits is sent in this order: replies and events, retained topics that changed, samples, samples of the past that
somebody asked for again; while there are always new samples, each `_REPLAY_EVERY`th message of samples is one of the
past. At most `window` messages are unacknowledged. When the connection is lost, what was not acknowledged goes first
on the next one (so a message may arrive twice, but none is missing and none overtakes another on its topic), and every
retained topic is published again, because the broker may have forgotten it.

Nothing here waits: whoever has something to send has it on the socket when the call returns, if the window has room.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from drivers.errors import BridgeUnreachable, PicobridgeError, Refused

from .mqtt import BrokerAddress, Connect, Incoming, Message, Session
from .pump import PAYLOAD_LIMIT

LOG = logging.getLogger("picobridge.uplink")

#: Connections lost in a row with the same longest message unacknowledged, after which it is taken to be the reason.
_STRIKES = 4
#: What replies and events may take while there is no broker; beyond it the oldest are dropped and counted.
OUTBOX_LIMIT = 16 * 1024 * 1024
#: Messages of this length are never taken to be too long.
_LIMIT_MIN = 1024
#: Bytes of an MQTT PUBLISH beside topic and payload, at most.
_PACKET_OVERHEAD = 128


#: See above.
_REPLAY_EVERY = 4


class Parcel(Protocol):
    """What a source hands out: one message, and whatever the source wants to know it by."""

    @property
    def payload(self) -> bytes: ...


class Source(Protocol):
    """Encoded samples that wait: a `SamplePump`, a `Replay`."""

    @property
    def waiting(self) -> bool:
        """Whether something waits to be sent."""

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is unacknowledged."""

    def next(self, payload_limit: int) -> Parcel | None:
        """The next message, which is then in flight."""

    def acknowledged(self, parcel: Any) -> None: ...

    def lost(self, parcels: list[Any]) -> None:
        """Not acknowledged when the connection was lost: to be sent again, in this order."""


@dataclass(frozen=True, slots=True, eq=False)
class _InFlight:
    message: Message
    source: Source | None = None
    parcel: Parcel | None = None
    retained: bool = False


class Uplink:
    """`will` is the last will; `on_message` gets what arrives on `subscriptions`; `changed` is called when the
    connection comes (with None) and goes (with the reason). `admit` gets each new connection before anything is
    subscribed to or sent on it; what it raises ends it. `level` is that of the log when there is none."""

    def __init__(
        self,
        address: BrokerAddress,
        connect: Connect,
        *,
        identifier: str,
        will: Message | None,
        subscriptions: Sequence[str] = (),
        on_message: Callable[[Incoming], None] = lambda _: None,
        changed: Callable[[str | None], None] = lambda _: None,
        admit: Callable[[Session], Awaitable[None]] | None = None,
        window: int = 20,
        backoff_s: tuple[float, float] = (0.1, 5.0),
        level: int = logging.WARNING,
    ) -> None:
        self.connected = asyncio.Event()
        #: messages that could not be kept or that the broker does not take, apart from `latest`
        self.dropped = 0
        self._address = address
        self._connect = connect
        self._identifier = identifier
        self._will = will
        self._subscriptions = tuple(subscriptions)
        self._on_message = on_message
        self._changed = changed
        self._admit = admit
        self._leaving_for: asyncio.Future[str] | None = None
        self._window = window
        self._backoff_s = backoff_s
        self._level = level
        self._session: Session | None = None
        self._room = window
        self._packet_limit: int | None = None
        self._learned_limit: int | None = None
        self._outbox: deque[Message] = deque()
        self._outbox_bytes = 0
        self._retained: dict[str, bytes] = {}
        self._dirty: dict[str, None] = {}
        self._latest: dict[str, bytes] = {}
        self._sources: deque[tuple[Source, str]] = deque()
        self._past: deque[tuple[Source, str]] = deque()
        self._leaving: list[Source] = []
        self._since_past = 0
        self._in_flight: deque[_InFlight] = deque()
        self._suspect: Message | None = None
        self._strikes = 0
        self._progress = asyncio.Event()

    # --- what goes out -----------------------------------------------------------------------------------------

    def publish(self, message: Message) -> None:
        """A reply or an event."""
        self._outbox.append(message)
        self._outbox_bytes += len(message.payload)
        while self._outbox_bytes > OUTBOX_LIMIT and len(self._outbox) > 1:
            self._outbox_bytes -= len(self._outbox.popleft().payload)
            self.dropped += 1
        self.wake()

    def retain(self, topic: str, payload: bytes) -> None:
        """State of a topic. An empty payload removes it from the broker."""
        self._retained[topic] = payload
        self._dirty[topic] = None
        if not payload:
            self._latest.pop(topic, None)
        self.wake()

    def latest(self, topic: str, payload: bytes) -> None:
        """Newest value, retained, QoS 0: sent if and when the connection takes it, else replaced by the next one."""
        self._latest[topic] = payload
        self.wake()

    def attach(self, source: Source, topic: str) -> None:
        """Send what waits there, as it comes."""
        self._sources.append((source, topic))

    def detach(self, source: Source) -> None:
        """Send what still waits there, then forget it: nothing comes any more."""
        self._leaving.append(source)
        self._forget_idle()

    def attach_past(self, source: Source, topic: str) -> None:
        """Send what waits there behind what is new, until `detach_past`."""
        self._past.append((source, topic))
        self.wake()

    def detach_past(self, source: Source) -> None:
        self._past = deque((other, topic) for other, topic in self._past if other is not source)

    def _forget_idle(self) -> None:
        if gone := [source for source in self._leaving if source.idle]:
            self._leaving = [source for source in self._leaving if source not in gone]
            self._sources = deque((source, topic) for source, topic in self._sources if source not in gone)

    def wake(self) -> None:
        """Send as much as the window has room for."""
        session = self._session
        if session is None:
            return
        with suppress(BridgeUnreachable):  # `run` notices too, and returns to their owners what is in flight
            while len(self._in_flight) < self._room and (item := self._next()) is not None:
                self._in_flight.append(item)
                future = session.send(item.message)
                if future is not None:
                    future.add_done_callback(partial(self._settled, session, item))
            while self._latest and not session.congested:
                topic = next(iter(self._latest))
                session.send(Message(topic, self._latest.pop(topic), qos=0, retain=True))

    @property
    def version(self) -> str:
        """Of MQTT on the connection, empty while there is none."""
        return self._session.version if self._session is not None else ""

    @property
    def idle(self) -> bool:
        """Whether everything is out and acknowledged."""
        waiting = self._session is None or self._outbox or self._dirty or self._in_flight
        return not waiting and all(source.idle for source, _ in self._sources)

    async def flush(self, timeout_s: float) -> bool:
        """Wait until everything is acknowledged; false if it is not after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.idle:
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            return False
        return True

    def leave(self, reason: str) -> None:
        """End the connection in order (no last will), if there is one; `run` then tries to come back."""
        if self._leaving_for is not None and not self._leaving_for.done():
            self._leaving_for.set_result(reason)

    def move(self, address: BrokerAddress) -> None:
        """Where to connect next time."""
        self._address = address

    # --- the connection ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, and connect again, until cancelled. Cancelling disconnects in order (no last will)."""
        backoff_s, said = self._backoff_s[0], ""
        while True:
            reason = ""
            try:
                async with self._connect(
                    self._address,
                    identifier=self._identifier,
                    on_message=self._on_message,
                    will=self._will,
                    retained=False,
                    window=self._window,
                ) as session:
                    leaving = self._leaving_for = asyncio.get_running_loop().create_future()
                    if self._admit is not None:
                        await self._admit(session)
                    for topic_filter in self._subscriptions:
                        await session.subscribe(topic_filter)
                    self._begin(session)
                    said, backoff_s = "", self._backoff_s[0] if not self._strikes else backoff_s
                    try:
                        ended, _ = await asyncio.wait([session.lost, leaving], return_when=asyncio.FIRST_COMPLETED)
                        reason = ended.pop().result()
                    finally:
                        self._end(reason or "closed")
            except PicobridgeError as error:
                reason = error.message
            if reason != said:
                LOG.log(self._level, "no connection to the broker %s: %s", self._address, reason)
                said = reason
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, self._backoff_s[1])

    def _begin(self, session: Session) -> None:
        LOG.info("connected to the broker %s, MQTT %s", self._address, session.version)
        self._address = replace(self._address, version=session.version)
        self._session = session
        self._room = min(self._window, session.receive_maximum or self._window)
        limits = [limit for limit in (session.max_packet, self._learned_limit) if limit is not None]
        self._packet_limit = min(limits, default=None)
        self._dirty = dict.fromkeys(self._retained)
        self.connected.set()
        self._changed(None)
        self.wake()

    def _end(self, reason: str) -> None:
        self._session = None
        self.connected.clear()
        items, self._in_flight = list(self._in_flight), deque()
        self._strike(items)
        for source, _ in (*self._sources, *self._past):
            source.lost([item.parcel for item in items if item.source is source and item.parcel is not None])
        messages = [item.message for item in items if item.source is None and not item.retained]
        self._outbox.extendleft(reversed(messages))
        self._outbox_bytes += sum(len(message.payload) for message in messages)
        for item in items:
            if item.retained and not item.message.payload:  # a removal, to be done again
                self._retained.setdefault(item.message.topic, b"")
        self._changed(reason)
        self._progress.set()

    def _strike(self, items: Sequence[_InFlight]) -> None:
        """A broker that cannot say how much it takes (MQTT 3.1.1) hangs up on a message that is too long, for ever."""
        longest = max((item.message for item in items), key=lambda message: len(message.payload), default=None)
        if longest is None or longest != self._suspect:
            self._suspect, self._strikes = longest, 0
        if longest is None or len(longest.payload) <= _LIMIT_MIN:
            return
        self._strikes += 1
        if self._strikes >= _STRIKES:
            shorter = max(_LIMIT_MIN, len(longest.payload) // 2)
            LOG.error(
                "the broker hangs up on %d bytes on %s: sending at most %d",
                len(longest.payload),
                longest.topic,
                shorter,
            )
            self._learned_limit = len(longest.topic) + shorter + _PACKET_OVERHEAD
            self._suspect, self._strikes = None, 0

    def _settled(self, session: Session, item: _InFlight, done: asyncio.Future[None]) -> None:
        if self._session is not session:
            return  # the connection is gone, and `_end` has returned the item to its owner
        error = done.exception()
        if isinstance(error, BridgeUnreachable):
            return  # `run` is about to find out
        if isinstance(error, Refused) and not self._is_new(item):
            self._drop(item.message, error.message)
        elif error is not None:
            if not session.lost.done():
                session.lost.set_result(f"{item.message.topic}: {error}")
            return
        self._in_flight.remove(item)
        if item.source is not None and item.parcel is not None:
            item.source.acknowledged(item.parcel)
            if self._leaving:
                self._forget_idle()
        self._progress.set()
        self.wake()

    def _is_new(self, item: _InFlight) -> bool:
        """Whether it is samples that must not be lost; who asked for a replay can ask again."""
        return any(source is item.source for source, _ in self._sources)

    def _next(self) -> _InFlight | None:
        while self._outbox:
            message = self._outbox.popleft()
            self._outbox_bytes -= len(message.payload)
            if self._fits(message):
                return _InFlight(message)
        while self._dirty:
            topic = next(iter(self._dirty))
            del self._dirty[topic]
            payload = self._retained[topic]
            message = Message(topic, payload, retain=True)
            if not payload:
                del self._retained[topic]
            if self._fits(message):
                return _InFlight(message, retained=True)
        if self._past and self._since_past >= _REPLAY_EVERY - 1 and (item := self._next_of(self._past)) is not None:
            self._since_past = 0
            return item
        if (item := self._next_of(self._sources)) is not None:
            self._since_past += 1
            return item
        self._since_past = 0
        return self._next_of(self._past)

    def _next_of(self, sources: deque[tuple[Source, str]]) -> _InFlight | None:
        for _ in range(len(sources)):
            source, topic = sources[0]
            sources.rotate(-1)
            if source.waiting and (parcel := source.next(self._sample_limit(topic))) is not None:
                return _InFlight(Message(topic, parcel.payload), source, parcel)
        return None

    def _sample_limit(self, topic: str) -> int:
        if self._packet_limit is None:
            return PAYLOAD_LIMIT
        return min(PAYLOAD_LIMIT, max(_LIMIT_MIN, self._packet_limit - len(topic) - _PACKET_OVERHEAD))

    def _fits(self, message: Message) -> bool:
        if self._packet_limit is None:
            return True
        size = len(message.topic) + len(message.payload) + _PACKET_OVERHEAD
        if size <= self._packet_limit:
            return True
        self._drop(message, f"the broker takes at most {self._packet_limit} bytes a packet")
        return False

    def _drop(self, message: Message, reason: str) -> None:
        self.dropped += 1
        LOG.error("a message of %d bytes on %s is dropped: %s", len(message.payload), message.topic, reason)
