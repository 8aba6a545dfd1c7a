"""aiomqtt's client with some gaps closed, for `aiomqtt_session`.

- A connection closed before CONNACK is only noticed by its time-out.
- It sends in two turns of the event loop, and asks the loop each time whether the socket takes anything; here a message
  is on the socket when `write_out` returns, and the loop is asked only about what the socket did not take.
- It receives through a queue with a task a message, one packet a turn; here the callback is called directly, and what
  has arrived is read in one turn, and acknowledged in the next.
- paho holds a lock while it hands out a message, and takes it again when a message of QoS 0 is written: whoever sent
  something on hearing something could wait for ever. Here a message is handed on when paho has let go of it.
- A connection that failed half way leaves its socket to the garbage collector.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import aiomqtt
import paho.mqtt.client as paho

from .mqtt import Message

if TYPE_CHECKING:
    from .aiomqtt_session import AiomqttSession

CONNECT_TIMEOUT_S = 5.0
#: Packets read in one turn of the event loop, at most, so that a flood does not starve everything else.
READS_AT_ONCE = 8


class Client(aiomqtt.Client):
    """Tells its session what happens."""

    def __init__(self, session: AiomqttSession, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._session = session
        self._thread = threading.get_ident()
        #: the thread that connects is still at it
        self.connecting = True
        #: what paho queues now is written in a moment, without asking the event loop whether the socket takes it
        self._written_soon = False
        self._has_writer = False
        #: read, and not handed on yet
        self._arrived: deque[paho.MQTTMessage] = deque()
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        # it has a line for every packet, and calls a broken connection an error; what became of it the session says
        self._client.disable_logger()

    @property
    def raw(self) -> paho.Client:
        return self._client

    def _client_connect(self) -> None:
        try:
            super()._client_connect()
        finally:
            self.connecting = False

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        self._session.connected(properties)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError("closed before CONNACK"))
            return
        super()._on_disconnect(client, userdata, flags, reason_code, properties)
        reason = str(reason_code)
        self._session.disconnected("the broker is gone" if reason == "Unspecified error" else reason)

    def _on_message(self, client: Any, userdata: Any, message: paho.MQTTMessage) -> None:
        self._arrived.append(message)

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:
        self._session.acknowledged(mid, reason_code)

    def _on_socket_open(self, client: Any, userdata: Any, sock: Any) -> None:
        def begin() -> None:
            if (descriptor := sock.fileno()) < 0:
                return  # closed already, by a broker that refuses
            # an earlier socket of this number may have been closed before the loop let go of it
            self._loop.remove_writer(descriptor)
            self._loop.remove_reader(descriptor)
            self._loop.add_reader(descriptor, self._read)
            self._misc_task = self._loop.create_task(self._misc_loop())

        self._loop.call_soon_threadsafe(begin)  # this is the thread that connects

    def queue(self, message: Message, properties: Any) -> paho.MQTTMessageInfo:
        """Queue a message; `write_out` must follow."""
        before, self._written_soon = self._written_soon, True
        try:
            return self._client.publish(message.topic, message.payload, message.qos, message.retain, properties)
        finally:
            self._written_soon = before

    def write_out(self) -> None:
        """Write as much as the socket takes; the rest follows by itself."""
        self._client.loop_write()
        sock = self._client.socket()
        if sock is not None and self._client.want_write():
            self._add_writer(sock)

    def _add_writer(self, sock: Any) -> None:
        if not self._has_writer and sock.fileno() >= 0:
            self._has_writer = True
            self._loop.add_writer(sock.fileno(), self._write)

    def _read(self) -> None:
        session, client = self._session, self._client
        self._written_soon = True
        try:
            for _ in range(READS_AT_ONCE):
                before = session.packets
                client.loop_read()
                self._hand_on()
                pending = getattr(client.socket(), "pending", None)  # what TLS has decoded makes no socket readable
                if session.packets == before and not (pending and pending()):
                    break
            if client.want_write():
                # acknowledgements go out when whoever waited for the messages has run
                self._loop.call_soon(self._write)
        except Exception as error:  # as aiomqtt does: whatever breaks a read has broken the connection
            self._hand_on()
            self._broken(error)
        finally:
            self._written_soon = False

    def _hand_on(self) -> None:
        while self._arrived:
            self._session.received(self._arrived.popleft())

    def _broken(self, error: Exception) -> None:
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError(f"closed before CONNACK: {error}"))
        elif not self._disconnected.done():
            self._disconnected.set_exception(error)
            self._session.disconnected(str(error))

    def _on_socket_register_write(self, client: Any, userdata: Any, sock: Any) -> None:
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self._add_writer, sock)
        elif not self._written_soon:
            # at once: a writer that is added after paho has written all and unregistered would spin for ever
            self._add_writer(sock)

    def _on_socket_unregister_write(self, client: Any, userdata: Any, sock: Any) -> None:
        if self._has_writer:
            self._has_writer = False
            self._loop.remove_writer(sock.fileno())

    def _write(self) -> None:
        try:
            self.write_out()
        except Exception as error:
            self._broken(error)

    def dispose(self) -> None:
        """Close what a connection that did not end in order leaves open."""
        self._client._sock_close()
        if self._misc_task is not None:
            self._misc_task.cancel()
        for future in (self._connected, self._disconnected):
            if future.done() and not future.cancelled():
                future.exception()
