"""Sessions by gmqtt, behind the seam `bridge.transfer.mqtt`, to be measured beside aiomqtt.

gmqtt 0.8 ignores the reason code of a PUBACK, reconnects by itself (switched off here: the uplink does that) and says
nothing when a QoS 1 message was acknowledged; its store of unacknowledged messages is the one place where that can be
seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from gmqtt import Client
from gmqtt import Message as GmqttMessage
from gmqtt.mqtt.constants import MQTTv50, MQTTv311
from gmqtt.storage import PersistentStorage

from bridge.transfer.mqtt import BrokerAddress, Incoming, Message
from drivers.errors import BridgeUnreachable, Refused

KEEPALIVE_S = 10
CONNECT_TIMEOUT_S = 5.0


@asynccontextmanager
async def connect(
    address: BrokerAddress,
    *,
    identifier: str,
    on_message: Callable[[Incoming], None],
    will: Message | None = None,
    retained: bool = True,
    window: int = 20,
) -> AsyncIterator[GmqttSession]:
    """See `bridge.transfer.mqtt.Connect`."""
    session = GmqttSession(address, identifier, on_message, will, retained)
    await session.open()
    try:
        yield session
    finally:
        await session.close()


class _Store(PersistentStorage):  # type: ignore[misc]  # untyped upstream
    """What is not acknowledged yet, as futures."""

    def __init__(self) -> None:
        super().__init__()
        self.newest: asyncio.Future[None] | None = None
        self.waiting: dict[int, asyncio.Future[None]] = {}

    def push_message(self, mid: int, raw_package: bytes) -> None:
        self.newest = self.waiting[mid] = asyncio.get_running_loop().create_future()

    def remove_message_by_mid(self, mid: int) -> None:
        future = self.waiting.pop(mid, None)
        if future is not None and not future.done():
            future.set_result(None)


class GmqttSession:
    """See `bridge.transfer.mqtt.Session`."""

    def __init__(
        self,
        address: BrokerAddress,
        identifier: str,
        on_message: Callable[[Incoming], None],
        will: Message | None,
        retained: bool,
    ) -> None:
        self.version = "3.1.1" if address.version == "3.1.1" else "5"
        self.max_packet: int | None = None
        self.shares = False
        self.receive_maximum: int | None = None
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._address = address
        self._on_message = on_message
        self._retained = retained
        self._store = _Store()
        self._subscribed: dict[int, asyncio.Future[Sequence[int]]] = {}
        self._client: Any = Client(
            identifier,
            clean_session=True,
            will_message=None
            if will is None
            else GmqttMessage(will.topic, will.payload, qos=will.qos, retain=will.retain),
            persistent_storage=self._store,
        )
        self._client.stop_reconnect()
        self._client.on_message = self._received
        self._client.on_disconnect = lambda client, packet, error=None: self._disconnected("the broker is gone")
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda client, mid, codes, properties: self._answered(mid, codes)
        self._client.on_unsubscribe = lambda client, mid, codes: self._answered(mid, codes)

    async def open(self) -> None:
        """Raises `BridgeUnreachable`, `Refused`."""
        address = self._address
        if address.user:
            self._client.set_auth_credentials(address.user, address.password)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._client.connect(
                    address.host,
                    address.port,
                    ssl=address.tls,
                    keepalive=KEEPALIVE_S,
                    version=MQTTv311 if self.version == "3.1.1" else MQTTv50,
                )
        except (OSError, TimeoutError) as error:
            raise BridgeUnreachable(f"no broker answers at {address}: {error}") from error
        except Exception as error:
            raise Refused(f"{address} refuses the connection: {error}") from error

    async def close(self) -> None:
        with suppress(Exception):
            await self._client.disconnect()
        self._disconnected("closed")

    @property
    def congested(self) -> bool:
        return bool(self._client._connection._transport.get_write_buffer_size())

    def send(self, message: Message) -> asyncio.Future[None] | None:
        if self.lost.done():
            raise BridgeUnreachable(f"the connection to {self._address} is lost: {self.lost.result()}")
        properties = {} if message.correlation is None else {"correlation_data": message.correlation}
        self._store.newest = None
        self._client.publish(message.topic, message.payload, qos=message.qos, retain=message.retain, **properties)
        return self._store.newest

    async def subscribe(self, topic_filter: str, qos: int = 1, *, retained: bool | None = None) -> None:
        options = {} if (self._retained if retained is None else retained) else {"retain_handling_options": 2}
        codes = await self._answer(self._client.subscribe(topic_filter, qos=qos, **options))
        if any(code >= 0x80 for code in codes):
            raise Refused(f"{self._address} refuses the subscription to {topic_filter}")

    async def unsubscribe(self, topic_filter: str) -> None:
        await self._answer(self._client.unsubscribe(topic_filter))

    async def _answer(self, mid: int) -> Sequence[int]:
        future: asyncio.Future[Sequence[int]] = asyncio.get_running_loop().create_future()
        self._subscribed[mid] = future
        return await future

    def _answered(self, mid: int, codes: Sequence[int]) -> None:
        future = self._subscribed.pop(mid, None)
        if future is not None and not future.done():
            future.set_result(codes)

    def _connected(self, client: Any, flags: int, code: int, properties: dict[str, list[Any]]) -> None:
        self.max_packet = properties.get("maximum_packet_size", [None])[0]
        if "receive_maximum" in properties:
            # gmqtt has one number fewer than that for messages, and takes those of subscriptions from the same ones
            self.receive_maximum = max(1, properties["receive_maximum"][0] - 2)

    def _received(self, client: Any, topic: str, payload: bytes, qos: int, properties: dict[str, Any]) -> None:
        self._on_message(
            Incoming(
                topic=topic,
                payload=payload,
                retain=bool(properties.get("retain")),
                response_topic=properties.get("response_topic", [None])[0],
                correlation=properties.get("correlation_data", [None])[0],
                expiry_s=properties.get("message_expiry_interval", [None])[0],
            )
        )

    def _disconnected(self, reason: str) -> None:
        if self.lost.done():
            return
        self.lost.set_result(reason)
        error = f"the connection to {self._address} was lost: {reason}"
        futures: list[asyncio.Future[Any]] = [*self._store.waiting.values(), *self._subscribed.values()]
        for future in futures:
            if not future.done():
                future.set_exception(BridgeUnreachable(error))
                future.exception()  # whoever does not look any more has decided so
        self._store.waiting.clear()
        self._subscribed.clear()
