"""A lab with users: what `broker-config` writes, a real Mosquitto on it, a daemon, and everybody's clients."""

from __future__ import annotations

import asyncio
import getpass
import json
import shutil
import ssl
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiomqtt

from bridge.cli.main import build_parser
from bridge.client import connect
from bridge.daemon.config import Config, DeviceConfig, load
from bridge.daemon.daemon import Daemon
from bridge.transfer.mqtt import BrokerAddress
from drivers.clock import Clock
from drivers.interfaces import Device
from tests.bridge.conftest import FAKES, Mosquitto, eventually

PREFIX = "picobridge/lab"
#: alice and bob move and run, eve looks, root may everything; mallory had a certificate, and is no user any more
ROLES = {"alice": "operator", "bob": "operator", "eve": "observer", "root": "administrator"}
FORMER = "mallory"


def write_config(folder: Path, port: int, roles: dict[str, str] = ROLES, more: str = "") -> Path:
    """`lab.toml` in `folder`, for a broker whose files are in `folder/broker`."""
    files = "".join(f'{key} = "broker/{name}"\n' for key, name in _FILES.items())
    users = "".join(f'[access.users.{user}]\nrole = "{role}"\n' for user, role in roles.items())
    config = folder / "lab.toml"
    config.write_text(
        f'[bridge]\nstate_dir = "state"\nrecord = false\n[broker]\nurl = "mqtts://localhost:{port}"\n{files}'
        f"[access]\n{more}{users}"
    )
    return config


_FILES = {"ca": "ca.pem", "cert": "daemon.pem", "key": "daemon.key"}


async def command(*words: str | Path) -> int:
    """`picobridge ...` in this process."""
    texts = [str(word) for word in words]
    args = build_parser(texts[0]).parse_args(texts)
    status: int = await args.function(args)
    return status


class Broker(Mosquitto):
    """Mosquitto on a configuration that was generated. It listens on every interface: the port is all that is changed
    for a test."""

    def __init__(self, config: Path, port: int) -> None:
        self.port = port
        self.address = BrokerAddress("127.0.0.1", port)
        self._config = config.with_suffix(".test.conf")
        # started by root it would become somebody who may not read our files
        self._config.write_text(f"user {getpass.getuser()}\n{config.read_text()}")
        self.process = None


class Site:
    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.files = folder / "broker"
        self.port = port
        self.url = f"mqtts://localhost:{port}"
        self.config = folder / "lab.toml"
        self.broker = Broker(self.files / "mosquitto.conf", port)

    def pair(self, user: str) -> tuple[Path, Path]:
        """Certificate and key."""
        name = "daemon" if user == "daemon" else f"users/{user}"
        return self.files / f"{name}.pem", self.files / f"{name}.key"

    def address(self, user: str) -> BrokerAddress:
        cert, key = self.pair(user)
        ca = self.files / "ca.pem"
        return BrokerAddress("localhost", self.port, tls=True, user=user, ca=ca, cert=cert, key=key)

    def lab(self, user: str, **options: Any) -> Any:
        """Our own client, as that user."""
        cert, key = self.pair(user)
        url = f"mqtts://{user}@localhost:{self.port}"
        return connect(url, ca=self.files / "ca.pem", cert=cert, key=key, name="test", **options)

    def connected(self, user: str, **options: Any) -> aiomqtt.Client:
        """Somebody else's client, on MQTT 5, where a broker says what it refuses."""
        cert, key = self.pair(user)
        context = ssl.create_default_context(cafile=str(self.files / "ca.pem"))
        context.load_cert_chain(cert, key)
        options = {"identifier": f"{user}-{uuid.uuid4().hex}", "protocol": aiomqtt.ProtocolVersion.V5, **options}
        return aiomqtt.Client("localhost", self.port, tls_context=context, **options)

    async def pub(self, user: str, topic: str, *words: str, version: str = "5") -> str:
        """`mosquitto_pub` at QoS 1: what it said, which is nothing if all went well."""
        return await self._run("mosquitto_pub", user, "-V", version, "-q", "1", "-t", topic, *words)

    async def flood(self, user: str, topic: str, payloads: list[bytes]) -> None:
        """At QoS 0, as fast as `mosquitto_pub` can."""
        assert await self._run("mosquitto_pub", user, "-t", topic, "-l", lines=b"\n".join(payloads).decode()) == ""

    async def sub(self, user: str, topic: str, *words: str) -> str:
        """`mosquitto_sub`: what came within a second, or the first message with `-C 1`."""
        return await self._run("mosquitto_sub", user, "-t", topic, "-W", "1", *words)

    async def _run(self, program: str, user: str, *words: str, lines: str = "") -> str:
        cert, key = self.pair(user)
        login = ["-h", "localhost", "-p", str(self.port), "--cafile", str(self.files / "ca.pem")]
        login += ["--cert", str(cert), "--key", str(key)]

        def run() -> str:
            done = subprocess.run([program, *login, *words], input=lines, capture_output=True, text=True, timeout=60)
            return done.stdout + done.stderr + (f"exit status {done.returncode}" if done.returncode else "")

        return await asyncio.to_thread(run)


class Rig:
    """A daemon over fake devices at a site."""

    def __init__(self, site: Site, daemon: Daemon) -> None:
        self.site = site
        self.daemon = daemon
        self._before = {name: self._asked(name) for name in daemon.devices}

    def _asked(self, name: str) -> int:
        device: Any = self.daemon.devices[name].device
        return int(device.done.count("identify"))

    @property
    def acts(self) -> list[str]:
        """Which devices were really asked who they are (what requests here are for), since the daemon's start."""
        return [name for name, before in self._before.items() for _ in range(self._asked(name) - before)]

    async def refused(self, number: int) -> None:
        """Until the daemon has refused so many requests."""
        await eventually(lambda: self.daemon._requests.refused >= number)

    @property
    def stops(self) -> int:
        stage: Any = self.daemon.devices["stage"].device
        return int(stage.done.count("stop"))


@asynccontextmanager
async def daemon_at(site: Site, *, change: Callable[[Config], Config] = lambda config: config) -> AsyncIterator[Rig]:
    names = ("stage", "gauge")
    config = change(load(site.config))
    devices = {name: DeviceConfig(name=name, driver="fake", address=f"tcp:{name}:1") for name in names}

    def make(device: DeviceConfig, clock: Clock) -> Device:
        return FAKES[device.name](device.name, clock)

    async with Daemon(replace(config, devices=devices), make=make) as daemon:
        yield Rig(site, daemon)


class Ear:
    """Everything that one user can hear, and a way to ask in anybody's branch."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.heard: list[tuple[str, bytes]] = []
        self._news = asyncio.Condition()

    async def collect(self) -> None:
        async for message in self.client.messages:
            self.heard.append((str(message.topic), bytes(message.payload)))
            async with self._news:
                self._news.notify_all()

    def on(self, topic: str) -> list[bytes]:
        return [payload for heard, payload in self.heard if heard == topic]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(condition)

    async def count(self, topic: str, number: int) -> None:
        """Until so many have come."""
        await self.until(lambda: len(self.on(topic)) >= number)

    async def reply(self, topic: str, identifier: str) -> Any:
        def found() -> list[Any]:
            return [reply for reply in map(json.loads, self.on(topic)) if reply["id"] == identifier]

        await self.until(lambda: bool(found()))
        return found()[-1]


@asynccontextmanager
async def listening(site: Site, user: str, *filters: str, **options: Any) -> AsyncIterator[Ear]:
    async with site.connected(user, **options) as client:
        client.pending_calls_threshold = 100_000
        ear = Ear(client)
        for topic_filter in filters or ("#", "$SYS/#"):
            await client.subscribe(topic_filter, qos=1)
        collecting = asyncio.create_task(ear.collect())
        try:
            yield ear
        finally:
            collecting.cancel()
            await asyncio.gather(collecting, return_exceptions=True)


def envelope(user: str, device: str = "stage", *, sender: str = "", **fields: Any) -> bytes:
    """A request to an operator's liking, which leaves its trace in the device. `sender` is who it says it is from, if
    it says so."""
    whole = {
        "id": str(uuid.uuid4()),
        **({"from": sender} if sender else {}),
        "expires_at": time.time() + 30,
        "reply_to": f"{PREFIX}/reply/{user}",
        "params": {"device": device, "method": "identify", "arguments": {}},
        **fields,
    }
    return json.dumps(whole).encode()


def expired_pair(folder: Path, authority: Path, name: str) -> tuple[Path, Path]:
    """A certificate of an authority (`ca.pem` and `ca.key` in its folder) that was valid in January 2020."""
    cert, key = folder / "old.pem", folder / "old.key"
    (folder / "index.txt").touch()
    (folder / "old.conf").write_text(
        "[ca]\ndefault_ca = c\n[c]\ndatabase = index.txt\nnew_certs_dir = .\nrand_serial = yes\ndefault_md = sha256\n"
        "policy = p\nx509_extensions = e\n[p]\ncommonName = supplied\n"
        "[e]\nbasicConstraints = critical, CA:FALSE\nextendedKeyUsage = clientAuth\n"
    )
    openssl = shutil.which("openssl")
    assert openssl is not None
    asking = "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout old.key -out old.csr"
    signing = "ca -config old.conf -batch -notext -in old.csr -out old.pem -startdate 20200101000000Z"
    signing += f" -enddate 20200201000000Z -cert {authority / 'ca.pem'} -keyfile {authority / 'ca.key'}"
    for words in ([*asking.split(), "-subj", f"/CN={name}"], signing.split()):
        subprocess.run([openssl, *words], cwd=folder, check=True, capture_output=True)
    return cert, key
