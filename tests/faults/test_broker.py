"""Rows 1 to 4, 53 and 54: the broker dies, stops, forgets, is out of reach, or takes little."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from bridge.daemon.config import BrokerConfig
from bridge.transfer import aiomqtt_session
from drivers.errors import BridgeUnreachable
from tests.bridge.conftest import Mosquitto, eventually
from tests.bridge.cutting_proxy import cutting_proxy
from tests.bridge.listener import listen

from .conftest import RigMaker
from .rig import PREFIX


async def test_01_the_broker_is_killed_and_started_again(path: RigMaker) -> None:
    """1. The broker is killed in the middle of a run and started again. A client's request fails meanwhile; the run
    goes on, samples wait, and all of them arrive."""
    async with path("pstat") as rig:
        run = await rig.measuring()
        await rig.kill_broker()
        pump: Any = rig.daemon.devices["pstat"].pump
        taken = pump.next_index
        await eventually(lambda: pump.next_index >= taken + 50)
        assert rig.witness.is_on("pstat"), "the run goes on"
        await rig.restart_broker()
        await rig.arrived("pstat", taken + 60)
        await run.abort()
        checked = await rig.check(quiet="the run goes on; nobody can be told before the broker is back")
        assert checked.samples >= taken + 60


async def test_01_a_request_while_the_broker_is_away(path: RigMaker) -> None:
    """1. A client asks while the broker is away. It is told that it cannot be reached, and what it asked."""
    async with path("pstat") as rig:
        await rig.measured()
        await rig.kill_broker()
        error = await rig.refused(rig.lab.request("ping"))
        await rig.restart_broker()
        rig.told(error, BridgeUnreachable, "")
        await rig.check()


async def test_02_the_broker_stands_still(path: RigMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """2. The broker's process is stopped (SIGSTOP) and goes on later. The daemon notices by its keep-alive, keeps
    measuring, and delivers all when the broker is back."""
    monkeypatch.setattr(aiomqtt_session, "KEEPALIVE_S", 1)
    monkeypatch.setattr(aiomqtt_session, "CONNECT_TIMEOUT_S", 0.5)
    async with path("pstat") as rig:
        run = await rig.measuring()
        process = rig.mosquitto.process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        try:
            connected = rig.daemon.uplink.connected
            await eventually(lambda: not connected.is_set())
            rig.gate.open.clear()
            rig.recorder.back.clear()
        finally:
            process.send_signal(signal.SIGCONT)
        await asyncio.wait_for(rig.recorder.back.wait(), 10)
        rig.gate.open.set()
        await rig.reached()
        await rig.arrived("pstat", rig.recorder.samples("pstat") + 50)
        await run.abort()
        await rig.check(quiet="the run goes on; nobody can be told before the broker is back")


async def test_03_the_link_is_cut(path: RigMaker) -> None:
    """3. The connection to the broker is cut and leads nowhere for a while. Nobody is told anything but the log; all
    samples arrive."""
    async with (
        path("pstat", with_daemon=False) as rig,
        cutting_proxy(rig.mosquitto.address, []) as (address, proxy),
        rig.running(broker=BrokerConfig(address=address)),
    ):
        run = await rig.measuring()
        proxy.cut()
        connected = rig.daemon.uplink.connected
        await eventually(lambda: not connected.is_set())
        before = rig.recorder.samples("pstat")
        pump: Any = rig.daemon.devices["pstat"].pump
        await eventually(lambda: pump.next_index >= before + 50)
        proxy.whole.set()
        await rig.arrived("pstat", before + 60)
        await run.abort()
        await rig.check(quiet="a client that reaches the broker sees the daemon offline, and online again")


async def test_04_the_broker_comes_back_empty(path: RigMaker) -> None:
    """4. The broker comes back without what it had retained. Somebody who asks it then finds status, identities and
    states again, the run's too; no sample is missing."""
    async with path("pstat") as rig:
        run = await rig.measuring()
        await rig.kill_broker()
        await rig.restart_broker()
        await eventually(rig.daemon.uplink.connected.is_set)
        await rig.arrived("pstat", rig.recorder.samples("pstat") + 20)
        async with listen(rig.mosquitto.address, f"{PREFIX}/#") as newcomer:
            assert (await newcomer.json(f"{PREFIX}/status"))["status"] == "online"
            assert (await newcomer.json(f"{PREFIX}/devices/pstat/info"))["identity"]["model"] == "6430"
            assert (await newcomer.json(f"{PREFIX}/devices/pstat/state"))["connection"] == "connected"
            assert (await newcomer.json(f"{PREFIX}/runs/{run.id}/state"))["status"] == "running"
        await run.abort()
        await rig.check(quiet="what was retained is there again")


async def test_53_a_recorder_that_stands_still(path: RigMaker) -> None:
    """53. A subscriber stops reading. It costs the measurement and the other subscribers nothing; what waits in the
    daemon stays bounded."""
    async with path("pstat") as rig:
        async with aiomqtt.Client("127.0.0.1", rig.mosquitto.port, identifier="slow", keepalive=600) as slow:
            await slow.subscribe(f"{PREFIX}/#", qos=1)
            raw = slow._client.socket()
            asyncio.get_running_loop().remove_reader(raw)  # it takes nothing from its socket any more
            try:
                run = await rig.measuring(samples=200)
                pump: Any = rig.daemon.devices["pstat"].pump
                assert pump.pending < 200
                await run.abort()
            finally:
                asyncio.get_running_loop().add_reader(raw, slow._client.loop_read)
        await rig.check(quiet="the slow one hurts nobody but itself")


async def test_54_a_block_larger_than_the_broker_takes(path: RigMaker, tmp_path: Path) -> None:
    """54. After an outage more samples wait than fit into the packets that the broker takes (12 kB). They are cut to
    fit before they are sent; nothing is refused and nothing loops."""
    small = Mosquitto(tmp_path, "message_size_limit 0", "max_packet_size 12000")
    small.start()
    try:
        async with path("pstat", mosquitto=small) as rig:
            run = await rig.measuring()
            await rig.kill_broker()
            pump: Any = rig.daemon.devices["pstat"].pump
            taken = pump.next_index
            await eventually(lambda: pump.next_index >= taken + 600)
            await rig.restart_broker()
            await rig.arrived("pstat", taken + 610)
            await run.abort()
            await rig.check(quiet="what waited was cut to fit")
            assert rig.daemon.uplink.dropped == 0
    finally:
        small.stop()
