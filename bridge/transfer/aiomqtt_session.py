"""Sessions by aiomqtt (which is paho-mqtt on asyncio).

What aiomqtt 2.5 leaves open is done here and in `aiomqtt_client`: it tells nothing of CONNACK properties and ignores
the reason code of a PUBACK, so that a message refused for lack of rights would look published.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiomqtt
import paho.mqtt.client as paho
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from drivers.errors import BridgeUnreachable, Refused

from .aiomqtt_client import CONNECT_TIMEOUT_S, Client
from .mqtt import BrokerAddress, Incoming, Message

LOG = logging.getLogger("picobridge.mqtt")

#: A broker that says nothing for 1.5 times this is gone (the client asks it every `KEEPALIVE_S`).
KEEPALIVE_S = 10
#: The largest packet that we take (MQTT 5 tells the broker).
MAX_PACKET = 4 * 1024 * 1024

_VERSIONS = {"3.1.1": aiomqtt.ProtocolVersion.V311, "5": aiomqtt.ProtocolVersion.V5}


@asynccontextmanager
async def connect(
    address: BrokerAddress,
    *,
    identifier: str,
    on_message: Callable[[Incoming], None],
    will: Message | None = None,
    retained: bool = True,
    window: int = 20,
) -> AsyncIterator[AiomqttSession]:
    """See `mqtt.Connect`."""
    session = await _open(address, identifier, on_message, will, retained, window)
    try:
        yield session
    finally:
        await session.close()


async def _open(
    address: BrokerAddress,
    identifier: str,
    on_message: Callable[[Incoming], None],
    will: Message | None,
    retained: bool,
    window: int,
) -> AiomqttSession:
    if address.version != "auto":
        session = AiomqttSession(address, identifier, on_message, will, retained, window)
        await session.open()
        return session
    try:
        return await _open(replace(address, version="5"), identifier, on_message, will, retained, window)
    except _NotSpoken:
        return await _open(replace(address, version="3.1.1"), identifier, on_message, will, retained, window)


class _NotSpoken(BridgeUnreachable):
    """The broker closed the connection on our CONNECT, or said that it does not know this version of MQTT."""


class AiomqttSession:
    """See `mqtt.Session`."""

    def __init__(
        self,
        address: BrokerAddress,
        identifier: str,
        on_message: Callable[[Incoming], None],
        will: Message | None,
        retained: bool,
        window: int,
    ) -> None:
        self.version = address.version
        self.max_packet: int | None = None
        self.receive_maximum: int | None = None
        self.shares = False
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._address = address
        self._identifier = identifier
        self._on_message = on_message
        self._will = will
        self._retained = retained
        self._window = window
        self._unacknowledged: dict[int, asyncio.Future[None]] = {}
        self._client: Client
        #: what the broker had against us in TLS
        self._alerts: list[str] = []
        #: messages and acknowledgements read so far
        self.packets = 0

    async def open(self) -> None:
        """Raises `BridgeUnreachable`, `Refused`."""
        address = self._address
        will = self._will
        properties = None
        if self.version == "5":
            properties = _properties(PacketTypes.CONNECT)
            properties.MaximumPacketSize = MAX_PACKET
        self._client = Client(
            self,
            address.host,
            address.port,
            username=address.user or None,
            password=address.password or None,
            identifier=self._identifier,
            protocol=_VERSIONS[self.version],
            will=None if will is None else aiomqtt.Will(will.topic, will.payload, will.qos, will.retain),
            clean_session=None if self.version == "5" else True,
            clean_start=True if self.version == "5" else paho.MQTT_CLEAN_START_FIRST_ONLY,
            timeout=CONNECT_TIMEOUT_S,
            keepalive=KEEPALIVE_S,
            max_inflight_messages=self._window,
            properties=properties,
            tls_context=self._tls_context(),
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],  # an acknowledgement must not wait 40 ms
        )
        # `__aenter__` connects in a thread, which cannot be cancelled: wait for it, or it would leave its socket behind
        entering = asyncio.ensure_future(self._client.__aenter__())
        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            while self._client.connecting and not entering.done():
                await asyncio.wait([entering], timeout=0.05)
            entering.cancel()  # what it waits for now is only the broker's answer
            await asyncio.wait([entering])
            if not entering.cancelled():
                entering.exception()
            await self._dispose()
            raise
        except aiomqtt.MqttError as error:
            await self._dispose()
            raise self._failure(error) from error

    async def close(self) -> None:
        try:
            if not self.lost.done():
                await self._client.__aexit__(None, None, None)
        except aiomqtt.MqttError as error:
            LOG.debug("the connection to %s did not end in order: %s", self._address, error)
        finally:
            self.disconnected("closed")
            await self._dispose()

    async def _dispose(self) -> None:
        self._client.dispose()
        await asyncio.sleep(0)  # the callbacks that paho's closing has scheduled

    @property
    def congested(self) -> bool:
        return bool(self._client.raw.want_write())

    def send(self, message: Message) -> asyncio.Future[None] | None:
        if self.lost.done():
            raise BridgeUnreachable(f"the connection to {self._address} is lost: {self.lost.result()}")
        properties = None
        if message.correlation is not None and self.version == "5":
            properties = _properties(PacketTypes.PUBLISH)
            properties.CorrelationData = message.correlation
        info = self._client.queue(message, properties)
        future = None
        if message.qos:
            future = asyncio.get_running_loop().create_future()
            self._unacknowledged[info.mid] = future
        if info.rc == paho.MQTT_ERR_SUCCESS:
            self._client.write_out()
        else:
            self.disconnected(paho.error_string(info.rc))
        return future

    async def subscribe(self, topic_filter: str, qos: int = 1, *, retained: bool | None = None) -> None:
        if self.version == "5":
            wanted = self._retained if retained is None else retained
            handling = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if wanted else 2
            # whoever refuses retained messages has to see that one is, also when it comes live
            options = SubscribeOptions(qos=qos, retainHandling=handling, retainAsPublished=not self._retained)
            answer = self._client.subscribe(topic_filter, options=options)
        else:
            answer = self._client.subscribe(topic_filter, qos=qos)
        try:
            codes = await answer
        except aiomqtt.MqttError as error:
            raise BridgeUnreachable(f"{self._address}: subscribing to {topic_filter}: {error}") from error
        for code in codes:
            if (code if isinstance(code, int) else code.value) >= 0x80:
                raise Refused(f"{self._address} refuses the subscription to {topic_filter}: {code}")

    async def unsubscribe(self, topic_filter: str) -> None:
        try:
            await self._client.unsubscribe(topic_filter)
        except aiomqtt.MqttError as error:
            raise BridgeUnreachable(f"{self._address}: unsubscribing from {topic_filter}: {error}") from error

    # --- called by the client ----------------------------------------------------------------------------------

    def connected(self, properties: Any) -> None:
        self.max_packet = getattr(properties, "MaximumPacketSize", None)
        self.receive_maximum = getattr(properties, "ReceiveMaximum", None)
        self.shares = self.version == "5" and getattr(properties, "SharedSubscriptionAvailable", 1) == 1

    def disconnected(self, reason: str) -> None:
        if self.lost.done():
            return
        self.lost.set_result(reason)
        waiting, self._unacknowledged = self._unacknowledged, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(BridgeUnreachable(f"the connection to {self._address} was lost: {reason}"))
                future.exception()  # whoever does not look any more has decided so

    def received(self, message: paho.MQTTMessage) -> None:
        self.packets += 1
        properties = message.properties
        incoming = Incoming(
            topic=message.topic,
            payload=bytes(message.payload),
            retain=message.retain,
            response_topic=getattr(properties, "ResponseTopic", None),
            correlation=getattr(properties, "CorrelationData", None),
            expiry_s=getattr(properties, "MessageExpiryInterval", None),
        )
        try:
            self._on_message(incoming)
        except Exception:
            LOG.exception("a message on %s broke its handler", incoming.topic)

    def acknowledged(self, mid: int, reason_code: Any) -> None:
        self.packets += 1
        future = self._unacknowledged.pop(mid, None)
        if future is None or future.done():
            return
        if getattr(reason_code, "is_failure", False):
            future.set_exception(Refused(f"{self._address} refuses the message: {reason_code}"))
        else:
            future.set_result(None)

    def _failure(self, error: aiomqtt.MqttError) -> BridgeUnreachable | Refused:
        text = str(error)
        if self._alerts:
            return BridgeUnreachable(
                f"{self._address} breaks off TLS: {self._alerts[-1]}",
                hint="Is our certificate valid today, and signed by the authority that the broker trusts?",
            )
        if "closed before CONNACK" in text or "Unsupported protocol version" in text:
            return _NotSpoken(f"{self._address} closes the connection on an MQTT {self.version} client")
        if isinstance(error, MqttConnectError):
            return Refused(
                f"{self._address} refuses the connection: {text}",
                hint="Are user and password right, and may this user connect?",
            )
        return BridgeUnreachable(f"no broker answers at {self._address}: {text}")

    def _tls_context(self) -> ssl.SSLContext | None:
        address = self._address
        if not address.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=address.ca)
            if address.cert is not None:
                context.load_cert_chain(address.cert, address.key)
        except OSError as error:  # which an SSL error is too; while files are being renewed they may not fit
            raise BridgeUnreachable(
                f"no connection to {address}: the files for TLS cannot be used: {error}",
                hint="They are read again at the next attempt.",
            ) from error
        context.sslsocket_class = _socket_class(self._alerts)
        return context


def _socket_class(alerts: list[str]) -> type[ssl.SSLSocket]:
    """paho forgets to close the socket when the handshake fails, and why it could not read: that goes to `alerts`."""

    class TlsSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            try:
                super().do_handshake(block)
            except BaseException:
                self.close()
                raise

        def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
            try:
                return super().recv(buflen, flags)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as error:
                if error.reason:
                    alerts.append(error.reason.lower().replace("_", " "))
                raise

    return TlsSocket


def _properties(packet: int) -> Any:
    make: Any = Properties  # untyped upstream
    return make(packet)
