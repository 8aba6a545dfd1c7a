"""The client's MQTT connection: it comes back when it is lost, and hands each message to those who listen to its topic.

What is published while the connection is away does not arrive later: retained messages do, samples do not. A stream of
samples shows the gap by its indices.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

from bridge.transfer.aiomqtt_session import connect
from bridge.transfer.mqtt import BrokerAddress, Connect, Incoming, Message, Session
from drivers.errors import BridgeUnreachable, PicobridgeError

LOG = logging.getLogger("picobridge.client")

#: A listener that is this many messages behind loses the newest ones, counted; samples show it as a gap in the indices.
QUEUE_LIMIT = 4096
_BACK_OFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Listener:
    """Messages of some topics, in the order in which they came. `dropped` counts what a slow reader lost."""

    def __init__(self, filters: tuple[str, ...], replay: bool) -> None:
        self.filters = filters
        self.wants_retained = replay
        self.dropped = 0
        self._queue: deque[Incoming] = deque()
        self._arrived = asyncio.Event()

    def offer(self, message: Incoming) -> None:
        if message.retain and not self.wants_retained:
            return
        if len(self._queue) < QUEUE_LIMIT:
            self._queue.append(message)
            self._arrived.set()
            return
        self.dropped += 1
        if self.dropped == 1:
            LOG.warning("the reader of %s is too slow: messages are lost", ", ".join(self.filters))

    def take(self) -> Incoming | None:
        """The next message if one has arrived."""
        return self._queue.popleft() if self._queue else None

    async def wait(self) -> None:
        """Until a message is there."""
        while not self._queue:
            self._arrived.clear()
            await self._arrived.wait()


class Connection:
    """`async with Connection(address, identifier) as connection`. Raises `BridgeUnreachable` if there is no broker."""

    def __init__(self, address: BrokerAddress, identifier: str, open_session: Connect = connect) -> None:
        self.address = address
        self._identifier = identifier
        self._open_session = open_session
        self._listeners: list[Listener] = []
        self._filters: dict[str, int] = {}
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None
        #: called after each reconnection
        self.reconnected: list[Callable[[], None]] = []

    async def __aenter__(self) -> Self:
        first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._keep_connected(first), name="picobridge-client")
        try:
            await first
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    @property
    def shares(self) -> bool:
        """Whether the broker is known to divide what comes on a shared subscription among its subscribers."""
        return self._session is not None and self._session.shares

    @contextlib.asynccontextmanager
    async def listen(self, *filters: str, retained: bool = True) -> AsyncIterator[Listener]:
        """Messages of `filters` until left; what the broker retains first, unless `retained` is false."""
        listener = Listener(filters, retained)
        self._listeners.append(listener)
        try:
            for topic_filter in filters:
                await self._subscribe(topic_filter)
            yield listener
        finally:
            self._listeners.remove(listener)
            for topic_filter in filters:
                await self._unsubscribe(topic_filter)

    async def publish(self, message: Message) -> None:
        """Until acknowledged. Raises `Refused`, and `BridgeUnreachable` if the connection is or goes away."""
        if self._session is None:
            raise BridgeUnreachable(f"the connection to {self.address} is lost")
        acknowledged = self._session.send(message)
        if acknowledged is not None:
            await acknowledged

    async def _subscribe(self, topic_filter: str) -> None:
        users = self._filters.get(topic_filter, 0)
        self._filters[topic_filter] = users + 1
        # a filter that is in use is subscribed again, so that the newcomer gets what is retained
        if self._session is not None:
            await self._session.subscribe(topic_filter)

    async def _unsubscribe(self, topic_filter: str) -> None:
        self._filters[topic_filter] -= 1
        if self._filters[topic_filter]:
            return
        del self._filters[topic_filter]
        if self._session is not None:
            with contextlib.suppress(PicobridgeError):  # gone with the connection is as good
                await self._session.unsubscribe(topic_filter)

    def _dispatch(self, message: Incoming) -> None:
        for listener in self._listeners:
            if any(matches(topic_filter, message.topic) for topic_filter in listener.filters):
                listener.offer(message)

    async def _keep_connected(self, first: asyncio.Future[None]) -> None:
        failures = 0
        while True:
            try:
                async with self._open_session(
                    self.address, identifier=self._identifier, on_message=self._dispatch
                ) as session:
                    for topic_filter in list(self._filters):
                        await session.subscribe(topic_filter)
                    self._session = session
                    failures = 0
                    if first.done():
                        LOG.info("connected to %s again", self.address)
                        for call in list(self.reconnected):
                            call()
                    else:
                        first.set_result(None)
                    reason = await asyncio.shield(session.lost)
                    LOG.warning("connection to %s lost: %s", self.address, reason)
            except PicobridgeError as error:
                if not first.done():
                    first.set_exception(error)
                    return
                LOG.debug("no connection to %s: %s", self.address, error)
            finally:
                self._session = None
            await asyncio.sleep(_BACK_OFF_S[min(failures, len(_BACK_OFF_S) - 1)])
            failures += 1

    async def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task


def matches(topic_filter: str, topic: str) -> bool:
    """Whether an MQTT topic filter (with + and #, shared or not) matches a topic."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if wanted[0] == "$share":
        del wanted[:2]
    for position, level in enumerate(wanted):
        if level == "#":
            return True
        if position >= len(levels) or level not in ("+", levels[position]):
            return False
    return len(wanted) == len(levels)
