"""What a run asks, at the terminal that follows it; a line how to answer where there is no terminal."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress

from bridge.client import Run
from drivers.errors import InvalidValue, PicobridgeError

from .stdin_lines import lines_of_stdin


class Prompts:
    """Somebody else may answer first; then the prompt goes."""

    def __init__(self, run: Run, console: Console, progress: Progress) -> None:
        self._run = run
        self._console = console
        self._progress = progress
        self._told = ""
        self._asking: asyncio.Task[None] | None = None
        #: what was typed; None is the end of it
        self._typed: asyncio.Queue[str | None] = asyncio.Queue()
        self._reading: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def served(self, *, prompting: bool) -> AsyncIterator[None]:
        """Prompts need a terminal to read from."""
        async with AsyncExitStack() as stack:
            if prompting and sys.stdin.isatty():
                lines = await stack.enter_async_context(lines_of_stdin())
                self._reading = asyncio.create_task(self._read(lines), name="picobridge keyboard")
            try:
                yield
            finally:
                tasks = [task for task in (self._asking, self._reading) if task is not None]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, lines: AsyncIterator[str]) -> None:
        """A task of its own: a prompt that is cancelled would take the generator with it."""
        async for line in lines:
            self._typed.put_nowait(line)
        self._typed.put_nowait(None)

    def look(self) -> None:
        """At a new state of the run."""
        question = self._run.question
        identifier = "" if question is None else str(question["id"])
        if identifier == self._told:
            return
        self._told = identifier
        if self._asking is not None:
            if not self._asking.done():
                self._asking.cancel()
                self._say("  (it was answered elsewhere)")
            self._asking = None
        if question is None:
            return
        self._say(f"{self._run.id} asks: {question['text']}")
        for line in details(question):
            self._say(f"  {line}")
        if self._reading is None:
            self._say(f"  answer with: {how_to_answer(self._run.id, question)}")
            return
        self._asking = asyncio.create_task(self._ask(question), name="picobridge prompt")

    async def _ask(self, question: Mapping[str, Any]) -> None:
        while not self._typed.empty() and not self._reading_is_over():
            self._typed.get_nowait()  # what was typed before is no answer to this
        self._progress.stop()
        try:
            while True:
                choice = await self._choice(question["choices"])
                values = {}
                if choice == question["choices"][0]:
                    values = await self._values(question["fields"] or ())
                try:
                    await self._run.answer(choice, values, question=str(question["id"]))
                    return
                except InvalidValue as error:
                    self._say(f"  {error.message}")
        except PicobridgeError as error:
            self._say(f"  not answered: {error}")
        finally:
            self._progress.start()

    async def _choice(self, choices: Sequence[str]) -> str:
        numbered = "  ".join(f"{number} {choice}" for number, choice in enumerate(choices, 1))
        while True:
            self._say(f"  {numbered}  (type a number, or the words)")
            try:
                return choice_of(await self._line(), choices)
            except InvalidValue as error:
                self._say(f"  {error.message}")

    async def _values(self, fields: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Each field's; a `-` keeps its default."""
        values = {}
        for field in fields:
            self._say(f"  {described(field)}{'' if field['required'] else ', - leaves it so'}")
            line = await self._line()
            if line != "-":
                values[field["name"]] = line
        return values

    def _reading_is_over(self) -> bool:
        return self._reading is None or self._reading.done()

    async def _line(self) -> str:
        line = await self._typed.get()
        if line is None:
            self._typed.put_nowait(None)  # for the next question
            self._say(f"  no more input; answer with: picobridge answer {self._run.id}")
            await asyncio.Event().wait()  # somebody else has to answer
            raise AssertionError("nothing sets that event")
        return line

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def choice_of(text: str, choices: Sequence[str]) -> str:
    """The choice that is meant by its words or its number. Raises `InvalidValue`."""
    for choice in choices:
        if text.strip().casefold() == choice.casefold():
            return choice
    if text.strip().isdecimal() and 1 <= int(text) <= len(choices):
        return choices[int(text) - 1]
    raise InvalidValue(f"choice is {text!r:.100}; accepted: {', '.join(choices)}")


def described(field: Mapping[str, Any]) -> str:
    """A field to be typed in, on one line: name, help, what is accepted, default."""
    unit = "" if field["unit"] == "1" else f" {field['unit']}".rstrip().replace("**", "")
    accepted = [
        f"{words} {field[limit]:g}{unit}"
        for limit, words in (("at_least", "at least"), ("above", "more than"), ("at_most", "at most"))
        if limit in field
    ]
    if field.get("choices"):
        accepted.append("one of " + ", ".join(map(str, field["choices"])))
    elif field["type"] == "boolean":
        accepted.append("true or false")
    if field["required"]:
        accepted.append("needed")
    elif field["default"] is None or field["default"] == "":
        accepted.append("may be left out")
    else:
        accepted.append(f"default {_worded(field['default'])}{unit}")
    return f"{field['name']}: {field['help']} ({'; '.join(accepted)})"


def details(question: Mapping[str, Any]) -> list[str]:
    return [f"{name}: {_worded(value)}" for name, value in (question.get("details") or {}).items()]


def how_to_answer(run: str, question: Mapping[str, Any]) -> str:
    """The command line that answers with the ordinary choice."""
    needed = [f"{field['name']}=..." for field in question["fields"] or () if field["required"]]
    return " ".join(["picobridge answer", run, shlex.quote(question["choices"][0]), *needed])


def _worded(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(_worded, value))
    return str(value)
