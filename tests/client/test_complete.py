"""A stream without gaps: what is dropped, delivered twice or missed is there in the end, in order, once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from bridge.client import complete
from bridge.client.complete import CompleteStream
from bridge.client.connection import Listener
from bridge.transfer import codec
from bridge.transfer.mqtt import Incoming
from drivers.errors import Busy, InvalidValue
from drivers.samples import SampleBlock
from tests.bridge.fakes import ramp

from .conftest import BenchMaker

OWN = "picobridge/lab/replay/test"


COPIES = {"arrives": 1, "is lost": 0, "comes twice": 2}
#: what becomes of messages, one after the other
FATES = st.lists(st.sampled_from([*COPIES]), max_size=60)


class Daemon:
    """What a daemon has, and how it answers: to all listeners, as over one connection.

    `forgotten` samples at the beginning are gone from its spool, as are the blocks numbered `gone`. `fates` is what the
    broker does to the messages of replays, one after the other; when they are used up, messages arrive.
    """

    def __init__(
        self,
        blocks: list[SampleBlock],
        *listeners: Listener,
        forgotten: int = 0,
        gone: Collection[int] = (),
        refusals: int = 0,
        fates: Iterable[str] = (),
    ) -> None:
        self.blocks = [block.rebased("pstat-1", block.first_index) for block in blocks]
        self.kept = [b for n, b in enumerate(self.blocks) if b.first_index >= forgotten and n not in gone]
        self.listeners = listeners
        self.forgotten = forgotten
        self.refusals = refusals
        self.fates = iter(fates)
        self.recorded: dict[str, int] = {}

    def send(self, block: SampleBlock, topic: str = "picobridge/lab/devices/pstat/samples") -> None:
        for listener in self.listeners:
            listener.offer(Incoming(topic, codec.encode(block)))

    async def ask(self, method: str, params: Mapping[str, Any]) -> Any:
        await asyncio.sleep(0)
        if method == "streams":
            end = self.blocks[-1].next_index
            known = {"stream": "pstat-1", "device": "pstat", "first_index": self.forgotten, "next_index": end}
            return [{**known, "recorded": dict(self.recorded)}]
        if method == "recorded":
            if params["stream"] != "pstat-1":
                raise InvalidValue(f"stream is {params['stream']!r}; accepted: pstat-1")
            self.recorded[params["recorder"]] = params["next_index"]
            return None
        if self.refusals:
            self.refusals -= 1
            raise Busy("too many replays")
        first, after = params["first_index"], params["next_index"]
        missing, position = [], first
        for block in self.kept:
            if block.next_index > first and block.first_index < after:
                if block.first_index > position:
                    missing.append([position, block.first_index])
                position = block.next_index
                for _ in range(COPIES[next(self.fates, "arrives")]):
                    self.send(block, OWN)
        return {"next_index": after, "missing": [*missing, [position, after]] if position < after else missing}


async def collect(stream: CompleteStream, daemon: Daemon) -> list[int]:
    """Indices, in order, until there is nothing more."""
    got: list[int] = []
    await stream.check(at_once=True)
    async with asyncio.timeout(20):
        while not stream.complete:
            block = stream.take()
            assert all(each.held_bytes <= complete.HELD_BYTES for each in stream._streams.values())
            if block is None:
                await stream.arrived()
            else:
                got += range(block.first_index, block.next_index)
                assert block["voltage_v"].tolist() == [float(i) for i in range(block.first_index, block.next_index)]
    await stream.close()
    return got


@given(
    st.lists(st.sampled_from([*COPIES, "is gone"]), min_size=1, max_size=30),
    FATES,
    st.integers(1, 7),
    st.sampled_from([0, 300, complete.HELD_BYTES]),
)
def test_whatever_the_broker_drops_every_sample_is_there_once_and_in_order(
    fates: list[str], of_replays: list[str], size: int, held_bytes: int
) -> None:
    """Live messages and replayed ones are lost and come twice; some samples never reached the disk either."""

    async def run() -> None:
        listener = Listener((), False)
        gone = [number for number, fate in enumerate(fates) if fate == "is gone"]
        daemon = Daemon(ramp(len(fates) * size, size), listener, gone=gone, fates=of_replays)
        stream = CompleteStream(listener, OWN, daemon.ask, "archive", "+")
        await stream.start()
        for block, fate in zip(daemon.blocks, fates, strict=True):
            for _ in range(COPIES.get(fate, 0)):
                daemon.send(block)
        there = [index for block in daemon.kept for index in range(block.first_index, block.next_index)]
        assert await collect(stream, daemon) == there
        assert (stream.missing, stream.received) == (len(gone) * size, len(there))

    with patch.object(complete, "AGAIN_S", 0.0), patch.object(complete, "HELD_BYTES", held_bytes):
        asyncio.run(run())


@given(FATES)
def test_two_that_follow_a_stream_over_one_connection_take_nothing_from_each_other(of_replays: list[str]) -> None:
    """Both hear what either asks for: one that is at 60 and one that begins at the beginning."""

    async def run() -> None:
        listeners = Listener((), False), Listener((), False)
        daemon = Daemon(ramp(100, 10), *listeners, fates=of_replays)
        daemon.recorded["far"] = 60
        far, near = (
            CompleteStream(listener, OWN, daemon.ask, name, "+")
            for listener, name in zip(listeners, ("far", "near"), strict=True)
        )
        await far.start()
        await near.start()
        assert await asyncio.gather(collect(far, daemon), collect(near, daemon)) == [
            list(range(60, 100)),
            list(range(100)),
        ]
        assert (far.missing, near.missing) == (0, 0)

    with patch.object(complete, "AGAIN_S", 0.0):
        asyncio.run(run())


async def test_what_somebody_else_asked_for_of_another_device_is_left_out() -> None:
    mine, theirs = Listener((), False), Listener((), False)
    daemon = Daemon(ramp(50, 10), mine, theirs)
    stage = CompleteStream(mine, OWN, daemon.ask, "", "stage")
    pstat = CompleteStream(theirs, OWN, daemon.ask, "archive", "pstat")
    await stage.start()
    await pstat.start()
    assert await collect(pstat, daemon) == list(range(50))
    assert stage.take() is None
    assert (stage.received, stage.missing, stage.duplicated) == (0, 0, 0)
    await stage.close()


async def test_what_the_daemon_has_no_longer_is_counted_and_the_rest_comes() -> None:
    listener = Listener((), False)
    daemon = Daemon(ramp(100, 10), listener, forgotten=40)
    stream = CompleteStream(listener, OWN, daemon.ask, "archive", "+")
    daemon.recorded["archive"] = 10
    await stream.start()
    assert await collect(stream, daemon) == list(range(40, 100))
    assert stream.missing == 30


async def test_a_refused_replay_is_asked_for_again(monkeypatch: Any) -> None:
    monkeypatch.setattr("bridge.client.complete.AGAIN_S", 0.0)
    listener = Listener((), False)
    daemon = Daemon(ramp(50, 10), listener, refusals=3)
    stream = CompleteStream(listener, OWN, daemon.ask, "archive", "+")
    await stream.start()
    assert await collect(stream, daemon) == list(range(50))
    assert daemon.refusals == 0


async def test_only_what_was_handed_on_is_told_as_recorded() -> None:
    listener = Listener((), False)
    daemon = Daemon(ramp(30, 10), listener)
    stream = CompleteStream(listener, OWN, daemon.ask, "archive", "+")
    daemon.recorded["archive"] = 0
    for block in daemon.blocks:
        daemon.send(block)
    await stream.start()
    assert stream.take() is not None
    await stream.recorded(stream.handed_on())
    assert daemon.recorded == {"archive": 10}
    await stream.close()


async def test_a_stream_that_the_next_daemon_never_saw_keeps_nothing_else_from_being_told() -> None:
    """A killed daemon had published its first samples, and had none of them on disk."""
    listener = Listener((), False)
    daemon = Daemon(ramp(30, 10), listener)
    stream = CompleteStream(listener, OWN, daemon.ask, "archive", "+")
    await stream.start()
    await stream.recorded({"pstat-0": 5, "pstat-1": 20})
    assert daemon.recorded == {"archive": 20}
    await stream.close()


async def test_a_recorder_that_comes_late_and_again_has_every_sample(bench: BenchMaker) -> None:
    technique = {"technique": "galvanostatic", "current": "10 pA", "duration": "2 s", "interval": "0.1 s"}
    role = {"potentiostat": "pstat"}
    async with bench("pstat") as b:
        await b.lab.run("technique", technique, role)
        first: list[int] = []
        async with b.lab.complete_samples(recorder="archive") as blocks:
            while not first or not blocks.complete:
                block = await anext(blocks)
                first += range(block.first_index, block.next_index)
            await blocks.recorded(blocks.handed_on())
            assert (blocks.replayed, blocks.missing) == (len(first), 0)
        await b.lab.run("technique", technique, role)
        second: list[int] = []
        async with b.lab.complete_samples(recorder="archive") as blocks:
            while not second or not blocks.complete:
                block = await anext(blocks)
                second += range(block.first_index, block.next_index)
        assert [*first, *second] == list(range(b.daemon.devices["pstat"].pump.next_index))  # type: ignore[union-attr]
        assert second[0] == len(first)
        (known,) = await b.lab.request("streams")
        assert known["recorded"] == {"archive": len(first)}
