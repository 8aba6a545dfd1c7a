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

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.errors import BrokerError
from amqtt.session import Session

from drivers.errors import PortBusy

from .mqtt import BrokerAddress

#: A client that has not said CONNECT by then is hung up on.
CONNECT_TIMEOUT_S = 10.0

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

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                head = await _head_of_connect(reader)
            if head[-1] == _MQTT_5:
                writer.write(_UNSUPPORTED_VERSION)
                await writer.drain()
            else:
                await self._client_connected(listener_name, _Reader(head, reader), StreamWriterAdapter(writer))
        except (OSError, EOFError) as error:
            LOG.debug("a client left before it was connected: %s", error)
        finally:
            writer.close()

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


async def _head_of_connect(reader: asyncio.StreamReader) -> bytes:
    """Everything up to the protocol level (MQTT 3.1.1 and 5, section 3.1)."""
    head = await reader.readexactly(2)
    while head[-1] & 0x80 and len(head) < 5:
        head += await reader.readexactly(1)
    return head + await reader.readexactly(len(b"\0\4MQTT") + 1)


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
