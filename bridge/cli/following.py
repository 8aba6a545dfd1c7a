"""Follow a run until it ends: progress and prompts in a terminal, a line how to answer elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from bridge.client import Run
from drivers.errors import InvalidValue

from .lab_commands import describe
from .output import print_json
from .stdin_lines import lines_of_stdin
from .summaries import print_result

#: Verdicts after which the next command may follow.
_GOOD = ("pass", "contact", "go", "no short", "completed")


async def follow_to_result(run: Run, *, as_json: bool) -> int:
    """Follow, print the result, and return the exit status. The run is aborted if this is cancelled."""
    try:
        await follow(run, quiet=as_json)
        result = await run.result()
    finally:
        await run.abort()
    if as_json:
        print_json({"run": run.id, **result})
    else:
        print_result({"procedure": run.state.get("procedure", ""), **result})
        print(f"run {run.id}")
    return 0 if succeeded(result) else 1


def succeeded(result: Mapping[str, Any]) -> bool:
    """So that `picobridge noise-test ... && picobridge cycle ...` does what it says."""
    return result.get("verdict", "pass") in _GOOD and bool(result.get("completed", True))


async def follow(run: Run, *, quiet: bool = False) -> None:
    """Show a run's steps and progress until it ends: a bar in a terminal, nothing elsewhere; ask what it asks."""
    console = Console(stderr=True)  # stdout is the result's
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[values]}"),
        disable=quiet or not sys.stderr.isatty(),
        console=console,
        transient=False,
    )
    prompts = _Prompts(run, console, progress, talk=not quiet)
    with progress:
        bar = progress.add_task(run.id, total=1.0, values="")
        async with prompts.served():
            async for state in run.states():
                paused = f" ({state['pause']})" if state.get("pause") else ""
                progress.update(
                    bar,
                    description=str(state.get("step") or state.get("procedure") or run.id) + paused,
                    completed=state.get("fraction") or 0.0,
                    values=describe(state.get("values") or {}),
                )
                prompts.look()


class _Prompts:
    """Asks at the terminal what the run asks; somebody else may answer first, then the prompt goes."""

    def __init__(self, run: Run, console: Console, progress: Progress, *, talk: bool) -> None:
        self._run = run
        self._console = console
        self._progress = progress
        self._talk = talk
        self._told = ""
        self._asking: asyncio.Task[None] | None = None
        self._lines: AsyncIterator[str] | None = None

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            if self._talk and sys.stdin.isatty():
                self._lines = await stack.enter_async_context(lines_of_stdin())
            try:
                yield
            finally:
                await self._end()

    def look(self) -> None:
        """At a new state of the run."""
        question = self._run.question
        identifier = "" if question is None else str(question["id"])
        if identifier == self._told:
            return
        self._told = identifier
        if self._asking is not None:
            self._asking.cancel()
        if question is None or not self._talk:
            return
        self._console.print(f"[bold]{self._run.id} asks:[/] {question['text']}", highlight=False)
        if self._lines is None:
            values = " ".join(f"{field['name']}=..." for field in question["fields"] or () if field["required"])
            self._console.print(
                f"  answer with: picobridge answer {self._run.id} '{question['choices'][0]}' {values}".rstrip(),
                highlight=False,
                markup=False,
            )
            return
        self._asking = asyncio.create_task(self._ask(question, self._lines), name="picobridge prompt")

    async def _ask(self, question: Mapping[str, Any], lines: AsyncIterator[str]) -> None:
        self._progress.stop()
        try:
            while True:
                choice = await self._choice(question["choices"], lines)
                values = {}
                if choice == question["choices"][0]:
                    values = await self._values(question["fields"] or (), lines)
                try:
                    await self._run.answer(choice, values, question=str(question["id"]))
                    return
                except InvalidValue as error:
                    self._console.print(f"  [red]{error.message}[/]", highlight=False)
        finally:
            self._progress.start()

    async def _choice(self, choices: list[str], lines: AsyncIterator[str]) -> str:
        numbered = "  ".join(f"{number} {choice}" for number, choice in enumerate(choices, 1))
        while True:
            self._console.print(f"  {numbered}  (number, or its words)", highlight=False, markup=False)
            line = await self._line(lines)
            if line in choices:
                return line
            if line.isdigit() and 1 <= int(line) <= len(choices):
                return choices[int(line) - 1]

    async def _values(self, fields: Any, lines: AsyncIterator[str]) -> dict[str, str]:
        """Each field's; a `-` keeps its default."""
        values = {}
        for field in fields:
            default = "needed" if field["required"] else f"- for {field['default']} {field['unit']}".rstrip()
            self._console.print(f"  {field['name']}: {field['help']} ({default})", highlight=False, markup=False)
            line = await self._line(lines)
            if line != "-":
                values[field["name"]] = line
        return values

    async def _line(self, lines: AsyncIterator[str]) -> str:
        try:
            return await anext(lines)
        except StopAsyncIteration:
            await asyncio.Event().wait()  # no more input: somebody else has to answer
            raise

    async def _end(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
