"""Request and reply stay in pairs, whatever the wire does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import (
    DeviceError,
    DeviceLost,
    DeviceTimeout,
    InvalidValue,
    LinkError,
    OutOfSync,
    ProtocolError,
    WrongDevice,
)
from drivers.transports import Conversation, Link, open_transport
from mocks.wires import Served, serve

from .instruments import KINDS, PATIENCE_S, Echo, address_of

QUIET_S = 0.02


@dataclass
class Pace:
    """How long a reply may take: for ever, but where a fault is expected to cost one."""

    reply_s: float = PATIENCE_S


pace = Pace()


@contextmanager
def impatient() -> Iterator[None]:
    pace.reply_s = 0.03
    try:
        yield
    finally:
        pace.reply_s = PATIENCE_S


class Counter(Echo):
    """Answers `value` with 1, 2, 3 and so on: replies that look alike, so that only the pairing tells them apart."""

    def reset(self) -> None:
        super().reset()
        self.value = 0

    def receive(self, data: bytes) -> None:
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        for line in lines:
            self.record.append(line.decode())
            if line == b"value":
                self.value += 1
                self.send(b"%d\n" % self.value)
            elif line == b"hello":
                self.send(b"counter\n")
            else:
                self.send(b"error 7\n")


@dataclass
class Bench:
    counter: Counter
    served: Served
    link: Link

    async def value(self) -> int:
        async with self.link.transaction("value") as talk:
            return int(await ask(talk, b"value"))

    def asked(self) -> int:
        return self.counter.value


async def ask(talk: Conversation, question: bytes) -> bytes:
    await talk.send(question + b"\n")
    reply = await talk.read_until(b"\n", pace.reply_s)
    if reply.startswith(b"error"):
        raise DeviceError("unknown command", code=7)
    return reply


async def greet(talk: Conversation) -> None:
    if (reply := await ask(talk, b"hello")) != b"counter":
        raise ProtocolError(f"{reply!r} is no greeting")


@asynccontextmanager
async def bench(
    kind: str = "serial", synchronise: Callable[[Conversation], object] = greet, *, opened: bool = True
) -> AsyncIterator[Bench]:
    counter = Counter("counter")
    async with serve(counter, KINDS[kind]) as served:
        transport = open_transport(address_of(served, kind))
        link = Link(transport, synchronise, name="counter", quiet_s=QUIET_S, speaks_when_spoken_to=True)  # type: ignore[arg-type]
        if opened:
            await link.open()
        try:
            yield Bench(counter, served, link)
        finally:
            await link.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_exchanges_follow_each_other_without_a_new_greeting(kind: str) -> None:
    async with bench(kind) as b:
        assert [await b.value() for _ in range(4)] == [1, 2, 3, 4]
        assert b.counter.record.count("hello") == 1
        assert not b.link.dirty


FAULTS: list[dict[str, object]] = [
    {"fault": "late"},
    {"fault": "duplicate"},
    {"fault": "drop"},
    {"fault": "drop", "offset": 0, "count": 1},
    {"fault": "drop", "offset": -1, "count": 1},
    {"fault": "deaf", "times": 1},
    {"fault": "split", "times": 1},
    {"fault": "garbage", "data": "00 ff"},
    {"fault": "garbage", "data": "0d 0a"},
    {"fault": "garbage", "data": "39 0a", "after": True},
    {"fault": "merge", "count": 2, "times": 2},
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: "-".join(map(str, fault.values())))
@pytest.mark.parametrize("wire", ["serial", "usb"])
async def test_no_fault_ever_gives_an_older_value(wire: str, fault: dict[str, object]) -> None:
    async with bench(wire) as b:
        assert await b.value() == 1
        b.served.faults.script([fault])
        with impatient():
            for _ in range(3):
                try:
                    value = await b.value()
                except (LinkError, ValueError):
                    assert b.link.dirty
                    continue
                assert value == b.asked()
        b.served.faults.clear()
        # whatever was held back is lost now, so this must succeed
        assert await b.value() == b.asked()


async def test_a_late_reply_is_never_the_answer_to_a_later_question(kind: str) -> None:
    async with bench(kind) as b:
        b.served.faults.late()
        with impatient(), pytest.raises(DeviceTimeout) as caught:
            await b.value()
        assert str(caught.value).startswith("counter: value: no answer from")
        assert caught.value.sent == b"value\n"
        # the first value arrives in the middle of the greeting of the resynchronisation
        assert await b.value() == 2
        assert b.counter.record.count("value") == 2


async def test_a_late_reply_that_looks_like_the_greeting_is_seen_through() -> None:
    async with bench() as b:
        b.served.faults.late()
        with impatient(), pytest.raises(DeviceTimeout):
            async with b.link.transaction("greet") as talk:
                await greet(talk)
        # the old greeting answers the new one's question; the new greeting is then one too many
        assert await b.value() == 1


async def test_a_cancelled_exchange_leaves_the_next_one_right(kind: str) -> None:
    async with bench(kind) as b:
        b.served.faults.late()
        asking = asyncio.create_task(b.value())
        async with asyncio.timeout(PATIENCE_S):
            await b.served.faults.holding()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert b.link.dirty
        assert not b.link.busy
        b.served.faults.release()
        assert await b.value() == 2


async def test_exchanges_of_several_tasks_take_turns() -> None:
    async with bench() as b:
        assert sorted(await asyncio.gather(*(b.value() for _ in range(20)))) == list(range(1, 21))


async def test_out_of_sync_after_three_attempts_and_nothing_was_asked() -> None:
    async with bench() as b:
        b.served.faults.garbage(b"noise\n", times=None)
        with pytest.raises(ValueError, match="noise"):
            await b.value()
        with pytest.raises(OutOfSync, match=r"could not be paired again: b'noise' is no greeting") as caught:
            await b.value()
        assert caught.value.device == "counter"
        assert "power-cycle" in caught.value.hint
        assert b.counter.record.count("value") == 1
        assert b.counter.record.count("hello") == 1 + 3


async def test_a_wrong_baud_rate_is_named_at_opening() -> None:
    async with serve(Counter("counter")) as served:
        link = Link(open_transport(served.address + "?baud=4800"), greet, name="counter", quiet_s=0.01)
        with impatient(), pytest.raises((OutOfSync, DeviceTimeout)) as caught:
            await link.open()
        assert "baud rate" in caught.value.hint
        assert not link.transport.is_open


async def test_a_link_that_cannot_be_opened_closes_its_wire(kind: str) -> None:
    async with bench(kind, opened=False) as b:
        b.served.faults.silence()
        with impatient(), pytest.raises(DeviceTimeout):
            await b.link.open()
        assert not b.link.transport.is_open
        b.served.faults.clear()
        await b.link.open()
        assert await b.value() == 1


async def test_the_wrong_device_keeps_its_name() -> None:
    async def refuse(talk: Conversation) -> None:
        await ask(talk, b"hello")
        raise WrongDevice("that is a toaster")

    async with bench(synchronise=refuse, opened=False) as b:
        with pytest.raises(WrongDevice, match="counter: synchronise: that is a toaster"):
            await b.link.open()


async def test_errors_that_leave_the_pairing_whole() -> None:
    async with bench() as b:
        with pytest.raises(DeviceError) as device_error:
            async with b.link.transaction("nonsense") as talk:
                await ask(talk, b"nonsense")
        assert (device_error.value.device, device_error.value.operation) == ("counter", "nonsense")
        assert not b.link.dirty
        with pytest.raises(InvalidValue):
            async with b.link.transaction("checked first") as talk:
                raise InvalidValue("too far")
        assert not b.link.dirty
        with suppress(InvalidValue):
            async with b.link.transaction("asked first") as talk:
                await talk.send(b"value\n")
                raise InvalidValue("too late")
        assert b.link.dirty
        assert await b.value() == 2


async def test_half_a_command_sent_before_does_not_spoil_the_resynchronisation() -> None:
    async with bench() as b:
        with suppress(ZeroDivisionError):
            async with b.link.transaction("half") as talk:
                await talk.send(b"val")
                raise ZeroDivisionError
        # the counter takes `valhello` for a command that it does not know, and says so
        assert await b.value() == 1


async def test_a_lost_wire_ends_a_transaction_at_once() -> None:
    async with bench() as b:
        await b.served.unplug()
        with pytest.raises(DeviceLost) as caught:
            await b.value()
        assert caught.value.device == "counter"


async def test_urgent_bytes_do_not_wait_for_the_transaction_under_way(kind: str) -> None:
    async with bench(kind) as b:
        b.served.faults.late()
        async with b.link.transaction("long") as talk:
            await talk.send(b"value\n")
            reading = asyncio.create_task(talk.read_until(b"\n", PATIENCE_S))
            async with asyncio.timeout(PATIENCE_S):
                await b.served.faults.holding()
                await b.link.urgent(b"value\n")
            assert await reading == b"1"
            assert await talk.read_until(b"\n", PATIENCE_S) == b"2"


async def test_what_was_read_too_far_comes_again() -> None:
    async with bench() as b, b.link.transaction("look") as talk:
        await talk.send(b"value\n")
        first = await talk.read_some(PATIENCE_S)
        talk.unread(first)
        assert await talk.read_until(b"\n", PATIENCE_S) == b"1"
        await talk.send(b"value\n")
        assert await talk.read_exactly(1, PATIENCE_S) == b"2"
        assert await talk.read_exactly(1, PATIENCE_S) == b"\n"


async def test_a_short_frame_says_how_much_came() -> None:
    async with bench() as b:
        b.served.faults.drop(offset=3, count=None)
        with impatient(), pytest.raises(DeviceTimeout, match="only 3 bytes of it") as caught:
            async with b.link.transaction("short") as talk:
                await ask(talk, b"hello")
        assert caught.value.received == b"cou"


async def test_a_line_without_an_end_is_given_up() -> None:
    async with bench() as b:
        b.served.faults.garbage(b"x" * 500)
        async with b.link.transaction("babble") as talk:
            await talk.send(b"hello\n")
            with pytest.raises(ProtocolError, match="without the end of a line"):
                await talk.read_until(b"\r", PATIENCE_S, limit=100)


@settings(max_examples=10)
@given(
    st.lists(
        st.sampled_from(["late", "duplicate", "drop", "deaf", "split", "garbage", "corrupt", "ok"]),
        min_size=1,
        max_size=4,
    )
)
def test_any_sequence_of_faults_gives_the_true_value_or_an_error(faults: list[str]) -> None:
    async def play() -> None:
        async with bench("tcp") as b:
            for fault in faults:
                if fault == "corrupt":
                    # only to what is no digit: a flipped digit is the protocol's business, not the link's
                    b.served.faults.corrupt(mask=0x80)
                elif fault != "ok":
                    b.served.faults.script([{"fault": fault, "times": 1}])
                with impatient(), suppress(LinkError, ValueError):
                    value = await b.value()
                    assert value == b.asked()
            b.served.faults.clear()
            assert await b.value() == b.asked()

    asyncio.run(play())
