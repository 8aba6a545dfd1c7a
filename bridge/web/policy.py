"""What of a browser's MQTT is passed on to the broker: requests and subscriptions, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bridge.access.permissions import STOPS
from bridge.access.rates import Bucket
from bridge.transfer.topics import Topics, is_name
from drivers.errors import Refused

from . import packets

#: What one connection may ask for, stops apart: a page that is clicked on needs a few a second.
REQUESTS_PER_S = 50
BURST = 200
#: Packets of any kind, acknowledgements included: each costs the broker something.
PACKETS_PER_S = 1000
PACKETS_AT_ONCE = 2000
#: Subscriptions that a connection may make without asking for others to end.
SUBSCRIPTIONS = 256

#: What a bridge says to everybody, by the first level below its prefix.
_BROADCAST = ("status", "health", "events", "devices", "runs")
_PERSONAL = ("reply", "replay")


@dataclass(frozen=True, slots=True)
class Account:
    """Who the relay is to the broker, and which client id it has there."""

    identifier: str
    user: str = ""
    password: str = ""


class Policy:
    """Of one connection. `user` is whom a certificate has proven, "" on a bridge without users."""

    def __init__(self, topics: Topics, user: str, account: Account, bucket: Bucket | None = None) -> None:
        #: of the MQTT that the client speaks; 0 before its CONNECT
        self.version = 0
        self._topics = topics
        self._user = user
        self._account = account
        self._bucket = bucket or Bucket(REQUESTS_PER_S, BURST)
        self._packets = Bucket(PACKETS_PER_S, PACKETS_AT_ONCE)
        self._splitter = packets.Splitter()
        self._filters: set[str] = set()
        self._judges: dict[int, Callable[[packets.Packet], None]] = {
            packets.PUBLISH: self._publish,
            packets.SUBSCRIBE: self._subscribe,
            packets.UNSUBSCRIBE: self._unsubscribe,
        }

    def feed(self, data: bytes) -> bytes:
        """What the broker gets. Raises `InvalidValue` for what is no MQTT, and `Refused` for what is not allowed; the
        connection has to end then."""
        return b"".join(self.judged(data))

    def judged(self, data: bytes) -> Iterator[bytes]:
        """As `feed`, a packet at a time: those before a bad one are good."""
        return (self._passed_on(packet) for packet in self._splitter.feed(data))

    def _passed_on(self, packet: packets.Packet) -> bytes:
        if not self._packets.take():
            raise Refused(f"more than {PACKETS_PER_S} packets a second")
        if packet.kind == packets.CONNECT:
            if self.version:
                raise Refused("CONNECT came twice")
            said = packets.connect(packet)
            self.version = said.version
            return packets.make_connect(said, self._account.identifier, self._account.user, self._account.password)
        if not self.version:
            raise Refused("something else came before CONNECT")
        judge = self._judges.get(packet.kind)
        if judge is None:
            packets.other(packet, self.version)
        else:
            judge(packet)
        return packet.raw

    def _publish(self, packet: packets.Packet) -> None:
        message = packets.publish(packet, self.version)
        if message.retain:
            raise Refused(f"a retained message to {message.topic!r:.60}: nothing that is published here is kept")
        start, _, rest = message.topic.rpartition("/request/")
        *users, method = rest.split("/")
        mine = start == self._topics.prefix and users == [self._user] if self._user else bool(start) and not users
        if not mine or not is_name(method):
            accepted = f"{self._topics.prefix}/request/{self._user + '/' if self._user else ''}METHOD"
            raise Refused(f"publishing to {message.topic!r:.60}; accepted: {accepted:.60}")
        if method not in STOPS and not self._bucket.take():
            raise Refused(f"more than {REQUESTS_PER_S} requests a second")

    def _subscribe(self, packet: packets.Packet) -> None:
        for text in packets.subscribe(packet, self.version):
            if not self._may_hear(text):
                raise Refused(f"subscribing to {text!r:.60}, which is not for {self._user or 'a page'}")
            self._filters.add(text)
        if len(self._filters) > SUBSCRIPTIONS:
            raise Refused(f"more than {SUBSCRIPTIONS} subscriptions")

    def _unsubscribe(self, packet: packets.Packet) -> None:
        self._filters.difference_update(packets.unsubscribe(packet, self.version))

    def _may_hear(self, text: str) -> bool:
        if text.startswith("$"):
            return False
        if not self._user:
            return True
        start = f"{self._topics.prefix}/"
        levels = text.removeprefix(start).split("/")
        if not text.startswith(start):
            return False
        if levels[0] in _PERSONAL:
            return len(levels) > 1 and levels[1] == self._user
        return levels[0] in _BROADCAST
