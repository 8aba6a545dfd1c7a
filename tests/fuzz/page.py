"""What a browser sends over the page's WebSocket: whatever passes on to the broker is what its user may."""

from __future__ import annotations

from collections.abc import Iterator

from paho.mqtt.client import topic_matches_sub

from bridge.access.rates import Bucket
from bridge.transfer.topics import Topics
from bridge.web.policy import Account, Policy
from drivers.errors import InvalidValue, PicobridgeError, Refused

from .target import Target

_TOPICS = Topics("picobridge/lab")
_ACCOUNT = Account("picobridge-page-1", "daemon", "secret")
#: What alice must never hear: others' answers, requests, the daemons' own topics, the broker's
_NOT_HERS = ("reply/bob", "reply/bob/page", "replay/bob/x", "request/bob/call", "request/call", "claim", "reply")


def page(data: bytes) -> None:
    """The first byte says for whom. The same passes however it is cut, and it is what somebody else's reading of the
    same bytes calls allowed."""
    user = "alice" if data[:1] >= b"\x80" else ""
    data = data[1:]
    passed, error = _passed(user, [data])
    pieces = [data[at : at + 1] for at in range(len(data))]
    in_pieces, other = _passed(user, pieces)
    assert in_pieces == passed
    assert (error is None) == (other is None)
    for number, (kind, flags, body) in enumerate(_packets(passed)):
        assert (kind == 1) == (number == 0), "one CONNECT, and it comes first"
        if kind == 1:
            # a clean session without a will, as the daemon's own account
            assert body[:6] == b"\0\4MQTT"
            assert body[7] == 0xC2
            assert body.endswith(b"\0\x11picobridge-page-1\0\6daemon\0\6secret")
        elif kind == 3:
            topic = _text(body, 0)
            start = f"picobridge/lab/request/{user}/" if user else ""
            assert topic.startswith(start)
            assert "/request/" in topic
            assert not flags & 1
        elif kind == 8:
            for topic_filter in _filters(body, passed[_version_at(passed)]):
                assert not topic_filter.startswith("$")
                if user:
                    assert not any(topic_matches_sub(topic_filter, f"picobridge/lab/{each}") for each in _NOT_HERS)
                    assert not topic_matches_sub(topic_filter, "picobridge/other/status")
    if error is not None:
        raise error


def _passed(user: str, pieces: list[bytes]) -> tuple[bytes, PicobridgeError | None]:
    policy = Policy(_TOPICS, user, _ACCOUNT, Bucket(1e9, 1_000_000))
    passed = b""
    for piece in pieces:
        try:
            for packet in policy.judged(piece):
                passed += packet
        except (InvalidValue, Refused) as error:
            return passed, error
    return passed, None


def _packets(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    while data:
        length, shift, at = 0, 0, 1
        while True:
            length |= (data[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if not data[at - 1] & 0x80:
                break
        assert len(data) >= at + length, "only whole packets pass"
        yield data[0] >> 4, data[0] & 15, data[at : at + length]
        data = data[at + length :]


def _version_at(data: bytes) -> int:
    return data.index(b"\0\4MQTT") + 6


def _filters(body: bytes, version: int) -> list[str]:
    at = 2
    if version == 5:
        length, shift = 0, 0
        while True:
            length |= (body[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if not body[at - 1] & 0x80:
                break
        at += length
    found = []
    while at < len(body):
        found.append(_text(body, at))
        at += 3 + int.from_bytes(body[at : at + 2], "big")
    return found


def _text(body: bytes, at: int) -> str:
    size = int.from_bytes(body[at : at + 2], "big")
    return body[at + 2 : at + 2 + size].decode()


_HELLO = (b"\x10\x0d\0\4MQTT\4\2\0<\0\1x", b"\x10\x0e\0\4MQTT\5\2\0<\0\0\1x")

TARGETS = (
    Target(
        "page",
        page,
        (InvalidValue, Refused),
        ("bridge.web.packets", "bridge.web.policy"),
        bytes_per_byte=400,
        limit=512,
        tokens=(
            *(b"\x80" + hello for hello in _HELLO),
            *(b"\0" + hello for hello in _HELLO),
            *(
                b"\x82",
                b"\x30",
                b"\x32",
                b"\x31",
                b"\xa2",
                b"\x40\2\0\1",
                b"\xc0\0",
                b"\xe0\0",
                b"\0\1",
                b"\xff\xff\x7f",
            ),
            *(b"picobridge/lab/", b"request/alice/call", b"reply/alice/", b"reply/bob", b"status", b"devices/+/state"),
            *(b"/#", b"+", b"$share/", b"request/stop"),
        ),
    ),
)
