"""A stream without gaps: what is dropped, delivered twice or missed is there in the end, in order, once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bridge.client.complete import CompleteStream
from bridge.client.connection import Listener
from bridge.transfer import codec
from bridge.transfer.mqtt import Incoming
from drivers.errors import Busy, InvalidValue
from drivers.samples import SampleBlock
from tests.bridge.fakes import ramp

from .conftest import BenchMaker

OWN = "picobridge/lab/replay/test"


class Daemon:
    """What a daemon has, and how it answers; `forgotten` samples at the beginning are gone from its spool."""

    def __init__(self, blocks: list[SampleBlock], listener: Listener, *, forgotten: int = 0, refusals: int = 0) -> None:
        self.blocks = [block.rebased("pstat-1", block.first_index) for block in blocks]
        self.listener = listener
        self.forgotten = forgotten
        self.refusals = refusals
        self.recorded: dict[str, int] = {}

    def send(self, block: SampleBlock, topic: str = "picobridge/lab/devices/pstat/samples") -> None:
        self.listener.offer(Incoming(topic, codec.encode(block)))

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
        for block in self.blocks:
            if block.next_index > max(first, self.forgotten) and block.first_index < after:
                self.send(block, OWN)
        return {"next_index": after, "missing": [[first, self.forgotten]] if first < self.forgotten else []}


async def collect(stream: CompleteStream, daemon: Daemon) -> list[int]:
    """Indices, in order, until there is nothing more."""
    got: list[int] = []
    await stream.check(at_once=True)
    async with asyncio.timeout(20):
        while not stream.complete:
            block = stream.take()
            if block is None:
                await stream.arrived()
            else:
                got += range(block.first_index, block.next_index)
                assert block["voltage_v"].tolist() == [float(i) for i in range(block.first_index, block.next_index)]
    await stream.close()
    return got


@given(st.lists(st.sampled_from(["arrives", "is lost", "comes twice"]), min_size=1, max_size=30), st.integers(1, 7))
def test_whatever_the_broker_drops_every_sample_is_there_once_and_in_order(fates: list[str], size: int) -> None:
    async def run() -> None:
        listener = Listener((), False)
        daemon = Daemon(ramp(len(fates) * size, size), listener)
        stream = CompleteStream(listener, OWN, daemon.ask, "archive", "+")
        await stream.start()
        for block, fate in zip(daemon.blocks, fates, strict=True):
            for _ in range({"arrives": 1, "is lost": 0, "comes twice": 2}[fate]):
                daemon.send(block)
        assert await collect(stream, daemon) == list(range(len(fates) * size))
        assert stream.missing == 0

    asyncio.run(run())


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
