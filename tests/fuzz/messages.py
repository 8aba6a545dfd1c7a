"""What comes through the broker: blocks of samples, requests, replies, topics; and who says hello to our own broker."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import cbor2
import numpy as np

from bridge.daemon import technique_run
from bridge.daemon.watch_options import parse_watch
from bridge.procedures.registry import PROCEDURES
from bridge.transfer import codec
from bridge.transfer.embedded_broker import CONNECT_LIMIT, _read_connect
from bridge.transfer.messages import REQUEST_LIMIT, Reply, check_time, decode_request, load_object
from bridge.transfer.mqtt import BrokerAddress, hide_password
from bridge.transfer.plain import dumps, from_plain, to_plain
from bridge.transfer.topics import Topics, checked_name, checked_prefix, is_name
from drivers import calls
from drivers.errors import InvalidValue, PicobridgeError, RequestExpired
from drivers.interfaces import (
    FeedthroughCapabilities,
    Identity,
    ManipulatorCapabilities,
    PotentiostatCapabilities,
    Pressure,
    StageCapabilities,
    StagePosition,
    TouchAlarm,
)
from drivers.quantities import quantity
from drivers.samples import SampleBlock

from .target import Target
from .wire import play, text

_TRANSFER = "bridge.transfer"


def block(data: bytes) -> None:
    """One message of samples. What was understood is encoded, and understood as the same to the bit."""
    decoded = codec.decode(data)
    encoded = codec.encode(decoded)
    again = codec.decode(encoded)
    assert codec.encode(again) == encoded
    same_block(decoded, again)
    assert set(cbor2.loads(encoded)) == {
        *("v", "stream", "first_index", "start_time_ns", "end", "attributes", "columns"),
    }
    assert codec.Header(again).fits(again)
    codec.follows(decoded, again)
    json.loads(dumps(decoded.attributes))


def same_block(one: SampleBlock, other: SampleBlock) -> None:
    """To the bit, NaN payloads included."""
    assert (one.stream, one.first_index, one.start_time_ns, one.end) == (
        *(other.stream, other.first_index, other.start_time_ns, other.end),
    )
    assert one.columns == other.columns
    assert dumps(one.attributes) == dumps(other.attributes)
    for column in one.columns:
        assert one[column.name].dtype == other[column.name].dtype
        assert one[column.name].tobytes() == other[column.name].tobytes()


def sequence(data: bytes) -> None:
    """Blocks one behind the other: each ends where the next begins, and none is read beyond the end."""
    position = 0
    while position < len(data):
        _, end = codec.decode_at(data, position)
        assert position < end <= len(data)
        position = end


def request(data: bytes) -> None:
    """A request as it came, and what it would be sent as."""
    decoded = decode_request("identify", data)
    assert len(data) <= REQUEST_LIMIT
    assert is_name(decoded.sender)
    with contextlib.suppress(RequestExpired):
        check_time(decoded, 1_767_225_600.0)
    Topics("picobridge/lab").may_reply_to(decoded.reply_to)
    assert decode_request("identify", decoded.encode()) == decoded


def objects(data: bytes) -> None:
    """Any JSON object: what passes is the same by Python's own reader, and written again it passes again."""
    value = load_object(data)
    assert value == json.loads(data)
    assert load_object(dumps(value)) == to_plain(value)


def reply(data: bytes) -> None:
    """A reply, and an error in it that a client raises again."""
    decoded = Reply.decode(data)
    again = Reply.decode(decoded.encode())
    assert again.id == decoded.id
    assert type(again.error) is type(decoded.error)
    if decoded.error is not None:
        assert isinstance(decoded.error, PicobridgeError)
        str(decoded.error)


_RESULTS: tuple[Any, ...] = (
    *(Identity, PotentiostatCapabilities, StageCapabilities, ManipulatorCapabilities, FeedthroughCapabilities),
    *(StagePosition, Pressure, TouchAlarm, SampleBlock, tuple[float, ...], frozenset[str]),
)


def results(data: bytes) -> None:
    """A result as a client turns it into the type that a call gives: it is that, and as JSON it is itself again."""
    content = load_object(data)
    for kind in _RESULTS:
        for value in (content, *content.values()):
            try:
                made = from_plain(kind, value)
            except InvalidValue:
                continue
            assert not isinstance(value, str), f"the text {value!r} became {made!r}"
            if kind is SampleBlock:
                continue
            assert dumps(from_plain(kind, json.loads(dumps(made)))) == dumps(made)


def parameters(data: bytes) -> None:
    """What a client asks for, as each procedure's, technique's, call's and watch's parameters."""
    content = load_object(data)
    named = content.pop("procedure", None)
    chosen = [PROCEDURES[named]] if isinstance(named, str) and named in PROCEDURES else list(PROCEDURES.values())
    for procedure in chosen:
        try:
            made = procedure.parse(content)
        except InvalidValue:
            continue
        json.loads(dumps(made))
    for ask in (technique_run.parse, parse_watch):
        try:
            json.loads(dumps(ask(content)))
        except InvalidValue:
            continue


def call(data: bytes) -> None:
    """The arguments of every method of every interface."""
    content = load_object(data)
    for interface in calls.INTERFACES:
        for method in calls.methods(interface):
            try:
                keywords = calls.arguments(interface, method, content)
            except InvalidValue:
                continue
            dumps(keywords)


_UNITS = ("A", "V", "m", "m**2", "deg", "s", "A/m**2", "A*h", "C", "Pa", "ohm", "1", "m/s")


def quantities(data: bytes) -> None:
    """Each line in every unit. A result is finite; written as a number it is itself."""
    for line in text(data).split("\n"):
        for unit in _UNITS:
            try:
                value = quantity(line, unit)
            except InvalidValue:
                continue
            assert np.isfinite(value)
            assert quantity(repr(value), unit) == value


def topic(data: bytes) -> None:
    """Topics, names and prefixes: whatever passes holds no wildcard, no level of somebody else's and no control."""
    topics = Topics.of("lab")
    for line in text(data).split("\n"):
        named = topics.request_of(line)
        assert named is None or topics.request(named[1], named[0]) == line
        if topics.may_reply_to(line):
            assert line.startswith("picobridge/lab/reply/")
            assert not set(line) & set("+#$\0 ")
        for check, what in ((checked_name, "name"), (checked_prefix, "prefix")):
            try:
                passed = check(line, what)
            except InvalidValue:
                continue
            assert passed == line
            assert passed.isascii()
            assert not set(passed) & set("+#$\0 \r\n")


def broker_address(data: bytes) -> None:
    """Each line as the address of a broker. What is shown of it never has the password."""
    for line in text(data).split("\n"):
        hide_password(line)
        try:
            parsed = BrokerAddress.parse(line)
        except InvalidValue:
            continue
        assert 0 < parsed.port < 65536
        again = BrokerAddress.parse(str(parsed))
        assert (again.host, again.port, again.tls) == (parsed.host, parsed.port, parsed.tls)


def _announced(data: bytes) -> int:
    """The length that a packet's head says (MQTT 3.1.1, section 2.2.3); 0 if it is not whole."""
    length = 0
    for place, byte in enumerate(data[1:5]):
        length |= (byte & 127) << 7 * place
        if byte < 128:
            return length
    return length if len(data) >= 5 else 0


def hello(data: bytes) -> None:
    """The first packet of a client of the embedded broker, cut off anywhere."""

    async def read() -> Any:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        try:
            return await _read_connect(reader)
        except EOFError:
            assert data[:1] in (b"", b"\x10") or len(data) < 5, "waited for more of what is no CONNECT"
            assert _announced(data) <= CONNECT_LIMIT, "waited for more than is taken"
            return None

    connect = play(read())
    if connect is not None:
        assert data.startswith(connect.data)
        assert len(connect.data) <= CONNECT_LIMIT + 5
        assert connect.version is None or 0 <= connect.version <= 255


_JSON_TOKENS = (
    *(
        b'{"id":"a"',
        b'"from":"me"',
        b'"expires_at":1767225630.0',
        b'"params":{',
        b'"reply_to":"picobridge/lab/reply/me"',
    ),
    *(
        b"NaN",
        b"1e999",
        b"-Infinity",
        b"\\ud800",
        b'\\"',
        b"[[[[[[[[[[[[[[[[",
        b"18446744073709551616",
        b"null",
        b"true",
    ),
)
_UNIT_TOKENS = (
    b"uA/cm2",
    b"pA",
    b"um2",
    b"**",
    b"(",
    b")",
    b"%",
    b"^",
    b" per ",
    b"deg",
    b"Ohm",
    b"e999",
    b"'",
    b"[",
    b"C/20",
)

TARGETS = (
    Target(
        "block",
        block,
        (InvalidValue,),
        (f"{_TRANSFER}.codec",),
        bytes_per_byte=120,
        tokens=(
            *(
                cbor2.dumps(key)
                for key in ("v", "stream", "first_index", "start_time_ns", "end", "attributes", "columns")
            ),
            *(cbor2.dumps(key) for key in ("name", "unit", "data", "time_s", "stopped", None, 1)),
            *(b"\xd8\x56\x48", b"\xd8\x46\x44", b"\xa7", b"\xa3", b"\x81", b"\xfb\x7f\xf8\0\0\0\0\0\0"),
        ),
    ),
    Target("block-sequence", sequence, (InvalidValue,), (f"{_TRANSFER}.codec",), bytes_per_byte=120),
    Target(
        "request",
        request,
        (InvalidValue, RequestExpired),
        (f"{_TRANSFER}.messages",),
        bytes_per_byte=120,
        tokens=_JSON_TOKENS,
    ),
    Target(
        "json-object", objects, (InvalidValue,), (f"{_TRANSFER}.messages",), bytes_per_byte=200, tokens=_JSON_TOKENS
    ),
    Target(
        "reply",
        reply,
        (InvalidValue,),
        (f"{_TRANSFER}.messages", "drivers.errors"),
        bytes_per_byte=200,
        tokens=(
            b'"ok":false',
            b'"ok":true',
            b'"error":{',
            b'"sent":"2a 49"',
            b'"detail":{',
            b'"device":',
            b'"message":',
        ),
    ),
    Target(
        "result",
        results,
        (InvalidValue,),
        ("drivers.plain",),
        bytes_per_byte=400,
        tokens=(b'"make":', b'"Infinity"', b'"columns":{', b'"dtypes":{', b'"status":"ok"', b'"techniques":[', b"null"),
    ),
    Target(
        "parameters",
        parameters,
        (InvalidValue,),
        ("drivers.fields", "drivers.calls", "bridge.procedures", "bridge.daemon.watch_options"),
        bytes_per_byte=400,
        limit=1024,
        tokens=(
            *_UNIT_TOKENS,
            *(b'{"procedure":"cycle"', b'"technique":"galvanostatic"', b'"current":"1 pA"', b'"duration":"1 s"'),
            *(f'"{name}"'.encode() for name in PROCEDURES),
        ),
    ),
    Target(
        "call",
        call,
        (InvalidValue,),
        ("drivers.calls", "drivers.quantities"),
        bytes_per_byte=400,
        limit=512,
        tokens=(
            *_UNIT_TOKENS,
            b'"x":"1 mm"',
            b'"current":',
            b'"tilt":',
            b'"route":"cell"',
            b'"speed":',
            b'"duration":',
        ),
    ),
    Target("quantity", quantities, (InvalidValue,), ("drivers.quantities",), 1000, limit=256, tokens=_UNIT_TOKENS),
    Target(
        "topic",
        topic,
        (InvalidValue,),
        (f"{_TRANSFER}.topics",),
        bytes_per_byte=400,
        limit=512,
        tokens=(b"picobridge/lab/request/", b"picobridge/lab/reply/", b"+", b"#", b"$SYS", b"\0"),
    ),
    Target(
        "broker-address",
        broker_address,
        (InvalidValue,),
        (f"{_TRANSFER}.mqtt",),
        bytes_per_byte=400,
        limit=256,
        tokens=(b"mqtt://", b"mqtts://", b"[::1]", b":1883", b"@", b"%40", b"?", b"#"),
    ),
    Target(
        "mqtt-connect",
        hello,
        (),
        (f"{_TRANSFER}.embedded_broker",),
        bytes_per_byte=200,
        limit=512,
        tokens=(b"\x10", b"\0\4MQTT\4", b"\0\4MQTT\5", b"\xff\xff\xff\x7f", b"\0\6MQIsdp\3"),
    ),
)
