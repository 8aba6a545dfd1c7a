"""Runs what stands on a page, in a folder, on a simulated rig."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.cli import main as program
from bridge.cli.output import print_error
from bridge.daemon.config import BrokerConfig, Config, load
from bridge.daemon.daemon import Daemon
from bridge.demo.rig import PLACES, Rig, simulated_rig
from drivers import registry
from drivers.errors import PicobridgeError
from mocks.world import World
from tests.bridge.conftest import eventually, free_port

from . import claims, files, lines
from .blocks import ROOT, Block, Command
from .settings import Setting

_RUN_ID = re.compile(r"\b\d{8}-\d{6}-(\d+)")
#: what charge a moved cable has left is gone by then
_PEACE_S = 600.0
_PATIENCE_S = 100


class Shell:
    """One for a page. What it has started it ends when it is left."""

    def __init__(
        self, folder: Path, setting: Setting, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self.setting = setting
        self.port = free_port()
        self.rig: Rig | None = None
        #: each command as the page has it, with what it printed
        self.all_said: list[tuple[str, str]] = []
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self._left = AsyncExitStack()
        monkeypatch.chdir(folder)
        for variable in [name for name in os.environ if name.startswith("PICOBRIDGE_")]:
            monkeypatch.delenv(variable)
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.setenv("COLUMNS", "120")
        monkeypatch.setenv("PYTHONPATH", str(ROOT))  # modules are where they are, whatever folder a command runs in
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("PICOBRIDGE_BROKER", self.url)

    @property
    def url(self) -> str:
        return f"mqtt://localhost:{self.port}"

    async def __aenter__(self) -> Shell:
        await self._left.__aenter__()
        try:
            await self._set_up()
        except BaseException:
            await self._left.aclose()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._left.aclose()

    async def _set_up(self) -> None:
        setting = self.setting
        if setting.devices:
            places = {name: PLACES[name] for name in setting.devices}
            self.rig = await self._left.enter_async_context(simulated_rig(World(**setting.world), places))
            self._drive_by_its_clock(self.rig)
            if setting.touching:
                self.rig.world.tip.touch()
        if setting.running:
            assert self.rig is not None
            (self.folder / "lab.toml").write_text(files.tables(self.rig.devices))
            await self._daemon(["lab.toml"])
        for line in setting.before:
            status, said = await self.run(self.here(line))
            assert status == 0, f"{line}: {said}"

    def _drive_by_its_clock(self, rig: Rig) -> None:
        """`picobridge do` and its like know real time only, and a simulated move would take it."""
        create = registry.create
        names = {device.address: name for name, device in rig.devices.items()}

        def with_clock(driver: str, address: Any, *arguments: Any, **more: Any) -> Any:
            if "clock" not in more and address in names:
                more["clock"] = rig.clock_for(names[address])
            return create(driver, address, *arguments, **more)

        self._monkeypatch.setattr(registry, "create", with_clock)

    # --- a block ----------------------------------------------------------------------------------------------------

    def judge(self) -> None:
        """After the whole page: what a page's own shell holds it to."""

    async def block(self, block: Block) -> None:
        if block.language == "python":
            await self._python(block)
        elif block.language == "toml":
            self._toml(block)
        else:
            for command in block.commands():
                await self.command(command)

    def _toml(self, block: Block) -> None:
        if block.file:
            with (self.folder / block.file).open("a", encoding="utf-8") as file:
                file.write(f"\n{self.here(block.text)}")
        else:
            files.check(block.text)

    async def _python(self, block: Block) -> None:
        """As a file would be run, but for `asyncio.run`: this loop runs already."""
        text = self.here(block.text)
        if block.file:
            (self.folder / block.file).write_text(text, encoding="utf-8")
        tree = ast.parse(f"{self.setting.given}\n{text}")
        tree = ast.fix_missing_locations(lines.AwaitedInstead().visit(tree))
        names: dict[str, Any] = {"__name__": "__main__"}
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        ran = eval(compile(tree, f"line {block.line}", "exec", flags, dont_inherit=True), names)
        if inspect.iscoroutine(ran):
            await ran

    # --- a command --------------------------------------------------------------------------------------------------

    async def command(self, command: Command) -> None:
        """Raises `AssertionError` if it does not do, or print, what the page says."""
        fails = bool(command.shown) and lines.tells_of_failure(command.shown[0])
        async with asyncio.timeout(_PATIENCE_S):  # one that asks something would wait for ever
            status, said = await self.run(self.here(command.text))
        self.all_said.append((command.text, said))
        assert status == (1 if fails else 0), f"line {command.line}: {command.text}: exit status {status}\n{said}"
        left_out = claims.missing(command.shown, said)
        assert not left_out, f"line {command.line}: {command.text} did not print {left_out} but\n{said}"

    def here(self, text: str) -> str:
        """What the page says, with the names that it has here."""
        text = lines.PATH_TO_PROGRAM.sub("picobridge", text)
        for address, device in self.setting.stands_for.items():
            assert self.rig is not None
            text = text.replace(address, self.rig.devices[device].address)
        text = _RUN_ID.sub(lambda match: self._run_id(match), text)
        return re.sub(r"mqtt://localhost(?!:)", self.url, text)

    def _run_id(self, match: re.Match[str]) -> str:
        """The run of the same number, or the last one there is."""
        known = sorted({path.name.partition("_")[0] for path in self.folder.rglob("*_*") if _RUN_ID.match(path.name)})
        same = [run for run in known if run.rpartition("-")[2] == match[1]]
        return (same or known or [match[0]])[-1]

    async def run(self, line: str) -> tuple[int, str]:
        """Exit status, and what was printed."""
        assert not line.startswith("sudo "), f"{line}: not as root; it belongs into the table of docs/tested.md"
        line = lines.REMARK.sub("", line)
        background = line.endswith("&")
        words = shlex.split(line.removesuffix("&"))
        if words[0] == "export":
            for word in words[1:]:
                self._monkeypatch.setenv(*word.split("=", 1))
            return 0, ""
        own = words[0] == "picobridge" and not lines.SHELL.search(shlex.join(words).replace("'", ""))
        if own and (background or words[1:] == ["demo", "--by-hand"]):
            return 0, await self._in_background(words[1:])
        if own:
            endless = lines.ENDLESS.match(line) is not None
            return await (self._until_it_says_something(words[1:]) if endless else self._picobridge(words[1:]))
        return await self._elsewhere(line, background=background)

    async def _picobridge(self, words: list[str]) -> tuple[int, str]:
        """As its `main` does, in this process and loop."""
        self._capsys.readouterr()
        arguments = program.build_parser(words[0]).parse_args(program._joined(words))
        try:
            status = int(await arguments.function(arguments))
        except PicobridgeError as error:
            print_error(error, as_json=False)
            status = 1
        printed = self._capsys.readouterr()
        return status, printed.out + printed.err

    async def _until_it_says_something(self, words: list[str]) -> tuple[int, str]:
        self._capsys.readouterr()
        arguments = program.build_parser(words[0]).parse_args(words)
        task = asyncio.ensure_future(arguments.function(arguments))
        said = ""
        try:
            async with asyncio.timeout(30):
                while "\n" not in said and not task.done():
                    await asyncio.sleep(0.01)
                    said += self._capsys.readouterr().out
        finally:
            task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(ended, PicobridgeError):
            print_error(ended, as_json=False)
            return 1, said + self._capsys.readouterr().err
        return 0, said

    async def _in_background(self, words: list[str]) -> str:
        assert words[0] in ("run", "demo"), f"picobridge {words[0]} in the background: teach tests/docs/shell.py"
        if words[0] == "demo":
            return await self._demo(words)
        await self._daemon(words[1:])
        return ""

    async def _daemon(self, words: list[str]) -> None:
        """`picobridge run`, on the rig's clock."""
        (name,) = words
        if self.rig is not None:
            for device in self.rig.devices:  # whoever has typed so far has left the chamber in peace meanwhile
                await self.rig.clock_for(device).sleep(_PEACE_S)
        config = self._for_tests(load(Path(name)))
        clock: dict[str, Any] = {} if self.rig is None else {"clock_for": self.rig.clock_for}
        daemon = await self._left.enter_async_context(Daemon(config, file=self.folder / name, **clock))
        await eventually(lambda: all(one.connection.state == "connected" for one in daemon.devices.values()))

    def _for_tests(self, config: Config) -> Config:
        own_broker = config.broker.address is None
        broker = BrokerConfig(port=self.port) if own_broker else config.broker
        runs = self.folder / "runs" if config.data_dir is not None else None
        state = self.folder / "state"
        return replace(config, broker=broker, state_dir=state, data_dir=runs, exports=False, reports=False)

    async def _demo(self, words: list[str]) -> str:
        """As it is, but at full speed and on a free port."""
        words = [*words, "--speed", "1e6", "--port", str(self.port)]  # what it says of both is a number
        arguments = program.build_parser("demo").parse_args(words)
        await self._left.enter_async_context(_going_on(arguments.function(arguments)))
        said = ""
        async with asyncio.timeout(30):
            while "Ctrl-C" not in said:
                await asyncio.sleep(0.01)
                said += self._capsys.readouterr().out
        return said

    async def _elsewhere(self, line: str, *, background: bool) -> tuple[int, str]:
        """By a real shell, with what starts in the background in a group of its own."""
        if line.startswith(("mosquitto_pub ", "mosquitto_sub ")) and " -p " not in line:
            line = line.replace(" ", f" -p {self.port} ", 1)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", f"exec {line.removesuffix('&')}" if background else line),
            stdin=pipe,
            stdout=pipe,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        self._left.push_async_callback(_end, process)
        if background:
            return 0, ""
        if lines.ENDLESS.match(line):
            assert process.stdout is not None
            async with asyncio.timeout(30):
                said = await process.stdout.readline()
            return (0 if said else 1), said.decode()
        said, _ = await process.communicate(b"s3cret\ns3cret\n")
        return process.returncode or 0, said.decode()


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGTERM)
    await process.communicate()


@asynccontextmanager
async def _going_on(work: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
