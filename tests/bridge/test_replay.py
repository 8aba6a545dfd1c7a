"""Samples of the past: what leaves a full queue, and how it is sent again, behind what is new."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from bridge.transfer import codec
from bridge.transfer.mqtt import BrokerAddress, Message
from bridge.transfer.pump import SamplePump
from bridge.transfer.replay import Replay, Replayed, Stored
from bridge.transfer.uplink import Uplink
from drivers.samples import SampleBlock

from .fakes import ramp
from .test_pump import drain, indices


class Keeper:
    """Remembers what it got; durable is what the test says."""

    def __init__(self) -> None:
        self.blocks: list[SampleBlock] = []
        self.durable_index = 0

    def append(self, block: SampleBlock) -> None:
        self.blocks.append(block)

    def durable(self, stream: str) -> int:
        assert stream == "s"
        return self.durable_index

    async def read(self, first: int, limit_bytes: int) -> Sequence[Stored]:
        found: list[Stored] = []
        for block in self.blocks:
            if block.next_index > first and sum(len(p) for _, _, p in found) < limit_bytes:
                found.append((block.first_index, block.next_index, codec.encode(block)))
        return found


def kept(count: int, size: int = 10) -> Keeper:
    keeper = Keeper()
    pump = SamplePump("s", lambda: None, keeper=keeper)
    for block in ramp(count, size):
        pump.take(block)
    return keeper


def test_the_oldest_blocks_leave_a_full_queue_when_they_are_durable_and_only_then() -> None:
    keeper = Keeper()
    pump = SamplePump("s", lambda: None, 50_000, keeper)
    for block in ramp(1000, 10):
        pump.take(block)
    assert pump.full
    assert pump.left_to_replay == 0
    keeper.durable_index = 700
    pump.relieve()
    assert not pump.full
    left = pump.left_to_replay
    assert 0 < left <= 700
    assert indices(drain(pump)) == list(range(left, 1000))
    assert (pump.pending, pump.published) == (0, 1000 - left)
    assert indices_of(keeper) == list(range(1000))


def test_what_was_sent_and_not_acknowledged_leaves_first() -> None:
    keeper = Keeper()
    pump = SamplePump("s", lambda: None, 50_000, keeper)
    for block in ramp(100, 10):
        pump.take(block)
    packages = [package for _ in range(3) if (package := pump.next(1000)) is not None]
    sent = sum(len(package.block) for package in packages)
    pump.lost(packages)
    keeper.durable_index = 10_000
    for block in ramp(1500, 10):
        pump.take(block)
    assert pump.left_to_replay >= sent
    assert indices(drain(pump)) == list(range(pump.left_to_replay, 1600))


def indices_of(keeper: Keeper) -> list[int]:
    return [index for block in keeper.blocks for index in range(block.first_index, block.next_index)]


async def played(keeper: Keeper, first: int, after: int, limit: int = 10**9) -> tuple[list[SampleBlock], Replayed]:
    replay = Replay(keeper.read, lambda: None, first, after, limit)
    task = asyncio.create_task(replay.run())
    blocks: list[SampleBlock] = []
    while not task.done():
        while replay.waiting:
            piece = replay.next(400)
            assert piece is not None
            assert len(piece.payload) <= 800
            blocks.append(codec.decode(piece.payload))
            replay.acknowledged(piece)
        await asyncio.sleep(0)
    return blocks, task.result()


async def test_a_range_is_sent_whole_and_in_order_in_messages_that_the_broker_takes() -> None:
    blocks, outcome = await played(kept(500, 100), 120, 333)
    got = [index for block in blocks for index in range(block.first_index, block.next_index)]
    assert got == list(range(100, 400))
    assert (outcome.next_index, outcome.missing) == (333, ())


async def test_what_the_spool_does_not_have_is_said() -> None:
    keeper = kept(500)
    del keeper.blocks[10:20], keeper.blocks[-5:]
    _, outcome = await played(keeper, 0, 500)
    assert outcome.missing == ((100, 200), (450, 500))
    assert outcome.next_index == 500


async def test_a_replay_ends_at_its_limit_and_says_where_to_go_on() -> None:
    blocks, outcome = await played(kept(100_000, 1000), 0, 100_000, 100_000)
    assert blocks[-1].next_index == outcome.next_index
    assert 1000 < outcome.next_index < 20_000


async def test_a_lost_connection_sends_pieces_again_in_order() -> None:
    woken = asyncio.Event()
    replay = Replay(kept(100).read, woken.set, 0, 100, 10**9)
    task = asyncio.create_task(replay.run())
    await woken.wait()
    pieces = [replay.next(10_000), replay.next(10_000)]
    replay.lost([piece for piece in pieces if piece is not None])
    again = []
    while replay.waiting:
        piece = replay.next(10_000)
        assert piece is not None
        again.append(piece.first_index)
        replay.acknowledged(piece)
    await task
    assert again == list(range(0, 100, 10))


class Wire:
    """A session that takes everything, and acknowledges when the test says."""

    version, max_packet, receive_maximum, congested = "5", None, None, False

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.open: list[asyncio.Future[None]] = []
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def send(self, message: Message) -> asyncio.Future[None] | None:
        self.sent.append(message)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.open.append(future)
        return future

    async def acknowledge_all(self) -> None:
        while self.open:
            self.open.pop(0).set_result(None)
            await asyncio.sleep(0)


@pytest.mark.parametrize("live", [True, False])
async def test_new_samples_go_first_but_do_not_starve_the_past(live: bool) -> None:
    uplink = Uplink(BrokerAddress("x", 1), None, identifier="i", will=Message("w", b""), window=1)  # type: ignore[arg-type]
    wire = Wire()
    pump = SamplePump("s", uplink.wake, keeper=kept(0))
    uplink.attach(pump, "new")
    replay = Replay(kept(300).read, uplink.wake, 0, 300, 10**9)
    uplink.attach_past(replay, "past")
    if live:
        for number, block in enumerate(ramp(1000, 10)):
            pump.take(type(block)(block.stream, 0, 0, block.columns, block.data, None, {"step": number}))
    task = asyncio.create_task(replay.run())
    await asyncio.sleep(0)
    uplink._begin(wire)  # type: ignore[arg-type]
    await wire.acknowledge_all()
    await task
    order = "".join(message.topic[0] for message in wire.sent)
    if live:
        assert order.startswith("nnnpnnnpnnnp")
        assert order.count("n") == 100
    assert order.count("p") == 30
