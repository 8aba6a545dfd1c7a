"""The daemon as a process of its own, over a simulated instrument: ended in order, and killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.demo.rig import visa_socket
from bridge.transfer.mqtt import BrokerAddress
from drivers.errors import FaultLatched
from mocks.instruments.keithley24xx import Keithley24xxMock
from mocks.wires import serve
from mocks.world import World

from .conftest import eventually, free_port
from .listener import Listener, listen
from .state_file import runs_under_way

RUN = {
    "procedure": "technique",
    "parameters": {"technique": "galvanostatic", "current_a": "1 uA", "duration_s": "1 h", "interval_s": "1 s"},
    "devices": {"potentiostat": "pstat"},
}
SAMPLES = "picobridge/lab/devices/pstat/samples"


def write_config(folder: Path, address: str, port: int) -> Path:
    path = folder / "lab.toml"
    path.write_text(
        f"""
[bridge]
state_dir = "state"
reports = false
exports = false
[broker]
port = {port}
[devices.pstat]
driver = "keithley-24xx"
address = "{visa_socket(address)}"
"""
    )
    return path


@asynccontextmanager
async def daemon(config: Path, port: int, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`picobridge run`, once its broker answers."""
    log = config.with_suffix(".log")
    with log.open("a") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from bridge.cli.main import main; raise SystemExit(main())", "run", str(config)),
            stderr=file,
            env={**os.environ, **environment},
        )
    try:
        await eventually(lambda: listens(port) or process.returncode is not None, 30)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        print(log.read_text())  # pytest shows it if the test fails


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def energised(listener: Listener, instrument: Any) -> str:
    await listener.json("picobridge/lab/status", lambda status: status["status"] == "online", 30)
    await listener.json("picobridge/lab/devices/pstat/state", lambda s: s["connection"] == "connected", 30)
    run = await listener.request("picobridge/lab", "run", RUN)
    await listener.until(lambda: listener.count(SAMPLES) > 0, 30)
    assert instrument.source.output
    return str(run["run"])


async def test_killed_and_started_again(tmp_path: Path) -> None:
    port = free_port()
    async with serve(Keithley24xxMock(World(speed=50.0), "pstat", model="2400")) as served:
        instrument: Any = served.instrument
        config = write_config(tmp_path, served.address, port)
        address = BrokerAddress("127.0.0.1", port)
        async with daemon(config, port) as process, listen(address, "picobridge/lab/#") as listener:
            run = await energised(listener, instrument)
            process.kill()
            await process.wait()
        assert instrument.source.output, "nobody switched it off: this is what the next start is for"
        commands = len(instrument.record)
        async with daemon(config, port) as process, listen(address, "picobridge/lab/#") as listener:
            state = await listener.json(f"picobridge/lab/runs/{run}/state", timeout_s=15)
            assert state["status"] == "interrupted"
            await listener.json("picobridge/lab/devices/pstat/state", lambda s: s["connection"] == "connected")
            assert not instrument.source.output
            again = instrument.record[commands:]
            assert any("OUTP" in command and command.endswith(("0", "OFF")) for command in again)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0


async def test_a_killed_checklist_is_gone_on_with(tmp_path: Path) -> None:
    """What a run had saved is on disk when it goes on; it never goes on by itself."""
    port = free_port()
    async with serve(Keithley24xxMock(World(speed=50.0), "pstat", model="6430")) as served:
        config = write_config(tmp_path, served.address, port)
        address, lab = BrokerAddress("127.0.0.1", port), "picobridge/lab"
        async with daemon(config, port) as process, listen(address, f"{lab}/#") as listener:
            await listener.json(f"{lab}/devices/pstat/state", lambda s: s["connection"] == "connected", 30)
            asked = {
                "procedure": "nanobattery-protocol",
                "parameters": {"cell": "A7"},
                "devices": {"potentiostat": "pstat"},
            }
            run = (await listener.request(lab, "run", asked))["run"]
            await listener.json(f"{lab}/runs/{run}/state", lambda s: s["question"] is not None)
            await listener.request(lab, "answer", {"run": run, "choice": "done", "values": {"cathode_m": "3 um"}})
            await listener.json(f"{lab}/runs/{run}/state", lambda s: s["step"].startswith("2 "))
            process.kill()
            await process.wait()
        async with daemon(config, port) as process, listen(address, f"{lab}/#") as listener:
            state = await listener.json(f"{lab}/runs/{run}/state", timeout_s=30)
            assert (state["status"], state["resumable"]) == ("interrupted", True)
            await listener.json(f"{lab}/devices/pstat/state", lambda s: s["connection"] == "connected", 30)
            assert [s["status"] for s in await listener.request(lab, "runs", {})] == ["interrupted"]
            with pytest.raises(FaultLatched, match="was interrupted while it used pstat"):
                await listener.request(lab, "resume", {"run": run})
            (fault,) = (await listener.request(lab, "faults", {}))["open"]
            await listener.request(lab, "acknowledge", {"fault": fault["id"], "ticket": fault["ticket"]})
            again = (await listener.request(lab, "resume", {"run": run}))["run"]
            state = await listener.json(f"{lab}/runs/{again}/state", lambda s: s["question"] is not None)
            assert state["question"]["details"]["step"] == 2
            assert state["resumes"] == run
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0


async def test_ended_in_order_with_a_run_under_way(tmp_path: Path) -> None:
    port = free_port()
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(path)
        notified.setblocking(False)
        async with serve(Keithley24xxMock(World(speed=50.0), "pstat", model="2400")) as served:
            instrument: Any = served.instrument
            config = write_config(tmp_path, served.address, port)
            async with daemon(config, port, NOTIFY_SOCKET=path) as process:
                async with listen(BrokerAddress("127.0.0.1", port), "picobridge/lab/#") as listener:
                    run = await energised(listener, instrument)
                    process.send_signal(signal.SIGTERM)
                    result = await listener.json(f"picobridge/lab/runs/{run}/result")
                    assert result["status"] == "aborted"
                    await listener.json("picobridge/lab/status", lambda s: s["status"] == "offline")
                    assert not instrument.source.output
                assert await process.wait() == 0
        assert notified.recv(100) == b"READY=1"
        assert notified.recv(100) == b"STOPPING=1"
    assert runs_under_way(tmp_path / "state") == {}


@pytest.mark.parametrize("text", ["[bridge]\nname = 'Ä'\n"])
async def test_a_wrong_configuration_ends_with_the_reason(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(text)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from bridge.cli.main import main; raise SystemExit(main())", "run", str(path)),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 1
    assert f"{path}: bridge.name is 'Ä'; accepted" in (out + err).decode()
