"""What a script leaves behind when it is interrupted, and what other people's messages do to it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bridge.client import connect
from bridge.client.complete import CompleteStream
from bridge.client.connection import Listener
from bridge.client.run_news import RunNews
from bridge.daemon.runs import Runs
from bridge.record import Collector
from bridge.record import Recorder as FolderRecorder
from bridge.report import recorder as recorder_module
from bridge.report.recorder import Recorder
from bridge.transfer.codec import encode
from bridge.transfer.mqtt import Incoming, Message
from bridge.transfer.topics import Topics
from drivers.errors import BridgeUnreachable, Busy, Interrupted, PicobridgeError, Refused
from tests.bridge.fakes import ramp

from .conftest import BenchMaker


async def test_a_run_whose_start_is_cancelled_does_not_go_on(
    bench: BenchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = asyncio.Event()
    start = Runs.start

    async def seen(self: Runs, *arguments: Any, **more: Any) -> Any:
        run = await start(self, *arguments, **more)
        started.set()  # and its answer is not with the client yet
        return run

    monkeypatch.setattr(Runs, "start", seen)
    async with bench("pstat", speed=1.0) as b:
        parameters = {"technique": "galvanostatic", "current_a": "10 pA", "duration_s": "60 s"}
        starting = asyncio.ensure_future(b.lab.start("technique", parameters, {"potentiostat": "pstat"}))
        await started.wait()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert [state["status"] for state in b.daemon.runs.states()] == ["aborted"]


async def test_a_stop_asks_nothing_before(bench: BenchMaker) -> None:
    async with bench("stage") as b:
        asked: list[str] = []
        receive = b.daemon.uplink._on_message

        def heard(message: Incoming) -> None:
            asked.append(message.topic.rpartition("/")[2])
            receive(message)

        b.daemon.uplink._on_message = heard
        async with connect(b.url, ask_devices=False) as lab:
            outcome = await lab.stop()
        assert outcome["devices"] == {"stage": "safe"}
        assert [method for method in asked if method != "stop"] == []


async def test_a_reply_of_somebody_else_does_not_make_the_client_deaf(bench: BenchMaker) -> None:
    async with bench("stage") as b:
        rubbish = {"id": "x", "ok": False, "error": {"sent": "no hex", "detail": 7}}
        topic = b.daemon.topics.reply(b.lab._name)
        await b.lab._connection.publish(Message(topic, json.dumps(rubbish).encode()))
        async with asyncio.timeout(5):
            assert (await b.lab.request("ping"))["bridge"] == "lab"


async def test_a_run_that_the_daemon_keeps_no_longer_is_forgotten(bench: BenchMaker) -> None:
    async with bench("stage") as b:
        topics = b.daemon.topics
        for payload in (b'{"status":"finished"}', b""):
            b.lab._take_in(Incoming(topics.run_state("old"), payload))
        assert "old" not in b.lab._runs


def new_recorder(folder: Path, blocks: CompleteStream) -> Recorder:
    return Recorder(Collector(FolderRecorder(folder)), blocks, RunNews(Listener((), True), Topics("picobridge/lab")))


async def test_what_was_delivered_twice_is_counted_by_the_recorder(tmp_path: Path) -> None:
    listener = Listener(("samples",), True)
    known = {"stream": "pstat-1", "device": "pstat", "first_index": 0, "next_index": 0, "recorded": {}}

    async def ask(method: str, params: Any) -> Any:
        return [known]

    blocks = CompleteStream(listener, "replay/test", ask, "", "+")
    await blocks.start()
    recorder = new_recorder(tmp_path, blocks)
    for block in [*ramp(20, 5), ramp(20, 5)[1]]:
        listener.offer(Incoming("samples", encode(block.rebased("pstat-1", block.first_index))))
    serving = asyncio.create_task(recorder.serve())
    assert await recorder.until(20, 5.0)  # and then the recorder has seen what came twice, and waits for another
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    await recorder.close()
    await recorder.collector.close()
    await blocks.close()
    counts = recorder.counts
    assert (counts.samples, counts.missing, counts.duplicated) == (20, 0, 5)


@pytest.mark.parametrize("error", [BridgeUnreachable, Busy, Interrupted, PicobridgeError, Refused])
async def test_a_daemon_that_winds_down_does_not_end_the_recorder(
    error: type[PicobridgeError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is kept is told again with the next blocks; one warning says that it was not."""
    monkeypatch.setattr(recorder_module, "_FLUSH_S", -1.0)  # after each block
    known = {"stream": "pstat-1", "device": "pstat", "first_index": 0, "next_index": 0, "recorded": {}}
    told: list[int] = []
    all_told = asyncio.Event()
    refusals = [error("the daemon ends")] * 2

    async def ask(method: str, params: Any) -> Any:
        if method == "streams":
            return [known]
        if refusals:
            raise refusals.pop()
        told.append(params["next_index"])
        if told[-1] == 20:
            all_told.set()
        return None

    listener = Listener((), False)
    blocks = CompleteStream(listener, "replay/test", ask, "archive", "+")
    await blocks.start()
    recorder = new_recorder(tmp_path, blocks)
    for block in ramp(20, 5):
        listener.offer(Incoming("devices/pstat/samples", encode(block.rebased("pstat-1", block.first_index))))
    serving = asyncio.create_task(recorder.serve())
    waiting = asyncio.create_task(all_told.wait())
    await asyncio.wait([waiting, serving], timeout=5.0, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    assert not serving.done(), serving.exception()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    await recorder.close()
    await recorder.collector.close()
    await blocks.close()
    assert told == [15, 20]
    assert [record.levelname for record in caplog.records if record.name == "picobridge.record"] == ["WARNING"]
