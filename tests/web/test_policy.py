"""What passes from a browser, judged without a broker: rates, sizes, and whose CONNECT the broker gets."""

from __future__ import annotations

import paho.mqtt.client as paho
import pytest

from bridge.access.rates import Bucket
from bridge.transfer.topics import Topics
from bridge.web.policy import SUBSCRIPTIONS, Account, Policy
from drivers.errors import InvalidValue, Refused

from .conftest import connect_packet, packet, publish_packet, subscribe_packet, text

TOPICS = Topics("picobridge/lab")
ACCOUNT = Account("picobridge-page-1", "daemon", "secret")


def policy(user: str = "", *, now_s: float = 0.0) -> Policy:
    made = Policy(TOPICS, user, ACCOUNT, Bucket(50, 200, lambda: now_s))
    made.feed(connect_packet())
    return made


@pytest.mark.parametrize("version", [4, 5])
def test_connect_has_our_account_and_nothing_of_the_browsers(version: int) -> None:
    will = (b"\0" if version == 5 else b"") + text("picobridge/lab/status") + text("gone")
    said = connect_packet(version=version, flags=0xEC, identifier="other", rest=will + text("eve") + text("guess"))
    passed = Policy(TOPICS, "alice", ACCOUNT).feed(said)
    expected = connect_packet(
        version=version, flags=0xC2, identifier=ACCOUNT.identifier, rest=text("daemon") + text("secret")
    )
    assert passed == expected


def test_what_a_browser_says_that_it_can_take_is_kept() -> None:
    """Of the properties of MQTT 5: how many, how long, and aliases; not for how long its session is to be kept."""
    properties = b"\x11\0\0\x10\0" + b"\x21\0\x14" + b"\x22\0\x05" + b"\x27\0\x01\0\0" + b"\x26" + text("a") + text("b")
    body = text("MQTT") + bytes((5, 2, 0, 60, len(properties))) + properties + text("x")
    passed = Policy(TOPICS, "", Account("id")).feed(packet(0x10, body))
    kept = b"\x21\0\x14" + b"\x22\0\x05" + b"\x27\0\x01\0\0"
    assert passed == packet(0x10, text("MQTT") + bytes((5, 2, 0, 60, len(kept))) + kept + text("id"))


def test_stops_are_never_held_back() -> None:
    page = policy("alice")
    for _ in range(200):
        page.feed(publish_packet("picobridge/lab/request/alice/ping"))
    for method in ("stop", "emergency_stop") * 100:
        stop = publish_packet(f"picobridge/lab/request/alice/{method}", b"")
        assert page.feed(stop) == stop
    with pytest.raises(Refused, match="more than 50 requests a second"):
        page.feed(publish_packet("picobridge/lab/request/alice/ping"))


def test_subscriptions_are_counted_until_they_are_given_up() -> None:
    page = policy()
    for number in range(SUBSCRIPTIONS):
        page.feed(subscribe_packet(f"a/{number}"))
    page.feed(subscribe_packet("a/0"))
    page.feed(packet(0xA2, b"\0\1" + text("a/1")))
    page.feed(subscribe_packet("b"))
    with pytest.raises(Refused, match="more than 256 subscriptions"):
        page.feed(subscribe_packet("c"))


@pytest.mark.parametrize("kind", [0x30, 0x82, 0xA2, 0x10])
def test_a_length_is_refused_before_its_bytes_have_come(kind: int) -> None:
    with pytest.raises(InvalidValue, match="accepted: "):
        policy().feed(bytes((kind,)) + b"\xff\xff\x7f")


def test_requests_of_other_bridges_pass_where_nobody_has_a_name() -> None:
    """A page over several daemons of one broker."""
    other = publish_packet("picobridge/other/request/ping")
    assert policy().feed(other) == other


def test_what_passes_is_what_paho_says() -> None:
    """Somebody else's packets, to the last byte."""
    sent: list[bytes] = []

    class Client(paho.Client):
        def _packet_queue(self, command: int, packet: bytes, *rest: object, **more: object) -> int:
            sent.append(bytes(packet))
            return 0

    client = Client(paho.CallbackAPIVersion.VERSION2, client_id="x", protocol=paho.MQTTv5)
    client._sock = object()  # it would send nothing otherwise
    client._send_connect(60)
    client._send_subscribe(False, [("picobridge/lab/events", paho.SubscribeOptions(qos=1))])
    client._send_publish(7, b"picobridge/lab/request/alice/call", b"{}", qos=1)
    client._send_puback(3)
    client._send_unsubscribe(False, [b"picobridge/lab/events"])
    client._send_pingreq()
    client._send_disconnect()
    client._sock = None
    page = Policy(TOPICS, "alice", ACCOUNT)
    passed = [page.feed(each) for each in sent]
    assert len(passed) == 7
    assert passed[1:] == sent[1:]
