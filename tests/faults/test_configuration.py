"""Rows 52, 59 and 64: a broker full of what others retain, a file with a mistake, and a client of another version."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from bridge.client import connect
from bridge.daemon import daemon as daemon_module
from bridge.daemon.daemon import Daemon
from bridge.transfer import aiomqtt_session
from bridge.transfer.messages import load_object
from bridge.transfer.mqtt import Incoming, Session
from drivers.errors import ConfigurationError, Refused
from tests.bridge.conftest import eventually

from .conftest import RigMaker
from .processes import SECONDS, daemon_process, write_config
from .rig import PREFIX, Gate

pytestmark = pytest.mark.timeout(60)

RETAINED = 200_000


class CountingGate(Gate):
    """Counts what the broker sends to a daemon."""

    def __init__(self) -> None:
        super().__init__()
        self.received = 0

    @asynccontextmanager
    async def __call__(
        self, *arguments: Any, on_message: Callable[[Incoming], None], **options: Any
    ) -> AsyncIterator[Session]:
        def count(message: Incoming) -> None:
            self.received += 1
            on_message(message)

        async with aiomqtt_session.connect(*arguments, on_message=count, **options) as session:
            yield session


def packet(kind: int, body: bytes) -> bytes:
    """One packet of MQTT 3.1.1."""
    length, size = bytearray(), len(body)
    while True:
        length.append(size % 128 | (128 if size > 127 else 0))
        size //= 128
        if not size:
            return bytes([kind]) + bytes(length) + body


def text(value: str) -> bytes:
    return struct.pack("!H", len(value)) + value.encode()


def retain(port: int, topics: list[str]) -> None:
    """A byte on each, as fast as a socket takes them; returns when the broker has taken all."""
    with socket.create_connection(("127.0.0.1", port), 30) as wire:
        wire.sendall(packet(0x10, text("MQTT") + b"\x04\x02\x00\x00" + text("hoarder")))
        assert wire.recv(4) == b"\x20\x02\x00\x00"
        wire.sendall(b"".join(packet(0x31, text(topic) + b"x") for topic in topics))
        wire.sendall(b"\xc0\x00")  # a ping is answered behind them
        assert wire.recv(2) == b"\xd0\x00"


async def test_52_two_hundred_thousand_retained_topics(path: RigMaker) -> None:
    """52. Somebody has retained 200 000 topics below the bridge's root, where requests come too. The daemon starts
    without being sent one of them, and whoever looks for a bridge finds it."""
    async with path("pstat", with_daemon=False) as rig:
        places = ("picobridge/lab/archive/{}", "picobridge/lab/request/{}", "picobridge/x{}/notes", "picobridge/{}")
        topics = [places[number % len(places)].format(number) for number in range(RETAINED)]
        await asyncio.to_thread(retain, rig.mosquitto.port, topics)
        rig.gate = counting = CountingGate()
        async with rig.running():
            connected = rig.daemon._stop_lane.connected
            await asyncio.wait_for(connected.wait(), 10)
            await rig.read("pstat")
            asked = len(rig.recorder.told["status"])
            assert asked == 1
            before = counting.received
            await rig.lab.request("ping")
            assert counting.received == before + 1, "a request, and nothing that came before it was retained"
            assert before < 20
            async with connect(str(rig.mosquitto.address), name="finder", ask_devices=False) as found:
                assert found.bridge == PREFIX
            await rig.measured()
            assert rig.daemon._requests.refused == 0
            await rig.check(quiet="the daemon subscribes to what is for it, and asks for nothing retained")


MISTAKES = {
    "no TOML": ("[bridge]", "[bridge"),
    "an unknown option": ("timeout = ", "timeuot = "),
    "an unknown driver": ('driver = "keithley-24xx"', 'driver = "keithly"'),
}


async def test_59_a_file_with_a_mistake_is_reloaded(path: RigMaker, tmp_path: Path) -> None:
    """59. In a run somebody has a configuration with a mistake read again. It is refused with the file and the place;
    nothing has changed, the run goes on, health says that the file is not good; the mended file is taken."""
    async with path("pstat", speed=50.0, with_daemon=False) as rig:
        config = write_config(tmp_path, rig)
        good = config.read_text()
        async with daemon_process(config, rig) as _, rig.lab.listen("health") as health:
            run = await rig.measuring(**SECONDS)
            for right, wrong in MISTAKES.values():
                assert right in good
                config.write_text(good.replace(right, wrong))
                error = await rig.refused(rig.lab.request("reload"))
                rig.told(error, ConfigurationError, "")
                assert str(config) in error.message
                event = await rig.recorder.event(error.message.splitlines()[0])
                assert event["severity"] == "error"
            await until_health(health, lambda said: bool(said["configuration"]["error"]))
            await rig.arrived("pstat", rig.recorder.samples("pstat") + 10)
            assert not run.ended
            config.write_text(good.replace("[broker]", "min_free_mb = 50\n[broker]"))
            (applied,) = (await rig.lab.request("reload"))["applied"]
            assert "min_free_bytes is 50000000" in applied
            await until_health(health, lambda said: not said["configuration"]["error"])
            await run.abort()
            await rig.check()


async def until_health(listener: Any, condition: Callable[[Any], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            await listener.wait()
            while (message := listener.take()) is not None:
                if condition(load_object(message.payload)):
                    return


async def test_64_a_daemon_of_another_contract(path: RigMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """64. The daemon is updated to another contract, the client is not. The client asks nothing of it and says why,
    with both versions, whether it was connected before or comes now; a stop goes through all the same."""
    async with path("pstat", with_daemon=False) as rig, AsyncExitStack() as clients:
        address = str(rig.mosquitto.address)
        async with Daemon(rig.config, clock_for=rig.clock_for):
            rig._lab = await clients.enter_async_context(connect(address, bridge="lab", name="before"))
            await rig.measured()
        energised = rig.witness.energised["pstat"]
        monkeypatch.setattr(daemon_module, "CONTRACT", 2)
        monkeypatch.setattr(Daemon, "version", "2.0.0")
        async with Daemon(rig.config, clock_for=rig.clock_for):
            await eventually(lambda: rig.lab._status["contract"] == 2)
            rig.told(await rig.refused(rig.start()), Refused, "")
            with pytest.raises(Refused) as refused:
                async with connect(address, bridge="lab", name="now"):
                    pytest.fail("it was let in")
            rig.told(refused.value, Refused, "")
            for word in ("picobridge 2.0.0 with contract 2", f"{metadata.version('picobridge')} with contract 1"):
                assert word in refused.value.message
            async with connect(address, bridge="lab", name="stopper", ask_devices=False) as stopper:
                rig.told(await rig.refused(stopper.request("ping")), Refused, "")
                assert (await stopper.stop())["devices"] == {"pstat": "safe"}
            assert (await rig.lab.stop())["devices"] == {"pstat": "safe"}
        assert rig.witness.energised["pstat"] == energised
        await rig.check()
