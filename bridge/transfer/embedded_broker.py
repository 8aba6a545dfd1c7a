"""The broker that comes with picobridge: amqtt, on this machine's loopback only, in the daemon's own event loop.

It speaks MQTT 3.1.1. Its limits (see `docs/mqtt.md`): it keeps nothing over a restart, it holds everything for a slow
subscriber in memory, and it shares the daemon's core. For more than one fast subscriber, or for anybody off this
machine, run Mosquitto and name it in the configuration.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.errors import BrokerError
from amqtt.session import Session

from drivers.errors import PortBusy

from .mqtt import BrokerAddress

#: A client that has not said CONNECT by then is hung up on.
CONNECT_TIMEOUT_S = 10.0

#: A CONNECT longer than this (a will, a password) is none.
CONNECT_LIMIT = 256 * 1024

_CANCEL_AGAIN_S = 0.1

_CONNECT = 0x10
_NAME = b"\0\4MQTT"
_MQTT_5 = 5
#: CONNACK of MQTT 5 with reason code 0x84, unsupported protocol version, and no properties
_UNSUPPORTED_VERSION = bytes.fromhex("20 03 00 84 00")

LOG = logging.getLogger("picobridge.broker")

#: amqtt reports each client that leaves without goodbye as an error with a stack; none of it is for the user to act on.
_LOGGERS = ("amqtt", "transitions")


class _Broker(Broker):  # type: ignore[misc]  # amqtt has types but does not say so
    """amqtt's broker, which waits for ever for the rest of an MQTT 5 CONNECT: it reads it as a longer one of 3.1.1.

    MQTT 5 clients are told at once that their version is not spoken here, so that they can go on with 3.1.1.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        #: connections that have not said CONNECT yet
        self.greeting: set[asyncio.Task[Any]] = set()

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        try:
            connect = await self._connect_packet(reader)
            if connect.version == _MQTT_5:
                writer.write(_UNSUPPORTED_VERSION)
                await writer.drain()
            elif connect.version is not None:
                await self._client_connected(listener_name, _Reader(connect.data, reader), StreamWriterAdapter(writer))
        except (OSError, EOFError) as error:
            LOG.debug("a client left before it was connected: %s", error)
        finally:
            writer.close()

    async def _connect_packet(self, reader: asyncio.StreamReader) -> _Connect:
        """All of it, so that amqtt never waits for a client that has stopped half way."""
        task = asyncio.current_task()
        assert task is not None
        self.greeting.add(task)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await _read_connect(reader)
        finally:
            self.greeting.discard(task)

    async def shutdown(self) -> None:
        for task in self.greeting:
            task.cancel()
        await asyncio.gather(*self.greeting, return_exceptions=True)
        await super().shutdown()

    async def _stop_handler(self, handler: Any) -> None:
        """A cancellation that comes as a packet arrives is swallowed by `wait_for` (Python 3.11): amqtt then waits for
        ever for the reader to end. So cancel until it has."""
        stopping = asyncio.ensure_future(super()._stop_handler(handler))
        while not (await asyncio.wait([stopping], timeout=_CANCEL_AGAIN_S))[0]:
            if handler._reader_task is not None:
                handler._reader_task.cancel()
        stopping.result()

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        """amqtt sends each new client what is retained under everybody's subscriptions: only its own are meant."""
        if any(subscriber is session for subscriber, _ in self._subscriptions.get(subscription[0], ())):
            await super()._publish_retained_messages_for_subscription(subscription, session)


class _Reader(StreamReaderAdapter):  # type: ignore[misc]
    """A stream of which the first bytes were read already."""

    def __init__(self, head: bytes, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self._head = head

    async def read(self, n: int = -1) -> bytes:
        head, self._head = (self._head, b"") if n < 0 else (self._head[:n], self._head[n:])
        if len(head) == n:
            return head
        rest: bytes = await super().read(n if n < 0 else n - len(head))
        return head + rest


class _Connect(NamedTuple):
    """A CONNECT packet as it came; `version` is None if it is none."""

    data: bytes
    version: int | None


async def _read_connect(reader: asyncio.StreamReader) -> _Connect:
    """The first packet of a client (MQTT 3.1.1 and 5, section 3.1)."""
    head = await reader.readexactly(2)
    while head[-1] & 0x80 and len(head) < 5:
        head += await reader.readexactly(1)
    length = sum((byte & 0x7F) << (7 * position) for position, byte in enumerate(head[1:]))
    if head[0] != _CONNECT or not len(_NAME) < length <= CONNECT_LIMIT:
        return _Connect(head, None)
    body = await reader.readexactly(length)
    return _Connect(head + body, body[len(_NAME)] if body.startswith(_NAME) else None)


@asynccontextmanager
async def embedded_broker(port: int = 1883, host: str = "127.0.0.1") -> AsyncIterator[BrokerAddress]:
    """A broker that runs as long as the context; yields its address. Port 0 takes a free one.

    Anybody on this machine may connect. Raises `PortBusy`.
    """
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        broker = _Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"{host}:{port}"}},
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        try:
            await broker.start()
        except BrokerError as error:
            raise PortBusy(
                f"the embedded broker cannot listen on {host}:{port}: {error.__cause__ or error}",
                hint="Another broker may run there already: name it as [broker] url, or give the embedded one a port.",
            ) from error
        try:
            yield BrokerAddress(host, _port_of(broker, port), version="3.1.1")
        finally:
            await broker.shutdown()
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _port_of(broker: Broker, port: int) -> int:
    if port:
        return port
    server = broker._servers["default"].instance  # amqtt has no public way to ask which port it got
    return int(server.sockets[0].getsockname()[1])
