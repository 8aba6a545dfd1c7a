"""A daemon on one Mosquitto, used from another one that is bridged to it, as `broker-config --bridge-to` writes it."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.client import complete, connect, connect_all
from bridge.client.connection import Connection
from bridge.daemon.config import load
from bridge.transfer.mqtt import Message
from drivers.errors import PicobridgeError
from tests.access.site import Broker, command
from tests.bridge.conftest import Mosquitto, eventually, free_port
from tests.bridge.fakes import ramp
from tests.bridge.listener import listen

from .conftest import DaemonMaker, done

pytestmark = pytest.mark.mosquitto

PREFIX = "picobridge/lab-a"
#: no time that a broker keeps to itself is waited for
IMPATIENT = ("restart_timeout 1 1",)


class Brokers:
    """`lab` is the daemon's, `hub` the other one. What waits for the hub is little."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "hub").mkdir()
        (folder / "lab").mkdir()
        self.hub = Mosquitto(folder / "hub")
        self.lab: Mosquitto

    async def start(self) -> None:
        config = self.folder / "lab.toml"
        config.write_text('[bridge]\nname = "lab-a"\n')
        words = ("broker-config", config, "--out", self.folder / "out", "--bridge-to", self.hub.address)
        assert await command(*map(str, words)) == 0
        lines = (self.folder / "out" / "bridge.conf").read_text().splitlines()
        lines = [line for line in lines if not line.startswith("restart_timeout")]
        self.lab = Mosquitto(
            self.folder / "lab", "max_queued_messages 20", "max_inflight_messages 5", *lines, *IMPATIENT
        )
        for broker in (self.hub, self.lab):
            await asyncio.to_thread(broker.start)

    async def linked(self) -> None:
        """Until the hub has been told that the connection stands."""
        async with listen(self.hub.address, f"{PREFIX}/link") as listener:
            await listener.until(lambda: listener.of(f"{PREFIX}/link")[-1:] == [b"1"], 30)

    async def stop(self) -> None:
        for broker in (self.lab, self.hub):
            await asyncio.to_thread(broker.stop)


@pytest.fixture
async def brokers(tmp_path: Path) -> AsyncIterator[Brokers]:
    made = Brokers(tmp_path)
    await made.start()
    yield made
    await made.stop()


def moves(daemon: Any) -> int:
    return sum(asked.startswith("move") for asked in done(daemon, "stage"))


async def test_every_sample_arrives_behind_the_bridge_although_the_hub_is_killed(
    daemon: DaemonMaker, brokers: Brokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub is killed in the middle of a run and comes back; what the lab's broker did not keep for it is missed by
    its index and asked for, through the same bridge."""
    monkeypatch.setattr(complete, "CHECK_S", 0.2)
    gate = asyncio.Event()
    blocks = ramp(6000, 10)
    async with daemon("lab-a", brokers.lab.address) as bridge:
        fake: Any = bridge.devices["pstat"].device
        fake.script = lambda technique: [*blocks[:200], gate.wait, *blocks[200:]]
        await brokers.linked()
        async with (
            connect(str(brokers.hub.address), bridge="lab-a", name="far") as lab,
            lab.complete_samples() as samples,
        ):
            assert (await lab.stage.move_to(x_m="1 mm")).x_m == 0.001
            before = moves(bridge)
            asked = {"technique": "galvanostatic", "current_a": 1e-9, "duration_s": 60.0, "interval_s": 0.01}
            run = await lab.start("technique", asked, {"potentiostat": "pstat"})
            got: list[int] = []

            async def collect(until: int) -> None:
                async with asyncio.timeout(50):
                    while len(got) < until:
                        block = samples.take()
                        if block is None:
                            await samples.arrived()
                        else:
                            got.extend(block["voltage_v"].astype(int).tolist())

            await collect(1000)
            await asyncio.to_thread(brokers.hub.kill)
            gate.set()
            pump: Any = bridge.devices["pstat"].pump
            await eventually(lambda: pump.published == 6000, 20)
            assert (await _here(brokers, "ping"))["bridge"] == "lab-a", "the lab does not need the hub"
            await asyncio.to_thread(brokers.hub.start)
            await collect(6000)
            assert got == list(range(6000)), "none lost, none twice, in order"
            assert samples.replayed > 0, "the lab's broker had dropped some"
            assert (await run.result())["samples"] == 6000
            assert moves(bridge) == before == 1


async def _here(brokers: Brokers, method: str) -> Any:
    async with connect(str(brokers.lab.address), bridge="lab-a", ask_devices=False) as lab:
        return await lab.request(method)


async def test_requests_over_the_bridge_are_executed_once_in_time_or_not_at_all(
    daemon: DaemonMaker, brokers: Brokers
) -> None:
    async with daemon("lab-a", brokers.lab.address) as bridge:
        await brokers.linked()
        async with (
            listen(brokers.hub.address, f"{PREFIX}/#") as far,
            listen(brokers.lab.address, f"{PREFIX}/#") as near,
            Connection(brokers.hub.address, "hub-publisher") as hub,
        ):
            lease = await far.request(PREFIX, "lease", {"device": "stage", "ttl": "60 s"})

            def move(identifier: str, x_m: float, expires_s: float = 30.0) -> bytes:
                params = {"device": "stage", "method": "move_to", "arguments": {"x_m": x_m}}
                envelope = {"id": identifier, "from": "test", "expires_at": time.time() + expires_s}
                more = {"reply_to": f"{PREFIX}/reply/test", "lease": lease["lease"], "fence": lease["fence"]}
                return json.dumps({**envelope, **more, "params": params}).encode()

            async def answers(identifier: str, number: int) -> list[Any]:
                def found() -> list[Any]:
                    replies = map(json.loads, far.of(f"{PREFIX}/reply/test"))
                    return [reply for reply in replies if reply["id"] == identifier]

                await far.until(lambda: len(found()) >= number, 20)
                return found()

            topic = f"{PREFIX}/request/call"
            same = move("same", 0.001)
            await hub.publish(Message(topic, same))
            await answers("same", 1)
            await near.client.publish(topic, same, qos=1)
            await hub.publish(Message(topic, same))
            assert all(reply["ok"] for reply in await answers("same", 3))
            assert moves(bridge) == 1, "whichever way it comes, and how often"
            await hub.publish(Message(topic, move("kept", 0.002), retain=True))
            (refused,) = await answers("kept", 1)
            assert "is retained on the broker; it was not executed" in refused["error"]["message"]
            await hub.publish(Message(topic, b"", retain=True))
            assert brokers.lab.process is not None
            brokers.lab.process.send_signal(signal.SIGSTOP)
            await hub.publish(Message(topic, move("late", 0.003, expires_s=0.3)))
            over_s = time.time() + 0.3
            await eventually(lambda: time.time() > over_s)
            brokers.lab.process.send_signal(signal.SIGCONT)
            (late,) = await answers("late", 1)
            assert late["error"]["error"] == "RequestExpired"
        await asyncio.to_thread(brokers.lab.kill)
        async with Connection(brokers.hub.address, "hub-publisher-2") as hub:
            await hub.publish(Message(topic, move("meanwhile", 0.004)))
        await asyncio.to_thread(brokers.lab.start)
        await asyncio.wait_for(bridge.uplink.connected.wait(), 20)
        await brokers.linked()
        async with connect(str(brokers.hub.address), bridge="lab-a", ask_devices=False) as lab:
            assert (await lab.request("ping"))["bridge"] == "lab-a"
        assert moves(bridge) == 1, "what could not be delivered does not come up again"


async def test_the_hub_sees_bridges_of_several_labs_and_two_of_one_name_are_told_apart(
    daemon: DaemonMaker, brokers: Brokers
) -> None:
    async with daemon("lab-a", brokers.lab.address) as first, daemon("lab-b", brokers.hub.address):
        await brokers.linked()
        async with connect_all(str(brokers.hub.address), name="far") as labs, aclosing(labs.changes()) as changes:
            while len(labs.online) < 2:
                await anext(changes)
            assert (await labs["lab-a"].stage.position()).x_m == (await labs["lab-b"].stage.position()).x_m == 0.0
        async with listen(brokers.lab.address, f"{PREFIX}/#") as listener, asyncio.TaskGroup() as group:
            second = group.create_task(_attempt(daemon("lab-a", brokers.hub.address, at="second")))
            kept_out = "also calls itself 'lab-a' on this broker; it is kept out"
            await listener.json(f"{PREFIX}/events", lambda event: kept_out in event["text"], 30)
            second.cancel()
        assert first.uplink.connected.is_set()


async def _attempt(running: Any) -> None:
    async with running:
        await asyncio.Event().wait()


async def test_users_ask_over_the_bridge_in_their_own_names(
    brokers_with_users: Callable[[], Awaitable[tuple[Any, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    site, bridge = await brokers_with_users()
    assert "cannot be asked" not in caplog.text, "the daemon's account may claim its name"
    assert bridge._namesakes._echo.is_set()
    async with site.lab("alice", bridge="lab") as alice:
        assert (await alice.gauge.pressure()).pressure_pa == 5e-4
        assert (await alice.stage.move_to(x_m="1 mm")).x_m == 0.001
    async with site.lab("eve", bridge="lab") as eve:
        with pytest.raises(PicobridgeError, match="eve is an observer"):
            await eve.stage.move_to(x_m="2 mm")
    said = await site.pub("eve", "picobridge/lab/request/alice/call", "-m", "{}")
    assert "not authorized" in said.lower(), said
    assert moves(bridge) == 1


@pytest.fixture
async def brokers_with_users(
    site: Any, tmp_path: Path, daemon: DaemonMaker
) -> AsyncIterator[Callable[[], Awaitable[tuple[Any, Any]]]]:
    """The site's broker is the hub; the lab's has files of its own, of the same authority."""
    port = free_port()
    folder = tmp_path / "lab-broker"
    folder.mkdir()
    for name in ("ca.pem", "broker.pem", "broker.key", "daemon.pem", "daemon.key"):
        (folder / name).write_bytes((site.files / name).read_bytes())
    words = (
        "broker-config",
        site.config,
        "--out",
        folder,
        "--port",
        str(port),
        "--bridge-to",
        f"mqtts://localhost:{site.port}",
    )
    assert await command(*words) == 0
    lab = Broker(folder / "mosquitto.conf", port)
    await asyncio.to_thread(lab.start)
    config = load(site.config)
    address = config.broker.address
    assert address is not None
    running = daemon("lab", replace(address, port=port), ("stage", "gauge"), access=config.access)

    async def start() -> tuple[Any, Any]:
        bridge = await running.__aenter__()
        assert await site.sub("alice", "picobridge/lab/link", "-C", "1", "-W", "20") == "1\n"
        await site.sub("alice", "picobridge/lab/status", "-C", "1", "-W", "20")
        return site, bridge

    yield start
    await running.__aexit__(None, None, None)
    await asyncio.to_thread(lab.stop)
