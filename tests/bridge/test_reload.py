"""The configuration read again while the daemon works: what changes at once, what waits, what a mistake does."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.daemon.config import load
from bridge.daemon.daemon import Daemon
from bridge.demo.rig import Place, simulated_rig
from bridge.transfer.mqtt import BrokerAddress
from drivers.errors import ConfigurationError, PortBusy, Refused
from mocks.wires import Served
from mocks.world import World

from .conftest import RigMaker, eventually, free_port
from .listener import Listener, listen
from .test_process import RUN as SLOW
from .test_process import SAMPLES, daemon, energised

PLACES: Mapping[str, Place] = {
    "pstat": Place("keithley-24xx", "tcp"),
    "emstat": Place("methodscript", "pty"),
    "relays": Place("modbus-relay", "pty", options={"routes": {"cell": [3]}}),
    "gauge": Place("pfeiffer-tpg", "pty"),
}
PREFIX = "picobridge/lab"
RUN: Mapping[str, Any] = {**SLOW, "parameters": {**SLOW["parameters"], "interval_s": "20 ms"}}  # type: ignore[dict-item]
NOTHING: Mapping[str, Any] = {"applied": [], "restart_needed": [], "waits": []}


class Lab:
    """A daemon in this process over simulated instruments on wires, with its file."""

    def __init__(self, path: Path, served: Mapping[str, Served], port: int) -> None:
        self.path = path
        self.served = served
        self.port = port
        self.daemon: Daemon
        self.listener: Listener

    def write(self, *devices: str, bridge: str = "", more: str = "", options: str = "") -> None:
        """`options` are the relays'."""
        text = f'[bridge]\nstate_dir = "state"\nreports = false\nexports = false\n{bridge}\n'
        text += f"[broker]\nport = {self.port}\n{more}\n"
        for name in devices:
            text += f'[devices.{name}]\ndriver = "{PLACES[name].driver}"\naddress = "{self.served[name].address}"\n'
            if name == "relays":
                text += f"options = {{ routes = {{ cell = [3] }}{options} }}\n"
        self.path.write_text(text)

    async def request(self, method: str, /, **params: Any) -> Any:
        return await self.listener.request(PREFIX, method, params)

    async def reload(self) -> Any:
        return await self.request("reload")

    async def connected(self, name: str) -> None:
        await eventually(lambda: name in self.daemon.devices and self.daemon.devices[name].connected)

    async def measuring(self, samples: int) -> None:
        await self.listener.until(lambda: self.listener.count(SAMPLES) >= samples, 30)


@asynccontextmanager
async def lab(folder: Path, *devices: str, **file: str) -> AsyncIterator[Lab]:
    port = free_port()
    async with simulated_rig(World(speed=50.0), PLACES) as rig:
        made = Lab(folder / "lab.toml", rig.served, port)
        made.write(*devices, **file)
        async with (
            Daemon(load(made.path), file=made.path) as made.daemon,
            listen(made.daemon.broker, f"{PREFIX}/#") as made.listener,
        ):
            for name in devices:
                await made.connected(name)
            yield made


async def test_a_run_goes_on_and_loses_no_sample(tmp_path: Path) -> None:
    async with lab(tmp_path, "pstat") as site:
        run = (await site.request("run", **RUN))["run"]
        await site.measuring(20)
        site.write("pstat", "relays", bridge="min_free_mb = 50", more='[spool]\nmax_gb = 1\n[watch]\ndrift = "off"')
        answer = await site.reload()
        assert not answer["waits"]
        assert not answer["restart_needed"]
        assert answer["applied"][:4] == [
            "[bridge] min_free_bytes is 50000000, was 100000000, for runs that start from now on",
            "[watch] drift is off, was mark, for runs that start from now on",
            "[spool] max_bytes is 1000000000, was 20000000000",
            f"[devices.relays]: added, a modbus-relay at {site.served['relays'].address}",
        ]
        await site.connected("relays")
        assert site.daemon.streams.spool.options.max_bytes == 1_000_000_000
        site.write("pstat")
        assert (await site.reload())["applied"][-1] == "[devices.relays]: taken out"
        seen = site.listener.count(SAMPLES)
        await site.measuring(seen + 20)
        await site.request("abort", run=run)
        stream = site.daemon.devices["pstat"].pump
        assert stream is not None
        await site.measuring(stream.next_index)
        index = site.listener.samples(SAMPLES)["index"].tolist()
        assert sorted(index) == list(range(stream.next_index))
        assert len({block["stream"] for block in site.listener.blocks(SAMPLES)}) == 1


async def test_devices_come_go_and_change(tmp_path: Path) -> None:
    async with lab(tmp_path, "pstat", "relays") as site:
        site.write("pstat", "relays", "gauge", options=", timeout_s = 0.3")
        assert (await site.reload())["applied"] == [
            "[devices.relays]: options is routes: cell: 3, timeout_s: 0.3, was routes: cell: 3",
            f"[devices.gauge]: added, a pfeiffer-tpg at {site.served['gauge'].address}",
        ]
        await site.connected("gauge")
        await site.connected("relays")
        assert site.daemon.devices["relays"].device.options.timeout_s == 0.3  # type: ignore[attr-defined]
        assert await site.request("call", device="relays", method="route") == "open"
        assert await site.reload() == NOTHING
        site.write("pstat", "gauge")
        assert (await site.reload())["applied"] == ["[devices.relays]: taken out"]
        assert set(await site.request("devices")) == {"pstat", "gauge"}
        status = await site.listener.json(f"{PREFIX}/status", lambda s: "relays" not in s["devices"])
        assert status["devices"] == ["pstat", "gauge"]
        for topic in ("info", "state"):
            await site.listener.until(lambda t=topic: site.listener.of(f"{PREFIX}/devices/relays/{t}")[-1] == b"")  # type: ignore[misc]
        health = await site.listener.json(f"{PREFIX}/health")
        assert health["configuration"]["error"] == ""


async def test_rules_know_the_new_devices(tmp_path: Path) -> None:
    async with lab(tmp_path, "pstat") as site:
        rules = {rule["id"]: rule["status"] for rule in (await site.request("rules"))["rules"]}
        assert rules["vacuum"] == "absent"
        site.write("pstat", "gauge", more='[interlocks]\nvacuum_pa = "1 uPa"')
        answer = await site.reload()
        assert answer["applied"][0] == "[interlocks] vacuum_pa is 1e-06, was 0.001"
        rules = {rule["id"]: rule["status"] for rule in (await site.request("rules"))["rules"]}
        assert rules["vacuum"] == "in force"
        await site.connected("gauge")
        run = (await site.request("run", **RUN))["run"]
        result = await site.listener.json(f"{PREFIX}/runs/{run}/result")
        assert (result["status"], result["error"]["error"]) == ("failed", "InterlockViolated")
        assert "gauge.pressure_pa" in result["error"]["message"]


async def test_what_is_in_use_waits_for_its_end(tmp_path: Path) -> None:
    async with lab(tmp_path, "pstat", "gauge", "relays") as site:
        run = (await site.request("run", **RUN))["run"]
        await site.measuring(5)
        commands = len(site.served["pstat"].instrument.record)
        site.write("gauge", "emstat", more='[interlocks]\nvacuum_pa = "2 uPa"\nvacuum_off_pa = "2 mPa"')
        answer = await site.reload()
        assert answer["applied"] == [
            "[devices.relays]: taken out",
            f"[devices.emstat]: added, a methodscript at {site.served['emstat'].address}",
        ]
        assert answer["waits"] == [
            f"[interlocks] vacuum_pa is 2e-06, was 0.001: run {run} uses pstat; reload again then",
            f"[devices.pstat]: taken out: run {run} uses pstat; reload again then",
        ]
        assert site.served["pstat"].instrument.source.output  # type: ignore[attr-defined]
        assert not any("OUTP" in said for said in site.served["pstat"].instrument.record[commands:])
        health = await site.listener.json(f"{PREFIX}/health", lambda h: h["configuration"]["waits"])
        assert health["configuration"]["waits"] == answer["waits"]
        await site.request("abort", run=run)
        assert (await site.reload())["applied"] == [
            "[interlocks] vacuum_pa is 2e-06, was 0.001",
            "[devices.pstat]: taken out",
        ]
        assert not site.served["pstat"].instrument.source.output  # type: ignore[attr-defined]


async def test_rules_that_look_after_a_run_do_not_change_under_it(tmp_path: Path) -> None:
    async with lab(tmp_path, "pstat", "gauge") as site:
        run = (await site.request("run", **RUN))["run"]
        await site.measuring(5)
        site.write("pstat", "gauge", more='[interlocks]\nvacuum = "not_required"')
        answer = await site.reload()
        assert answer["applied"] == []
        assert answer["waits"] == [
            "[interlocks] vacuum is not_required, was required: pstat.galvanostatic is under way; reload again then"
        ]
        assert (await site.request("rules"))["notices"] == []
        site.write("pstat", "gauge", more='[interlocks]\nzero_current = "2 pA"')  # which is not about a source
        assert (await site.reload())["applied"] == ["[interlocks] zero_current_a is 2e-12, was 1e-12"]
        await site.request("abort", run=run)


async def test_a_device_under_a_lease_stays(tmp_path: Path) -> None:
    async with lab(tmp_path, "pstat", "relays") as site:
        lease = await site.request("lease", device="relays", ttl="60 s")
        site.write("pstat")
        answer = await site.reload()
        assert answer["waits"] == ["[devices.relays]: taken out: test holds chamber; reload again then"]
        assert "relays" in site.daemon.devices
        await site.request("release", lease=lease["lease"])
        assert (await site.reload())["applied"] == ["[devices.relays]: taken out"]


async def test_a_file_with_a_mistake_changes_nothing(tmp_path: Path) -> None:
    """Fault 59 of the catalogue."""
    async with lab(tmp_path, "pstat", "relays") as site:
        run = (await site.request("run", **RUN))["run"]
        await site.measuring(5)
        site.write("pstat", "gauge", bridge="min_free_mb = -1", more='[watch]\ndrift = "off"')
        with pytest.raises(ConfigurationError, match=r"min_free_mb is -1; accepted"):
            await site.reload()
        assert set(await site.request("devices")) == {"pstat", "relays"}
        event = await site.listener.json(f"{PREFIX}/events", lambda e: "not reloaded" in e["text"])
        assert (event["severity"], event["error"]["error"]) == ("error", "ConfigurationError")
        health = await site.listener.json(f"{PREFIX}/health", lambda h: h["configuration"]["error"])
        assert health["status"] == "degraded"
        assert "min_free_mb is -1" in "".join(health["reasons"])
        seen = site.listener.count(SAMPLES)
        await site.measuring(seen + 5)
        site.path.unlink()
        with pytest.raises(ConfigurationError, match="cannot be read"):
            await site.reload()
        site.write("pstat", "relays")
        assert await site.reload() == NOTHING
        await site.listener.json(f"{PREFIX}/health", lambda h: not h["configuration"]["error"])
        await site.request("abort", run=run)


async def test_what_needs_a_restart_is_said_and_not_done(tmp_path: Path) -> None:
    async with lab(tmp_path, "pstat") as site:
        site.port += 1
        site.write(
            "pstat",
            bridge='name = "lab-2"\nqueue_mb = 8',
            more='[spool]\ncommit = "5 ms"\nkeep = "1 h"\n[web]\nport = 0',
        )
        answer = await site.reload()
        assert answer["restart_needed"] == [
            "[bridge] bridge is lab-2, was lab",
            "[bridge] queue_bytes is 8000000, was 64000000",
            "[broker]: changed",
            "[web]: changed",
            "[spool] commit_s is 0.005, was 0.02",
        ]
        assert answer["applied"] == ["[spool] keep_s is 3600, was 604800"]
        assert site.daemon.topics.prefix == PREFIX
        assert await site.request("ping")
        event = await site.listener.json(f"{PREFIX}/events", lambda e: "After a restart only" in e["text"])
        assert event["severity"] == "warning"


async def test_metrics_move_or_stay(tmp_path: Path) -> None:
    first, second = free_port(), free_port()
    async with lab(tmp_path, "pstat", more=f"[metrics]\nport = {first}") as site:
        site.write("pstat", more=f"[metrics]\nport = {second}")
        assert (await site.reload())["applied"] == [f"[metrics] port is {second}, was {first}"]
        assert b"picobridge_up 1.0" in await asyncio.to_thread(scrape, second)
        with socket.socket() as other:
            other.bind(("127.0.0.1", first))
            other.listen()
            site.write("pstat", "gauge", more=f"[metrics]\nport = {first}")
            with pytest.raises(PortBusy):
                await site.reload()
        assert set(site.daemon.devices) == {"pstat"}
        assert b"picobridge_up 1.0" in await asyncio.to_thread(scrape, second)
        site.write("pstat")
        assert (await site.reload())["applied"] == ["[metrics]: taken out"]
        with pytest.raises(OSError, match="refused"):
            await asyncio.to_thread(scrape, second)


def scrape(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: bytes = answer.read()
    return text


async def test_procedures_are_read_again(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    async with lab(tmp_path, "pstat") as site:
        file.write_text(OWN.format(name="mine"))
        site.write("pstat", bridge=f'procedures = ["{file.name}"]')
        (said,) = (await site.reload())["applied"]
        assert said == "[bridge] procedures: read again, for runs that start from now on: mine"
        assert "mine" in [each["name"] for each in await site.request("procedures")]
        file.write_text(OWN.format(name="other"))
        await site.reload()
        known = [each["name"] for each in await site.request("procedures")]
        assert "other" in known
        assert "mine" not in known


OWN = """
from dataclasses import dataclass
from bridge.procedures.description import Procedure, Role
from drivers.interfaces import Options

@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing(Options):
    pass

async def run(run, parameters):
    return {{}}

PROCEDURE = Procedure("{name}", "does nothing", Nothing, {{"potentiostat": Role("potentiostat")}}, run)
"""


async def test_it_is_audited_before_it_is_done(tmp_path: Path) -> None:
    async with lab(tmp_path, "pstat") as site:
        site.write("pstat", more='[watch]\ndrift = "off"')
        await site.reload()
    lines = [json.loads(line) for line in (tmp_path / "state" / "audit" / "audit.jsonl").read_text().splitlines()]
    wanted, done = [line for line in lines if line["kind"].startswith("reload")]
    assert (wanted["kind"], done["kind"]) == ("reload", "reloaded")
    assert wanted["by"] == "test"
    assert wanted["wanted"] == ["[watch] drift is off, was mark, for runs that start from now on"]


async def test_a_program_without_a_file_has_nothing_to_read_again(rig: RigMaker) -> None:
    async with rig() as r:
        with pytest.raises(Refused, match="without a configuration file"):
            await r.request("reload")


async def test_sighup(tmp_path: Path) -> None:
    port = free_port()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "notify"))
        notified.setblocking(False)
        async with simulated_rig(World(speed=50.0), PLACES) as rig:
            site = Lab(tmp_path / "lab.toml", rig.served, port)
            site.write("pstat")
            async with (
                daemon(site.path, port, NOTIFY_SOCKET=str(tmp_path / "notify")) as process,
                listen(BrokerAddress("127.0.0.1", port), f"{PREFIX}/#") as listener,
            ):
                await energised(listener, rig.served["pstat"].instrument)
                await eventually(lambda: heard(notified) == b"READY=1")
                site.write("pstat", "relays")
                process.send_signal(signal.SIGHUP)
                await listener.json(f"{PREFIX}/devices/relays/state", lambda s: s["connection"] == "connected", 30)
                event = await listener.json(f"{PREFIX}/events", lambda e: "read again" in e["text"])
                assert event["values"]["by"] == "SIGHUP"
                reloading = heard(notified).split(b"\n")
                assert reloading[0] == b"RELOADING=1"
                assert reloading[1].startswith(b"MONOTONIC_USEC=")
                assert heard(notified) == b"READY=1"
                site.path.write_text("nonsense")
                process.send_signal(signal.SIGHUP)
                await listener.json(f"{PREFIX}/events", lambda e: "is not TOML" in e["text"])
                seen = listener.count(SAMPLES)
                await listener.until(lambda: listener.count(SAMPLES) >= seen + 2)
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0


async def test_sighup_while_the_daemon_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file was read when the process began; what changed in it meanwhile is not lost."""
    monkeypatch.setattr(os, "isatty", lambda _: False)
    path = tmp_path / "lab.toml"
    text = f'[bridge]\nstate_dir = "state"\n[broker]\nport = {free_port()}\n[spool]\nkeep = "1 day"\n'
    path.write_text(text)
    starting = Daemon(load(path), file=path)
    starting.handle_signals()
    path.write_text(text.replace("1 day", "2 days"))
    os.kill(os.getpid(), signal.SIGHUP)
    async with starting:
        await eventually(lambda: starting.config.spool.keep_s == 2 * 86_400.0)


def heard(notified: socket.socket) -> bytes:
    try:
        return notified.recv(1000)
    except BlockingIOError:
        return b""
