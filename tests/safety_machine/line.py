"""Stands where the broker is: hands requests to a daemon, and takes what it publishes, all at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from bridge.transfer.mqtt import BrokerAddress, Incoming, Message, Session


class _Session:
    """Acknowledges everything at once."""

    version = "5"
    max_packet = None
    receive_maximum = None
    congested = False

    def __init__(self, on_reply: Callable[[Any], None], reply_to: str, on_message: Callable[[Incoming], None]) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._on_reply = on_reply
        self._reply_to = reply_to
        self._on_message = on_message

    def send(self, message: Message) -> asyncio.Future[None] | None:
        if message.topic == self._reply_to:
            self._on_reply(json.loads(message.payload))
        if message.topic.endswith("/claim"):
            self._on_message(Incoming(message.topic, message.payload))
        if not message.qos:
            return None
        acknowledged = asyncio.get_running_loop().create_future()
        acknowledged.set_result(None)
        return acknowledged

    async def subscribe(self, topic_filter: str, qos: int = 1, *, retained: bool | None = None) -> None: ...

    async def unsubscribe(self, topic_filter: str) -> None: ...


class Line:
    """The `Connect` of one daemon. `on_reply` gets each reply on `reply_to`."""

    address = BrokerAddress("127.0.0.1", 1)

    def __init__(self, on_reply: Callable[[Any], None], reply_to: str) -> None:
        self._on_reply = on_reply
        self._reply_to = reply_to
        self._deliver: Callable[[Incoming], None] = lambda incoming: None

    def request(self, topic: str, payload: bytes) -> None:
        self._deliver(Incoming(topic, payload))

    @asynccontextmanager
    async def __call__(
        self, address: BrokerAddress, *, on_message: Callable[[Incoming], None], **options: Any
    ) -> AsyncIterator[Session]:
        self._deliver = on_message
        try:
            yield _Session(self._on_reply, self._reply_to, on_message)
        finally:
            self._deliver = lambda incoming: None
