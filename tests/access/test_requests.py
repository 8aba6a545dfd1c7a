"""What becomes of a request on its way to a handler, without a broker: the topic says who sent it."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from bridge.access.caller import CALLER, Caller
from bridge.access.gate import Gate
from bridge.access.options import Access
from bridge.access.permissions import STOPS, Role
from bridge.access.rates import Bucket
from bridge.daemon import refusals
from bridge.daemon.events import Events
from bridge.daemon.requests import Requests
from bridge.transfer.messages import Request
from bridge.transfer.mqtt import Incoming, Message
from bridge.transfer.topics import Topics
from bridge.transfer.uplink import Uplink
from drivers.errors import Busy, PicobridgeError

TOPICS = Topics.of("lab")
ACCESS = Access(users={"alice": Role.OPERATOR, "bob": Role.OPERATOR, "eve": Role.OBSERVER, "root": Role.ADMINISTRATOR})


class Wire:
    """In place of an uplink: what was published, by topic."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def publish(self, message: Message) -> None:
        self.sent.append(message)

    def on(self, topic: str) -> list[Any]:
        return [json.loads(message.payload) for message in self.sent if message.topic == topic]


class Desk:
    """A daemon's requests, with handlers that remember what they were asked, and by whom."""

    def __init__(self, access: Access | None) -> None:
        self.wire = Wire()
        self.done: list[tuple[str, Mapping[str, Any], Caller]] = []
        self.refused: list[tuple[str, str, PicobridgeError, int]] = []
        uplink = cast("Uplink", self.wire)
        methods = ("ping", "call", "override", *STOPS)
        self.requests = Requests(
            {method: self._handler(method) for method in methods},
            uplink,
            TOPICS,
            Events(uplink, TOPICS),
            access,
            lambda *what: self.refused.append(what),
        )

    def _handler(self, method: str) -> Callable[[Mapping[str, Any]], Any]:
        async def handle(params: Mapping[str, Any]) -> int:
            self.done.append((method, params, CALLER.get()))
            return len(self.done)

        return handle

    async def send(self, topic: str, payload: bytes = b"", **more: Any) -> None:
        """Receive, and let the handler run."""
        self.requests.receive(Incoming(f"{TOPICS.prefix}/request/{topic}", payload, **more))
        for _ in range(3):
            await asyncio.sleep(0)

    async def ask(self, user: str, method: str = "call", **fields: Any) -> Any:
        """The reply in the user's own branch; None if there is none."""
        topic = f"{TOPICS.prefix}/reply/{user}"
        before = len(self.wire.on(topic))
        await self.send(f"{user}/{method}", envelope(**{"reply_to": topic, **fields}))
        replies = self.wire.on(topic)[before:]
        return replies[0] if replies else None


def envelope(**fields: Any) -> bytes:
    whole = {"id": str(uuid.uuid4()), "expires_at": time.time() + 10, **fields}
    return json.dumps({key: value for key, value in whole.items() if value is not None}).encode()


@asynccontextmanager
async def desk_for(access: Access | None) -> AsyncIterator[Desk]:
    desk = Desk(access)
    yield desk
    await desk.requests.close()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with desk_for(ACCESS) as made:
        yield made


async def test_the_topic_says_who_asks(desk: Desk) -> None:
    assert (await desk.ask("alice", lease="l1", fence=3, seq=1))["ok"]
    assert (await desk.ask("alice", **{"from": "alice-notebook"}))["ok"]
    assert [caller for _, _, caller in desk.done] == [
        Caller("alice", Role.OPERATOR, "alice", "l1", 3),
        Caller("alice", Role.OPERATOR, "alice-notebook"),
    ]
    assert CALLER.get() == Caller()


@pytest.mark.parametrize("sender", ["bob", "alicia", "daemon", "alice_2"])
async def test_a_forged_sender_is_refused(desk: Desk, sender: str) -> None:
    reply = await desk.ask("alice", **{"from": sender})
    assert reply["error"]["message"].startswith(f"from is '{sender}', and the request came as alice's; accepted: alice")
    assert desk.done == []
    ((user, method, error, left_out),) = desk.refused
    assert (user, method, left_out) == ("alice", "call", 0)
    assert error.message == reply["error"]["message"]


async def test_roles(desk: Desk) -> None:
    for user, method, ok in (
        ("eve", "ping", True),
        ("eve", "call", False),
        ("alice", "call", True),
        ("alice", "override", False),
        ("root", "override", True),
        ("alice", "what", False),
        ("mallory", "ping", False),
        ("daemon", "ping", False),
    ):
        assert (await desk.ask(user, method))["ok"] is ok, (user, method)
    assert [(user, method) for user, method, _, _ in desk.refused] == [
        ("eve", "call"),
        ("alice", "override"),
        ("alice", "what"),
        ("mallory", "ping"),
        ("daemon", "ping"),
    ]
    (unknown,) = desk.wire.on(f"{TOPICS.prefix}/reply/mallory")
    assert unknown["error"]["message"] == "mallory is no user of this bridge; ping was not executed"
    assert (await desk.ask("root", "what"))["error"]["message"].startswith("method 'what' is not known")


async def test_who_says_no_name_is_refused_but_for_a_stop(desk: Desk) -> None:
    await desk.send("call", envelope(**{"from": "alice", "reply_to": f"{TOPICS.prefix}/reply/alice"}))
    assert desk.done == []
    assert desk.wire.on(f"{TOPICS.prefix}/reply/alice") == [], "whose branch it is was not proven"
    ((_, _, error, _),) = desk.refused
    assert "does not say who asks" in error.message
    for method in STOPS:
        await desk.send(method, envelope(**{"from": "alice", "reply_to": f"{TOPICS.prefix}/reply/alice"}))
    assert [method for method, _, _ in desk.done] == list(STOPS)
    assert desk.wire.on(f"{TOPICS.prefix}/reply/alice") == []


@pytest.mark.parametrize("method", STOPS)
async def test_a_stop_is_executed_for_everybody_however_it_is_written(desk: Desk, method: str) -> None:
    payloads = [
        b"",
        b"\xff",
        b"{",
        envelope(expires_at=1.0),
        envelope(**{"from": "bob"}),
        b"x" * 100_000,
        envelope(id=""),
    ]
    for count, payload in enumerate(payloads, 1):
        await desk.send(f"eve/{method}", payload)
        assert len(desk.done) == count
    await desk.send(f"mallory/{method}")
    assert len(desk.done) == len(payloads) + 1
    assert {caller.user for _, _, caller in desk.done} == {"eve", "mallory"}
    assert {caller.sender for _, _, caller in desk.done} == {"eve", "mallory"}, "a forged name is not taken over"
    repeated = envelope(id="same", reply_to=f"{TOPICS.prefix}/reply/eve")
    for _ in range(2):
        await desk.send(f"eve/{method}", repeated)
    assert len(desk.wire.on(f"{TOPICS.prefix}/reply/eve")) == 2
    assert len(desk.done) == len(payloads) + 3
    await desk.send(f"eve/{method}", b"", retain=True)
    assert len(desk.done) == len(payloads) + 3, "what is retained was meant for another time"
    assert [error.message for *_, error, _ in desk.refused] == [
        f"request/{method} is retained on the broker; it was not executed"
    ]


async def test_an_unknown_emergency_stop_is_an_unknown_method(desk: Desk) -> None:
    del desk.requests._handlers["emergency_stop"]  # type: ignore[attr-defined]  # a daemon that has none
    assert (await desk.ask("root", "emergency_stop"))["error"]["error"] == "InvalidValue"


@pytest.mark.parametrize(
    "topic", ["reply/bob", "reply/bob/alice", "reply/alice-2", "reply/alice2/x", "status", "reply/"]
)
async def test_a_reply_goes_only_to_whoever_asked(desk: Desk, topic: str) -> None:
    await desk.send("alice/call", envelope(reply_to=f"{TOPICS.prefix}/{topic}"))
    await desk.send("alice/stop", envelope(reply_to=f"{TOPICS.prefix}/{topic}"))
    assert {message.topic for message in desk.wire.sent} == {TOPICS.events}
    assert [method for method, _, _ in desk.done] == ["stop"]
    (event,) = desk.wire.on(TOPICS.events)
    assert f"accepted: a topic below {TOPICS.prefix}/reply/alice/" in event["text"]
    for own in ("reply/alice", "reply/alice/notebook", "reply/alice/a/b"):
        await desk.send("alice/ping", envelope(reply_to=f"{TOPICS.prefix}/{own}"))
        assert len(desk.wire.on(f"{TOPICS.prefix}/{own}")) == 1


async def test_an_id_acts_once_is_answered_twice_and_is_each_users_own(desk: Desk) -> None:
    for _ in range(2):
        assert (await desk.ask("alice", id="once", params={"x": 1}))["result"] == 1
    other = await desk.ask("alice", id="once", params={"x": 2})
    assert other["error"]["message"].startswith("id is 'once', which another request had before")
    assert (await desk.ask("bob", id="once", params={"x": 2}))["result"] == 2, "nobody gets another's answer"
    assert len(desk.done) == 2
    assert [user for user, *_ in desk.refused] == ["alice"]


async def test_a_repetition_may_come_later_than_the_next_request(desk: Desk) -> None:
    for seq, result in ((1, 1), (2, 2), (1, 1)):
        assert (await desk.ask("alice", id=f"id-{seq}", seq=seq))["result"] == result


async def test_the_order_holds_for_each_sender_and_lease(desk: Desk) -> None:
    for seq, more, ok in (
        (5, {}, True),
        (5, {}, False),
        (4, {}, False),
        (6, {}, True),
        (1, {"lease": "l1"}, True),
        (1, {"from": "alice-b"}, True),
        (None, {}, True),
        (6, {}, False),
    ):
        reply = await desk.ask("alice", seq=seq, **more)
        assert reply["ok"] is ok, (seq, more)
        if not ok:
            assert (
                reply["error"]["message"]
                == f"seq is {seq}, and {5 if seq != 6 else 6} came before; it was not executed"
            )
    assert (await desk.ask("bob", seq=1))["ok"]


async def test_a_refused_request_does_not_use_up_its_seq(desk: Desk) -> None:
    assert not (await desk.ask("alice", "override", seq=9))["ok"]
    assert not (await desk.ask("root", "what", seq=9))["ok"]
    assert (await desk.ask("alice", seq=1))["ok"]
    assert (await desk.ask("root", seq=1))["ok"]


def test_the_order_of_many_senders_takes_bounded_memory() -> None:
    gate = Gate(None)
    for number in range(10_000):
        gate.check_order(Caller(sender=f"s{number}"), 1)
    assert len(gate._last) == 4096


@pytest.mark.parametrize(
    ("offset", "text"),
    [(2.5, "was issued 2.5"), (3600, "in the future; accepted: at most 2 s"), (-61, "ago; accepted: at most 60 s")],
)
async def test_a_clock_that_is_wrong_is_told_the_daemons_time(desk: Desk, offset: float, text: str) -> None:
    reply = await desk.ask("alice", issued_at=time.time() + offset)
    assert reply["error"]["error"] == "RequestExpired"
    assert text in reply["error"]["message"]
    detail = reply["error"]["detail"]
    assert detail["issued_at"] - offset <= detail["daemon_time_s"] <= time.time()
    assert desk.done == []


async def test_a_clock_that_is_a_little_wrong_is_none(desk: Desk) -> None:
    for offset in (1.5, -50):
        assert (await desk.ask("alice", issued_at=time.time() + offset))["ok"]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"lease": 7}, "lease is 7; accepted: the name of a lease"),
        ({"lease": "a b"}, "lease is 'a b'"),
        ({"fence": -1}, "fence is -1; accepted: a whole number from 0"),
        ({"fence": True}, "fence is True"),
        ({"seq": 1.5}, "seq is 1.5"),
        ({"seq": 1 << 63}, "seq is 9223372036854775808"),
        ({"issued_at": "now"}, "issued_at is 'now'; accepted: UTC in seconds since 1970"),
        (
            {"who": "bob"},
            "field 'who' is not known; accepted: id, from, issued_at, expires_at, reply_to, lease, fence",
        ),
    ],
)
async def test_new_fields_are_held_to_their_form(desk: Desk, fields: dict[str, Any], text: str) -> None:
    reply = await desk.ask("alice", **fields)
    assert text in reply["error"]["message"]
    assert desk.done == []


def test_a_request_of_ours_has_only_the_fields_that_it_needs() -> None:
    plain = Request("call", {}, "alice", 1.0)
    assert list(json.loads(plain.encode())) == ["id", "from", "expires_at", "reply_to", "params"]
    whole = Request("call", {}, "alice", 1.0, issued_at=0.5, lease="l", fence=0, seq=0)
    assert json.loads(whole.encode()) == json.loads(plain.encode()) | {
        "id": whole.id,
        "issued_at": 0.5,
        "lease": "l",
        "fence": 0,
        "seq": 0,
    }


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    now = [100.0]
    bucket = Bucket(10, 5, lambda: now[0])
    assert [bucket.take() for _ in range(7)] == [True] * 5 + [False] * 2
    now[0] += 0.25
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    assert bucket.held_back() == 3
    assert bucket.held_back() == 0
    now[0] += 1000
    assert sum(bucket.take() for _ in range(100)) == 5


def test_users_have_buckets_of_their_own_and_strangers_share_one() -> None:
    gate = Gate(Access(users=ACCESS.users, requests_per_s=1, burst=2), lambda: 100.0)

    def refusal(user: str) -> str:
        try:
            gate.admit(user, "ping")
        except PicobridgeError as error:
            return type(error).__name__
        return ""

    assert [refusal("alice") for _ in range(3)] == ["", "", "Busy"]
    assert refusal("bob") == ""
    assert [refusal(name) for name in ("m1", "m2", "m3", "")] == ["Refused", "Refused", "Busy", "Busy"]
    assert [gate.may_answer("alice") for _ in range(3)] == [True, True, False]


async def test_a_flood_is_refused_counted_and_reported_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    access = Access(users=ACCESS.users, requests_per_s=1, burst=5)
    async with desk_for(access) as desk:
        desk.requests._gate = Gate(access, lambda: clock[0])
        monkeypatch.setattr(refusals, "Bucket", lambda per_s, burst: Bucket(per_s, burst, lambda: clock[0]))
        for _ in range(1000):
            await desk.send("alice/call", envelope(reply_to=f"{TOPICS.prefix}/reply/alice"))
        replies = desk.wire.on(f"{TOPICS.prefix}/reply/alice")
        assert [reply["ok"] for reply in replies] == [True] * 5 + [False] * 5
        assert replies[-1]["error"]["error"] == "Busy"
        assert "more than 1 requests a second" in replies[-1]["error"]["message"]
        assert desk.requests.refused == 995
        assert len(desk.refused) == 10
        await desk.send("alice/stop")
        assert desk.done[-1][0] == "stop"
        assert (await desk.ask("bob"))["ok"]
        clock[0] += 1
        await desk.send("alice/nothing")
        assert desk.refused[-1][3] == 985, "how many were not told"
        assert all(isinstance(error, Busy) for _, _, error, _ in desk.refused[:10])


async def test_what_cannot_be_read_is_reported_with_who_sent_it(desk: Desk) -> None:
    hostile = (
        (b"", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[]", "a JSON list"),
        (b'{"id": "a", "id": "b"}', "occurs twice"),
        (b'{"params": {"x": NaN}}', "no number"),
        (b"[" * 100_000, "at most 65536"),
        (b"[" * 60_000, "nested deeper"),
        (envelope(params={"pad": "x" * 250_000}), "at most 65536"),
    )
    for number, (payload, text) in enumerate(hostile, 1):
        await desk.send("alice/call", payload)
        user, method, error, left_out = desk.refused[-1]
        assert (user, method, left_out, len(desk.refused)) == ("alice", "call", 0, number)
        assert text in error.message
    assert desk.done == []


async def test_without_users_everything_is_as_it_was() -> None:
    async with desk_for(None) as desk:
        reply_to = f"{TOPICS.prefix}/reply/anybody"
        for _ in range(300):
            await desk.send("override", envelope(**{"from": "x", "reply_to": reply_to}))
        assert len(desk.done) == 300
        assert desk.done[0][2] == Caller("", Role.ADMINISTRATOR, "x")
        await desk.send("alice/call", envelope(**{"from": "alice", "reply_to": f"{TOPICS.prefix}/reply/alice"}))
        (reply,) = desk.wire.on(f"{TOPICS.prefix}/reply/alice")
        assert "names a user, and this bridge has none" in reply["error"]["message"]
        await desk.send("call", envelope(**{"from": "carol", "expires_at": 1.0}))
        assert desk.refused[-1][:2] == ("carol", "call")


@pytest.mark.parametrize(
    "topic", ["request", "request/", "request/a/b/c", "request/A/ping", "request//ping", "request/a/"]
)
def test_other_topics_are_no_requests(topic: str) -> None:
    assert TOPICS.request_of(f"{TOPICS.prefix}/{topic}") is None
    assert TOPICS.request_of(TOPICS.request("ping", "alice")) == ("alice", "ping")
    assert TOPICS.request_of(TOPICS.request("ping")) == ("", "ping")
