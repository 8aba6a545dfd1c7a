"""Every command of `docs/access.md`, in its order, against a real Mosquitto."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.access.options import USER_PATTERN, parse_access
from bridge.daemon.config import load
from mocks.instruments.pfeiffer_tpg import PfeifferTpgMock
from mocks.wires import serve
from mocks.world import World
from tests.bridge.conftest import free_port

from .site import Broker
from .site import command as cli

PAGE = (Path(__file__).parents[2] / "docs" / "access.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    joined = "".join(blocks("sh")).replace("\\\n", " ")
    return joined.splitlines()


class Shell:
    """Runs the page's commands in a folder. What needs root or systemd is done by the test, and picobridge's own
    commands run in this process, but for the daemon."""

    def __init__(
        self, folder: Path, port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self.port = port
        self.monkeypatch = monkeypatch
        self.capsys = capsys
        self.said: dict[str, str] = {}
        monkeypatch.chdir(folder)
        # modules are where they are, whatever folder a command runs in
        self.environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        self._broker: Broker | None = None
        self._daemon: asyncio.subprocess.Process | None = None

    def here(self, text: str) -> str:
        for there, here in (
            ("lab-pc.example.org", "localhost"),
            ("8883", str(self.port)),
            ("8884", str(self.port + 1)),
            ("/etc/mosquitto", str(self.folder / "etc")),
            ('"$(command -v picobridge)"', "picobridge"),
            ("chown mosquitto:", f"chown {os.geteuid()}"),
        ):
            text = text.replace(there, here)
        return text

    async def run(self, command: str) -> None:
        line = self.here(command).removeprefix("sudo ")
        if line.startswith("export "):
            for word in line.split()[1:]:
                self.monkeypatch.setenv(*word.split("=", 1))
        elif line.startswith("systemctl "):
            await self.systemctl(line.split()[1])
        elif line.endswith("&"):
            await self.start(line.removesuffix("&"))
        elif line.startswith("picobridge "):
            words = shlex.split(line)[1:]
            self.capsys.readouterr()
            assert await cli(*words, *(("--port", str(self.port)) if words[0] == "broker-config" else ())) == 0
            self.said[command] = self.capsys.readouterr().out
        else:
            self.said[command] = await self.shell(line, "s3cret\ns3cret\n")

    async def shell(self, line: str, typed: str = "") -> str:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_shell(line, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
        said, _ = await process.communicate(typed.encode())
        assert process.returncode == 0, f"{line}: {said.decode()}"
        return said.decode()

    async def systemctl(self, verb: str) -> None:
        if verb == "restart":
            if self._broker is not None:
                await asyncio.to_thread(self._broker.stop)
            self._broker = Broker(self.folder / "etc" / "mosquitto.conf", self.port)
            await asyncio.to_thread(self._broker.start)
        else:
            assert self._broker is not None
            assert self._broker.process is not None
            self._broker.process.send_signal(signal.SIGHUP)

    async def start(self, line: str) -> None:
        pipe = asyncio.subprocess.PIPE
        words = line.split()[1:]
        self._daemon = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bridge.cli.main", *words, stderr=pipe, env=self.environment
        )
        assert self._daemon.stderr is not None
        log = b""
        while b"gauge: connected" not in log:
            log += (read := await self._daemon.stderr.readline())
            assert read, log.decode()

    async def end(self) -> None:
        if self._daemon is not None:
            self._daemon.terminate()
            await self._daemon.communicate()
        if self._broker is not None:
            await asyncio.to_thread(self._broker.stop)


@pytest.fixture
async def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Shell]:
    made = Shell(tmp_path, free_port(), monkeypatch, capsys)
    yield made
    await made.end()


@pytest.mark.mosquitto
async def test_the_commands_of_the_page(shell: Shell) -> None:
    folder = shell.folder
    (folder / "etc").mkdir()
    (folder / "eve.password").write_text("s3cret\n")
    async with serve(PfeifferTpgMock(World(), "gauge")) as served:
        device = f'\n[devices.gauge]\ndriver = "pfeiffer-tpg"\naddress = "{served.address}"\n'
        (folder / "lab.toml").write_text('[bridge]\nstate_dir = "state"\n' + shell.here(blocks("toml")[0]) + device)
        for command in commands():
            if command.endswith("--out broker --make-certificates"):
                with (folder / "lab.toml").open("a") as file:
                    file.write(shell.here(blocks("toml")[1]))
            await shell.run(command)
    web = load(folder / "lab.toml").web
    assert web is not None
    assert web.tls
    assert (folder / "alice.p12").is_file()
    asked = [said for command, said in shell.said.items() if command.startswith("picobridge devices")]
    assert len(asked) == 2
    assert all("Pfeiffer Vacuum TPG 362" in said for said in asked)
    assert "safe" in shell.said["picobridge stop"]
    (by_hand,) = (said for command, said in shell.said.items() if command.startswith("mosquitto_pub"))
    assert by_hand == ""
    renewed = next(said for command, said in shell.said.items() if "--days" in command)
    assert [line for line in renewed.splitlines() if line.startswith("wrote") and "users" in line] == [
        f"wrote {folder}/broker/users/eve.{kind}" for kind in ("key", "pem")
    ]


def test_the_numbers_of_the_page() -> None:
    access = parse_access({"users": {"alice": {"role": "operator"}}}, lambda key, text: pytest.fail(text))
    assert access is not None
    assert f"may ask {access.requests_per_s} times a second, {access.burst} at once" in PAGE
    assert f"the daemon's account (`{access.daemon}`)" in PAGE.lower()
    assert USER_PATTERN == r"[a-z0-9_-]{1,24}"
    assert "1 to 24 characters out of `a-z 0-9 _ -`" in PAGE
