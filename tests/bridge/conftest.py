"""Brokers, rigs of fake devices, and a plain MQTT client to judge by."""

from __future__ import annotations

import asyncio
import getpass
import random
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bridge.daemon.config import BrokerConfig, Config, DeviceConfig
from bridge.daemon.daemon import Daemon
from bridge.transfer.embedded_broker import embedded_broker
from bridge.transfer.mqtt import BrokerAddress
from drivers.clock import Clock
from drivers.interfaces import Device

from . import fakes
from .listener import Listener, listen

FAKES: dict[str, Callable[[str, Clock], Device]] = {
    "pstat": fakes.FakePotentiostat,
    "second": fakes.FakePotentiostat,
    "stage": fakes.FakeStage,
    "relay": fakes.FakeFeedthrough,
    "gauge": fakes.FakeGauge,
}

#: what `rig` takes for the configuration
_CONFIG = (
    "queue_bytes",
    "data_dir",
    "min_free_bytes",
    "exports",
    "reports",
    "procedures",
    "interlocks",
    "spool",
    "metrics",
)


def free_port() -> int:
    """Below the ports of outgoing connections: one of those could take it before we listen, or listen again."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@pytest.fixture
async def broker() -> AsyncIterator[BrokerAddress]:
    """amqtt, in this process."""
    async with embedded_broker(0) as address:
        yield address


class Mosquitto:
    """The real one, in a process of its own. `extra` are lines of its configuration."""

    def __init__(self, folder: Path, *extra: str, anonymous: bool = True) -> None:
        self.port = free_port()
        self.address = BrokerAddress("127.0.0.1", self.port)
        self._config = folder / "mosquitto.conf"
        user = f"user {getpass.getuser()}"  # started by root it would become somebody who may not read our files
        lines = [user, f"listener {self.port} 127.0.0.1", f"allow_anonymous {str(anonymous).lower()}", *extra, ""]
        self._config.write_text("\n".join(lines))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin")
        assert program is not None
        self.process = subprocess.Popen(
            [program, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, "mosquitto does not listen"
                time.sleep(0.01)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self) -> None:
        if self.process is not None:
            self.kill()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    server = Mosquitto(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["embedded", pytest.param("mosquitto", marks=pytest.mark.mosquitto)])
def any_broker(request: pytest.FixtureRequest) -> Iterator[BrokerConfig]:
    """Each of the two brokers in turn, as a daemon is configured for it."""
    if request.param == "embedded":
        yield BrokerConfig(port=0)
    else:
        server: Mosquitto = request.getfixturevalue("mosquitto")
        yield BrokerConfig(address=server.address)


class Rig:
    """A daemon over fake devices, and somebody who listens to all of it."""

    def __init__(self, daemon: Daemon, listener: Listener) -> None:
        self.daemon = daemon
        self.listener = listener
        self.prefix = daemon.topics.prefix

    def device(self, name: str) -> Any:
        return self.daemon.devices[name].device

    async def request(self, name: str, /, **params: Any) -> Any:
        """The result; raises what the daemon answers."""
        return await self.listener.request(self.prefix, name, params)

    async def run(self, **parameters: Any) -> str:
        """Start a technique on the potentiostat."""
        answer = await self.request(
            "run", procedure="technique", parameters=parameters, devices={"potentiostat": "pstat"}
        )
        return str(answer["run"])

    async def result(self, run: str) -> Any:
        return await self.listener.json(f"{self.prefix}/runs/{run}/result")


RigMaker = Callable[..., Any]


@pytest.fixture
def rig(tmp_path: Path) -> RigMaker:
    """`async with rig(broker_config, devices=[...]) as r:`"""

    @asynccontextmanager
    async def make(
        broker: BrokerConfig | None = None,
        devices: tuple[str, ...] = ("pstat", "stage", "relay", "gauge"),
        *,
        prepare: Callable[[dict[str, Any]], None] = lambda _: None,
        serial: str = "",
        **options: Any,
    ) -> AsyncIterator[Rig]:
        made: dict[str, Any] = {}
        config = Config(
            state_dir=tmp_path / "state",
            broker=broker or BrokerConfig(port=0),
            devices={
                name: DeviceConfig(name=name, driver="fake", address=f"tcp:{name}:1", serial=serial) for name in devices
            },
            **{key: options.pop(key) for key in _CONFIG if key in options},
        )

        def make_device(device: DeviceConfig, clock: Clock) -> Device:
            made[device.name] = FAKES[device.name](device.name, clock)
            if len(made) == len(devices):
                prepare(made)
            return made[device.name]

        async with (
            Daemon(config, make=make_device, **options) as daemon,
            listen(daemon.broker, f"{daemon.topics.prefix}/#") as listener,
        ):
            yield Rig(daemon, listener)

    return make


async def eventually(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Until a condition that no event tells of holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  # the daemon's own state has no events for tests
            await asyncio.sleep(0.005)
