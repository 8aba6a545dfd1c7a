"""The seam between picobridge and whatever speaks MQTT for it.

Everything above knows only what is in here: an address, messages out, messages in, and a session that lasts as long as
one connection. `aiomqtt_session.connect` makes sessions with aiomqtt; another library is another function like it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from drivers.errors import InvalidValue

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is and who we are to it. `version` is "5", "3.1.1", or "auto": 5 if the broker can."""

    host: str
    port: int
    tls: bool = False
    user: str = ""
    password: str = ""
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    version: str = "auto"

    @staticmethod
    def parse(url: str) -> BrokerAddress:
        """`mqtt://[user[:password]@]host[:port]` or `mqtts://...`. Raises `InvalidValue`."""
        problem = InvalidValue(
            f"broker {hide_password(url)!r} is no address of a broker",
            hint="Accepted: mqtt://host, mqtt://host:1883, mqtts://user@host:8883",
        )
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise problem from None
        extra = parts.path not in ("", "/") or parts.query or parts.fragment
        if parts.scheme not in _PORTS or not parts.hostname or extra or port == 0:
            raise problem
        return BrokerAddress(
            host=parts.hostname,
            port=port or _PORTS[parts.scheme],
            tls=parts.scheme == "mqtts",
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"

    def __repr__(self) -> str:
        return f"<BrokerAddress {self}>"


def hide_password(url: str) -> str:
    """`url` without its password, for messages."""
    before, at, after = url.rpartition("@")
    scheme, separator, login = before.rpartition("://")
    return f"{scheme}{separator}{login.partition(':')[0]}@{after}" if at else url


@dataclass(frozen=True, slots=True)
class Message:
    """One message to publish. `correlation` is sent as MQTT 5 correlation data where the session speaks 5."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message as it arrived. The last three are MQTT 5 properties, None where absent."""

    topic: str
    payload: bytes
    retain: bool = False
    response_topic: str | None = None
    correlation: bytes | None = None
    expiry_s: int | None = None


class Session(Protocol):
    """One connection. When it is lost, `lost` is set, and the futures of unacknowledged messages fail."""

    #: "3.1.1" or "5"
    version: str
    #: the largest packet that the broker takes, None if it does not say
    max_packet: int | None
    #: how many messages may be unacknowledged at a time, None if the broker does not say
    receive_maximum: int | None
    #: whether the broker says that it has shared subscriptions; on 3.1.1 it cannot
    shares: bool
    #: done when the connection is gone; its result says why
    lost: asyncio.Future[str]

    @property
    def congested(self) -> bool:
        """Whether bytes wait because the socket takes no more."""

    def send(self, message: Message) -> asyncio.Future[None] | None:
        """Hand over now, in order. For QoS 1 a future that is done at the acknowledgement.

        The future fails with `Refused` if the broker refuses the message and with `BridgeUnreachable` if the connection
        is lost first; the same error is raised at once if it is lost already.
        """

    async def subscribe(self, topic_filter: str, qos: int = 1, *, retained: bool | None = None) -> None:
        """Retained messages are not asked for where the session speaks MQTT 5 and `retained` is false, here or (if it
        is not said here) at `connect`.

        Raises `BridgeUnreachable`, `Refused`.
        """

    async def unsubscribe(self, topic_filter: str) -> None: ...


class Connect(Protocol):
    """Makes sessions. `on_message` is called on the event loop the moment a message was read, and must not block."""

    def __call__(
        self,
        address: BrokerAddress,
        *,
        identifier: str,
        on_message: Callable[[Incoming], None],
        will: Message | None = None,
        retained: bool = True,
        window: int = 20,
    ) -> AbstractAsyncContextManager[Session]:
        """Raises `BridgeUnreachable` if there is no connection, `Refused` if the broker refuses it."""
