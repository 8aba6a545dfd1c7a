"""Every command of `docs/several-lab-pcs.md`, in its order, against real Mosquittos."""

from __future__ import annotations

import asyncio
import glob
import os
import re
import shlex
import shutil
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.client import connect, connect_all
from bridge.daemon.config import load
from tests.bridge.conftest import Mosquitto
from tests.cli.test_direct import run

from .conftest import DaemonMaker

PAGE = (Path(__file__).parents[2] / "docs" / "several-lab-pcs.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


class Shell:
    """Runs the page's commands in a folder. What needs root or systemd is done by the test, and picobridge's own
    commands run in this process, but for those that go on in the background."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        self.said: dict[str, str] = {}
        self.background: list[asyncio.subprocess.Process] = []
        (folder / "hub").mkdir()
        (folder / "lab").mkdir()
        (folder / "conf.d").mkdir()
        self.hub = Mosquitto(folder / "hub")
        self.lab = Mosquitto(folder / "lab")
        # modules are where they are, whatever folder a command runs in
        self.environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"}

    def here(self, text: str) -> str:
        for there, here in (
            ("mqtt://hub.example.org", str(self.hub.address)),
            ("mqtt://broker.example.org", str(self.lab.address)),
            ("/etc/mosquitto/conf.d/", f"{self.folder}/conf.d/"),
        ):
            text = text.replace(there, here)
        return text

    async def run(self, command: str) -> None:
        words = shlex.split(self.here(command).removeprefix("sudo "))
        if words[0] == "systemctl":
            await self.restart()
        elif words[-1] == "&":
            await self.start(words[1:-1])
        elif words[0] == "picobridge":
            expanded = [each for word in words[1:] for each in (sorted(glob.glob(word)) if "*" in word else [word])]
            self.capsys.readouterr()
            assert await run(*expanded) == 0, command
            self.said[command] = self.capsys.readouterr().out
        else:
            assert words[0] == "cp"
            shutil.copy(words[1], words[2])

    async def restart(self) -> None:
        """With what is in conf.d now, and without a broker's own patience."""
        await asyncio.to_thread(self.lab.kill)
        for file in (self.folder / "conf.d").glob("*.conf"):
            with self.lab._config.open("a") as config:
                config.write(file.read_text().replace("restart_timeout 1 10", "restart_timeout 1 1"))
        await asyncio.to_thread(self.lab.start)

    async def start(self, words: list[str]) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bridge.cli.main", *words), stdout=asyncio.subprocess.PIPE, env=self.environment
        )
        self.background.append(process)
        assert process.stdout is not None
        for _ in range(2):  # of each bridge it says that it records it
            assert b"recording" in await process.stdout.readline()

    async def end_background(self) -> None:
        while self.background:
            process = self.background.pop()
            process.send_signal(signal.SIGTERM)
            await process.communicate()

    async def close(self) -> None:
        await self.end_background()
        for broker in (self.lab, self.hub):
            await asyncio.to_thread(broker.stop)


@pytest.fixture
async def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Shell]:
    made = Shell(tmp_path, capsys)
    monkeypatch.chdir(tmp_path)
    for broker in (made.hub, made.lab):
        await asyncio.to_thread(broker.start)
    monkeypatch.setenv("PICOBRIDGE_BROKER", str(made.lab.address))
    made.environment["PICOBRIDGE_BROKER"] = str(made.lab.address)
    yield made
    await made.close()


@pytest.mark.mosquitto
async def test_the_commands_of_the_page(shell: Shell, daemon: DaemonMaker) -> None:
    await asyncio.to_thread((shell.folder / "lab-a.toml").write_text, shell.here(blocks("toml")[0]))
    assert load(shell.folder / "lab-a.toml").bridge == "lab-a"
    devices = ("pstat", "stage", "gauge")
    async with daemon("lab-a", shell.lab.address, devices), daemon("lab-b", shell.lab.address, devices):
        looking, recording, merging, joining = blocks("sh")
        for command in looking.splitlines():
            await shell.run(command)
        assert [line.split()[0] for line in shell.said["picobridge bridges"].splitlines()] == ["lab-a", "lab-b"]
        assert shell.said["picobridge stop --all-bridges"].count(": safe") == 6
        await _python(shell.here(blocks("python")[0]))
        for command in recording.splitlines():
            await shell.run(command)
        async with connect(str(shell.lab.address), bridge="lab-a") as lab:
            technique = {"technique": "galvanostatic", "current_a": 1e-9, "duration_s": 2.0, "interval_s": 0.1}
            result = await lab.run("technique", technique, {"potentiostat": "pstat"})
            async with asyncio.timeout(30):
                while [stream["recorded"].get("archive") for stream in await lab.request("streams")] != [20]:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        assert result["samples"] == 20
        await shell.end_background()
        await shell.run(merging.strip())
        assert "lab-a: 20 samples, 0 missing, 0 had twice" in shell.said[merging.strip()]
        *making, looked = joining.splitlines()
        for command in making:
            await shell.run(command)
        async with connect_all(str(shell.hub.address), ask_devices=False) as labs:
            async for change in labs.changes():
                if change.bridge == "lab-a" and change.online:
                    break
        await shell.run(looked)
        assert shell.said[looked].count("connected") == 3


async def _python(code: str) -> None:
    """The page's, until it has said that both bridges are there."""
    said: list[str] = []
    both = asyncio.Event()

    def say(*words: Any) -> None:
        said.append(" ".join(map(str, words)))
        if said[-2:] == ["lab-a is here", "lab-b is here"]:
            both.set()

    names: dict[str, Any] = {"connect_all": connect_all, "print": say}
    exec(f"async def of_the_page():\n{textwrap.indent(code, '    ')}", names)
    running = asyncio.create_task(names["of_the_page"]())
    waiting = asyncio.create_task(both.wait())
    async with asyncio.timeout(20):
        await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    outcome = await asyncio.gather(running, waiting, return_exceptions=True)
    assert both.is_set(), outcome
    assert said[0].startswith("Pressure(pressure_pa=0.0005")
