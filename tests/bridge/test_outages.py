"""Brokers that go and come back, brokers that refuse, queues that fill: nothing lost, nothing left on."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from bridge.client import connect as connect_client
from bridge.daemon.config import BrokerConfig
from bridge.daemon.published import BLOCKED_S
from bridge.transfer.aiomqtt_session import connect
from bridge.transfer.mqtt import Session
from bridge.transfer.spool import OsFiles

from .conftest import Mosquitto, RigMaker, eventually
from .cutting_proxy import cutting_proxy
from .fakes import ramp
from .listener import listen

pytestmark = pytest.mark.mosquitto

GALVANOSTATIC = {"technique": "galvanostatic", "current_a": "10 pA", "duration_s": "30 s"}
SAMPLES = "picobridge/lab/devices/pstat/samples"


class Gate:
    """Makes sessions, but only while it is open, so that a test's subscriber can be there first."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()

    @asynccontextmanager
    async def __call__(self, *arguments: Any, **options: Any) -> AsyncIterator[Session]:
        await self.open.wait()
        async with connect(*arguments, **options) as session:
            yield session


async def test_the_broker_is_killed_during_a_run_and_no_index_is_missing(rig: RigMaker, mosquitto: Mosquitto) -> None:
    go_on, outage, back = asyncio.Event(), asyncio.Event(), asyncio.Event()
    gate = Gate()
    blocks = ramp(900, 1)
    async with rig(BrokerConfig(address=mosquitto.address), open_session=gate, backoff_s=(0.01, 0.05)) as r:
        script = [*blocks[:300], go_on.wait, *blocks[300:600], outage.set, back.wait, *blocks[600:]]
        r.device("pstat").script = lambda technique: script
        run = await r.run(**GALVANOSTATIC)
        await r.listener.until(lambda: r.listener.count(SAMPLES) == 300)
        gate.open.clear()
        mosquitto.kill()
        go_on.set()
        await outage.wait()
        pump = r.daemon.devices["pstat"].pump
        assert pump.pending >= 300
        mosquitto.start()
        async with listen(r.daemon.broker, f"{r.prefix}/#") as second:
            gate.open.set()
            back.set()
            result = await second.json(f"{r.prefix}/runs/{run}/result")
            assert result["status"] == "finished"
            state = await second.json(f"{r.prefix}/devices/pstat/state", lambda s: s["published"] == 900)
            assert state["pending"] == 0
            assert (await second.json(f"{r.prefix}/status"))["status"] == "online"
            assert (await second.json(f"{r.prefix}/devices/stage/info"))["identity"]["model"] == "FakeStage"
            late = second.samples(SAMPLES)
            messages = second.of(SAMPLES)
        first = r.listener.samples(SAMPLES)
    assert sorted({*first["index"].tolist(), *late["index"].tolist()}) == list(range(900))
    assert late["index"].tolist() == list(range(int(late["index"][0]), 900))
    assert late["voltage_v"].tolist() == late["index"].tolist()
    assert len(messages) < 450, "what waited was not merged"


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_connection_cut_anywhere_loses_and_overtakes_nothing(
    rig: RigMaker, mosquitto: Mosquitto, seed: int
) -> None:
    chance = random.Random(seed)
    budgets = [chance.randrange(2000, 40_000) for _ in range(8)]
    async with (
        cutting_proxy(replace(mosquitto.address, version="3.1.1" if seed == 3 else "5"), budgets) as (address, proxy),
        listen(mosquitto.address, "picobridge/lab/#") as listener,
        rig(BrokerConfig(address=address), devices=("pstat",), backoff_s=(0.01, 0.05)) as r,
    ):
        blocks = [block for part in ramp(20_000, 100) for block in (part, lambda: asyncio.sleep(0))]
        r.device("pstat").script = lambda technique: blocks
        run = await r.daemon.runs.start("technique", GALVANOSTATIC, {"potentiostat": "pstat"})
        await run.task
        await listener.json(f"{r.prefix}/devices/pstat/state", lambda s: s["published"] == 20_000, 20)
        await listener.json(f"{r.prefix}/runs/{run.run}/result")
        assert proxy.cuts >= 5
        samples = listener.samples(SAMPLES)
        assert samples["index"].tolist() == list(range(20_000)), "in order once repetitions are dropped"
        assert samples["voltage_v"].tolist() == list(range(20_000))
        assert r.daemon.uplink.dropped == 0


async def test_a_run_outlasts_an_outage_that_its_memory_does_not(rig: RigMaker, mosquitto: Mosquitto) -> None:
    async with rig(BrokerConfig(address=mosquitto.address), queue_bytes=50_000, backoff_s=(0.01, 0.05)) as r:
        pstat, pump = r.device("pstat"), r.daemon.devices["pstat"].pump
        mosquitto.kill()
        await eventually(lambda: not r.daemon.uplink.connected.is_set())
        pstat.script = lambda technique: ramp(100_000, 100)
        run = await r.daemon.runs.start("technique", GALVANOSTATIC, {"potentiostat": "pstat"})
        await run.task
        assert run.status == "finished", run.error
        assert pump.waiting_bytes < 100_000
        assert pump.left_to_replay > 80_000
        mosquitto.start()
        async with (
            connect_client(str(mosquitto.address), name="late") as lab,
            lab.complete_samples(recorder="late") as blocks,
        ):
            got: list[int] = []
            while not got or not blocks.complete:
                block = await anext(blocks)
                got += block["voltage_v"].astype(int).tolist()
        assert got == list(range(100_000))


async def test_when_nothing_takes_samples_the_source_goes_off_before_one_is_lost(
    rig: RigMaker, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No broker, and a disk that does not sync."""
    stuck, real = threading.Event(), OsFiles.fdatasync

    def fdatasync(self: OsFiles, fd: int) -> None:
        stuck.wait(30)
        real(self, fd)

    async with rig(BrokerConfig(address=mosquitto.address), queue_bytes=50_000) as r:
        monkeypatch.setattr(OsFiles, "fdatasync", fdatasync)
        pstat, pump = r.device("pstat"), r.daemon.devices["pstat"].pump
        blocks = ramp(100_000, 100)
        mosquitto.kill()
        await eventually(lambda: not r.daemon.uplink.connected.is_set())
        pstat.script = lambda technique: blocks
        run = await r.daemon.runs.start("technique", GALVANOSTATIC, {"potentiostat": "pstat"})
        started = asyncio.get_running_loop().time()
        await run.task
        assert asyncio.get_running_loop().time() - started < BLOCKED_S + 5
        assert run.status == "failed"
        assert "was switched off before a sample is lost" in run.error.message
        stuck.set()
        assert not pstat.cell_on
        taken = pump.next_index
        assert 0 < taken < 100_000
        assert pump.published == 0
        mosquitto.start()
        async with listen(r.daemon.broker, f"{r.prefix}/#") as listener:
            result = await listener.json(f"{r.prefix}/runs/{run.run}/result")
            assert result["error"]["error"] == "RunFailed"
            state = await listener.json(
                f"{r.prefix}/devices/pstat/state", lambda s: s["next_index"] == taken and not s["pending"]
            )
            assert state["published"] + state["left_to_replay"] == taken == state["durable"]


async def test_a_broker_that_takes_small_packets_gets_small_ones(rig: RigMaker, tmp_path: Path) -> None:
    for version in ("5", "3.1.1"):
        server = Mosquitto(tmp_path, "message_size_limit 0", "max_packet_size 20000")
        server.start()
        try:
            address = replace(server.address, version=version)
            async with rig(BrokerConfig(address=address), devices=("pstat",), backoff_s=(0.01, 0.05)) as r:
                r.device("pstat").script = lambda technique: ramp(20_000, 20_000)
                await r.run(**GALVANOSTATIC)
                pump = r.daemon.devices["pstat"].pump
                await eventually(lambda pump=pump: pump.published == 20_000, 20)
                assert r.daemon.uplink.dropped == 0
        finally:
            server.stop()


async def test_a_refused_login_is_said_once(
    rig: RigMaker, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.daemon.daemon.FIRST_TRY_S", 1.0)
    server = Mosquitto(tmp_path, anonymous=False)
    server.start()
    try:
        for version in ("5", "3.1.1"):
            caplog.clear()
            address = replace(server.address, version=version, user="nobody", password="secret")
            with pytest.raises(aiomqtt.MqttError):  # the test's own listener
                async with rig(BrokerConfig(address=address), devices=("stage",), flush_s=0.1):
                    pytest.fail("nobody may connect")
            said = [record.getMessage() for record in caplog.records if "refuses the connection" in record.getMessage()]
            assert len(said) == 1
            assert "secret" not in caplog.text
    finally:
        server.stop()
