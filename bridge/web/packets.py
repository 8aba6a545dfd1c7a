"""MQTT packets as a client sends them, 3.1.1 and 5, out of any bytes. Section numbers are those of MQTT 5.

Only what `policy` judges is decoded; the rest is held to its form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from drivers.errors import InvalidValue

#: The longest packet: a request may have 64 kB, and has a topic and properties beside it.
PACKET_LIMIT = 80 * 1024
#: The longest of the others: filters; reasons and user properties.
_FILTERS_LIMIT, _SMALL_LIMIT = 8 * 1024, 1024

V311: Final = 4
V5: Final = 5

CONNECT, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 3, 4, 5, 6, 7
SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT = 8, 10, 12, 14
_FLAGS = {PUBREL: 2, SUBSCRIBE: 2, UNSUBSCRIBE: 2}
_LIMITS = {
    **dict.fromkeys((CONNECT, PUBLISH), PACKET_LIMIT),
    **dict.fromkeys((SUBSCRIBE, UNSUBSCRIBE), _FILTERS_LIMIT),
}
_KNOWN = (CONNECT, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT)

RECEIVE_MAXIMUM, TOPIC_ALIAS_MAXIMUM, TOPIC_ALIAS, MAXIMUM_PACKET_SIZE = 0x21, 0x22, 0x23, 0x27

#: Properties (section 2.2.2.2) with a value of so many bytes; the others begin with their length.
_FIXED = {
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), 1),
    **dict.fromkeys((0x13, RECEIVE_MAXIMUM, TOPIC_ALIAS_MAXIMUM, TOPIC_ALIAS), 2),
    **dict.fromkeys((0x02, 0x11, 0x18, MAXIMUM_PACKET_SIZE), 4),
}
_TEXTS = (0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F)
_BINARY = (0x09, 0x16)
_SUBSCRIPTION_IDENTIFIER, _USER_PROPERTY = 0x0B, 0x26


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet as it came. `kind` is its type, `raw` all of it, `body` what follows the length."""

    kind: int
    flags: int
    raw: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Connect:
    """What of a CONNECT is passed on. `properties` are those with a value of fixed length, as it came."""

    version: int
    keepalive_s: int
    properties: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Publish:
    topic: str
    retain: bool


class Splitter:
    """Cuts a stream of bytes into packets, however it comes."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Raises `InvalidValue` for what is no packet, or too long a one; the stream is worth nothing after that."""
        self._rest += data
        while (packet := self._next()) is not None:
            yield packet

    def _next(self) -> Packet | None:
        rest = self._rest
        if not rest:
            return None
        kind, flags = rest[0] >> 4, rest[0] & 0x0F
        if kind not in _KNOWN or (kind != PUBLISH and flags != _FLAGS.get(kind, 0)):
            raise InvalidValue(f"a packet begins with 0x{rest[0]:02x}, which none of a client's does")
        length, position = 0, 1
        while True:
            if position > 4:
                raise InvalidValue("the length of a packet has more than four bytes")
            if position >= len(rest):
                return None
            byte = rest[position]
            length |= (byte & 0x7F) << (7 * (position - 1))
            position += 1
            if not byte & 0x80:
                break
        limit = _LIMITS.get(kind, _SMALL_LIMIT)
        if length > limit:
            raise InvalidValue(f"a packet of type {kind} has {length} bytes; accepted: {limit}")
        if len(rest) < position + length:
            return None
        raw = bytes(rest[: position + length])
        del rest[: position + length]
        return Packet(kind, flags, raw, raw[position:])


def connect(packet: Packet) -> Connect:
    """Raises `InvalidValue` for what is no CONNECT of MQTT 3.1.1 or 5 (section 3.1)."""
    reader = _Reader(packet.body)
    if reader.text() != "MQTT":
        raise InvalidValue("CONNECT is not of MQTT")
    version = reader.byte()
    if version not in (V311, V5):
        raise InvalidValue(f"CONNECT is of MQTT level {version}; accepted: {V311} (3.1.1) and {V5}")
    flags = reader.byte()
    if flags & 0x01 or (flags & 0x18) == 0x18 or (not flags & 0x04 and flags & 0x38):
        raise InvalidValue(f"CONNECT has flags 0x{flags:02x}, which contradict each other")
    keepalive_s = reader.number(2)
    properties = reader.properties() if version == V5 else {}
    reader.text()  # the client id
    if flags & 0x04:  # a will
        if version == V5:
            reader.properties()
        reader.text()
        reader.binary()
    if flags & 0x80:
        reader.text()
    if flags & 0x40:
        reader.binary()
    reader.end()
    return Connect(version, keepalive_s, properties)


def publish(packet: Packet, version: int) -> Publish:
    """Raises `InvalidValue` for what is no PUBLISH of a client (section 3.3), and for topic aliases."""
    reader = _Reader(packet.body)
    topic = reader.text()
    qos = packet.flags >> 1 & 3
    if qos == 3 or (qos == 0 and packet.flags & 0x08):
        raise InvalidValue(f"PUBLISH has flags 0x{packet.flags:x}, which no QoS has")
    if qos and not reader.number(2):
        raise InvalidValue("PUBLISH has no packet id")
    if version == V5:
        known = reader.properties()
        if TOPIC_ALIAS in known:
            raise InvalidValue("PUBLISH has a topic alias, which nobody offered")
    if not topic or "+" in topic or "#" in topic:
        raise InvalidValue(f"PUBLISH is to {topic!r:.100}, which is no topic")
    return Publish(topic, bool(packet.flags & 1))


def subscribe(packet: Packet, version: int) -> list[str]:
    """The filters. Raises `InvalidValue` for what is no SUBSCRIBE (section 3.8)."""
    reader = _Reader(packet.body)
    filters = _filters_begin(reader, version)
    while not reader.empty:
        filters.append(_filter(reader))
        options = reader.byte()
        allowed = 0x3F if version == V5 else 0x03
        if options & 3 == 3 or options & ~allowed or options & 0x30 == 0x30:
            raise InvalidValue(f"SUBSCRIBE has options 0x{options:02x}")
    if not filters:
        raise InvalidValue("SUBSCRIBE names no topic")
    return filters


def unsubscribe(packet: Packet, version: int) -> list[str]:
    """The filters. Raises `InvalidValue` for what is no UNSUBSCRIBE (section 3.10)."""
    reader = _Reader(packet.body)
    filters = _filters_begin(reader, version)
    while not reader.empty:
        filters.append(_filter(reader))
    if not filters:
        raise InvalidValue("UNSUBSCRIBE names no topic")
    return filters


def other(packet: Packet, version: int) -> None:
    """Raises `InvalidValue` for an acknowledgement, PINGREQ or DISCONNECT that is none (sections 3.4 to 3.14)."""
    if packet.kind in (PINGREQ, DISCONNECT):
        if packet.body and (packet.kind == PINGREQ or version == V311):
            raise InvalidValue(f"a packet of type {packet.kind} has {len(packet.body)} bytes; accepted: none")
        return
    reader = _Reader(packet.body)
    if not reader.number(2):
        raise InvalidValue("an acknowledgement is of packet 0")
    if version == V311:
        reader.end()


def make_connect(to: Connect, identifier: str, user: str, password: str) -> bytes:
    """A CONNECT of ours in the place of a client's: with our account, a clean session, and no will."""
    flags = 0x02 | (0x80 if user else 0) | (0x40 if user and password else 0)
    body = _text("MQTT") + bytes((to.version, flags)) + to.keepalive_s.to_bytes(2, "big")
    if to.version == V5:
        kept = (RECEIVE_MAXIMUM, TOPIC_ALIAS_MAXIMUM, MAXIMUM_PACKET_SIZE)
        properties = b"".join(bytes((key,)) + to.properties[key] for key in kept if key in to.properties)
        body += bytes((len(properties),)) + properties
    body += _text(identifier)
    if user:
        body += _text(user)
        if password:
            body += _text(password)
    return bytes((CONNECT << 4,)) + _length(len(body)) + body


def _filters_begin(reader: _Reader, version: int) -> list[str]:
    if not reader.number(2):
        raise InvalidValue("a subscription has no packet id")
    if version == V5:
        reader.properties()
    return []


def _filter(reader: _Reader) -> str:
    """Section 4.7."""
    text = reader.text()
    levels = text.split("/")
    good = bool(text) and all(
        level in ("+", "#") or not ("+" in level or "#" in level) for level in levels
    ) and "#" not in levels[:-1]  # fmt: skip
    if not good:
        raise InvalidValue(f"{text!r:.100} is no topic filter")
    return text


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def _length(length: int) -> bytes:
    """Section 1.5.5."""
    encoded = bytearray()
    while True:
        length, byte = length >> 7, length & 0x7F
        encoded.append(byte | (0x80 if length else 0))
        if not length:
            return bytes(encoded)


class _Reader:
    """Fields of a packet, one after the other. Raises `InvalidValue` where the packet ends before they do."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def empty(self) -> bool:
        return self._at >= len(self._body)

    def end(self) -> None:
        if not self.empty:
            raise InvalidValue(f"{len(self._body) - self._at} bytes follow the end of a packet")

    def take(self, count: int) -> bytes:
        taken = self._body[self._at : self._at + count]
        if len(taken) < count:
            raise InvalidValue("a packet ends too early")
        self._at += count
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def binary(self) -> bytes:
        return self.take(self.number(2))

    def text(self) -> str:
        try:
            text = self.binary().decode()
        except UnicodeDecodeError:
            raise InvalidValue("a text is not UTF-8") from None
        if "\0" in text:
            raise InvalidValue("a text has a zero character")
        return text

    def varying(self) -> int:
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
        raise InvalidValue("a number has more than four bytes")

    def properties(self) -> dict[int, bytes]:
        """Section 2.2.2; only values of fixed length are kept."""
        inner = _Reader(self.take(self.varying()))
        known: dict[int, bytes] = {}
        seen: set[int] = set()
        while not inner.empty:
            key = inner.varying()
            if key in seen and key != _USER_PROPERTY:
                raise InvalidValue(f"property 0x{key:02x} comes twice")
            seen.add(key)
            if size := _FIXED.get(key):
                known[key] = inner.take(size)
            elif key in _TEXTS:
                inner.text()
            elif key in _BINARY:
                inner.binary()
            elif key == _USER_PROPERTY:
                inner.text()
                inner.text()
            elif key == _SUBSCRIPTION_IDENTIFIER:
                inner.varying()
            else:
                raise InvalidValue(f"0x{key:02x} is no property")
        return known
