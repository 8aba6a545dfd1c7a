"""A run's question at the terminal of whoever follows it: a real terminal, a process of its own."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bridge.client import Run
from tests.client.conftest import Bench, BenchMaker

from .test_run_commands import OWN

PICOBRIDGE = (sys.executable, "-m", "bridge.cli.main")
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")


class Terminal:
    """What the process shows, and a keyboard."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._news = asyncio.Event()
        self.shown = ""
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, 4096)
        except OSError:  # the process has closed its side
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._descriptor)
        self.shown += _CONTROLS.sub("", data.decode("utf-8", "replace"))
        self._news.set()

    async def until(self, text: str) -> None:
        """Until `text` was shown after what was waited for before."""
        try:
            async with asyncio.timeout(20):
                while text not in self.shown:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} was not shown, but:\n{self.shown}") from None
        self.shown = self.shown.partition(text)[2]

    def type(self, line: str) -> None:
        os.write(self._descriptor, f"{line}\n".encode())


@asynccontextmanager
async def following(b: Bench, run: Run) -> AsyncIterator[tuple[Terminal, asyncio.subprocess.Process]]:
    ours, theirs = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(*PICOBRIDGE, "follow", run.id, "--broker", b.url),
        stdin=theirs,
        stderr=theirs,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    try:
        yield Terminal(ours), process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)


async def asking(b: Bench, **parameters: Any) -> Run:
    return await b.lab.start("ask", parameters, {"potentiostat": "pstat"})


async def test_a_question_is_answered_at_the_terminal(bench: BenchMaker) -> None:
    async with bench("pstat", procedures=OWN) as b:
        run = await asking(b)
        async with following(b, run) as (terminal, process):
            await terminal.until(f"{run.id} asks: Cut 1 [of 1]: how wide?")
            await terminal.until("limit: 7")
            await terminal.until("1 done  2 give up  (type a number, or the words)")
            terminal.type("perhaps")
            await terminal.until("choice is 'perhaps'; accepted: done, give up")
            terminal.type("1")
            await terminal.until("width_m: width of the cut (more than 0 m; at most 0.0001 m; needed)")
            terminal.type("2 m")
            await terminal.until("default true), - leaves it so")
            terminal.type("-")
            await terminal.until("'width_m' is 2 m; accepted: at most 0.0001 m")  # and is asked again
            await terminal.until("(type a number, or the words)")
            terminal.type("done")
            await terminal.until("width_m: ")
            terminal.type("30 um")
            await terminal.until("clean: ")
            terminal.type("-")
            out, _ = await process.communicate()
            assert process.returncode == 0
            assert f"run {run.id}" in out.decode()
        assert (await run.result())["widths_m"] == [3e-5]


async def test_an_answer_from_elsewhere_ends_the_prompt(bench: BenchMaker) -> None:
    async with bench("pstat", procedures=OWN) as b:
        run = await asking(b, times=2)
        async with following(b, run) as (terminal, process):
            await terminal.until("Cut 1 [of 2]")
            await terminal.until("(type a number, or the words)")
            await run.answer("done", width="10 um")
            await terminal.until("(it was answered elsewhere)")
            await terminal.until("Cut 2 [of 2]")
            await terminal.until("(type a number, or the words)")
            terminal.type("give up")  # the words typed now are for this question
            await process.communicate()
            assert process.returncode == 1
        assert (await run.result())["verdict"] == "fail"


async def test_a_line_too_many_is_no_answer_to_the_next_question(bench: BenchMaker) -> None:
    async with bench("pstat", procedures=OWN) as b:
        run = await asking(b, times=2)
        async with following(b, run) as (terminal, process):
            await terminal.until("(type a number, or the words)")
            for line in ("1", "10 um", "-", "1"):
                terminal.type(line)
            await terminal.until("Cut 2 [of 2]")
            await terminal.until("(type a number, or the words)")
            terminal.type("give up")
            await process.communicate()
            assert process.returncode == 1
        assert (await run.result())["verdict"] == "fail"


async def test_leaving_a_followed_run_leaves_it_running(bench: BenchMaker) -> None:
    async with bench("pstat", procedures=OWN) as b:
        run = await asking(b)
        async with following(b, run) as (terminal, process):
            await terminal.until("(type a number, or the words)")
            terminal.type("\x03")  # Ctrl-C
            await process.communicate()
            assert process.returncode == 130
        (state,) = [known.state for known in await b.lab.runs()]
        assert state["status"] == "running"
        await run.answer("done", width="10 um")
        assert (await run.result())["verdict"] == "pass"
