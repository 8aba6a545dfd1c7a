"""A run in the daemon, as seen from a script: follow it, await its result, abort it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from drivers.errors import PicobridgeError, RunFailed
from drivers.samples import SampleBlock

from .blocks import BlockStream

#: The statuses of `runs/<run>/state` after which nothing more comes.
ENDED = frozenset({"finished", "failed", "aborted", "interrupted"})


class Run:
    """`state` is the newest `runs/<run>/state`. Awaiting `result()` after an abort or a failure raises its error."""

    def __init__(self, run: str, request: Callable[[str, Mapping[str, Any]], Awaitable[Any]]) -> None:
        self.id = run
        self.state: Mapping[str, Any] = {}
        self._outcome: Mapping[str, Any] | None = None
        self._changed = asyncio.Event()
        self._request = request

    def __repr__(self) -> str:
        return f"<run {self.id}: {self.state.get('status', 'starting')}>"

    @property
    def ended(self) -> bool:
        return self.state.get("status") in ENDED

    async def states(self) -> AsyncIterator[Mapping[str, Any]]:
        """Each new state, at most ten a second, the last one included; ends with the run."""
        last: Mapping[str, Any] | None = None
        while True:
            if self.state is not last and self.state:
                last = self.state
                yield last
            if self.ended and self.state is last:
                return
            await self._wait()

    async def result(self) -> dict[str, Any]:
        """What the procedure found. Raises the error that ended the run, as the class that was raised there.

        `RunFailed` for a run that was aborted, or interrupted by the end of the daemon.
        """
        while self._outcome is None and self.state.get("status") != "interrupted":
            await self._wait()
        outcome = self._outcome or self.state
        if outcome.get("error"):
            raise PicobridgeError.from_dict(outcome["error"])
        if outcome.get("status") != "finished":
            raise RunFailed(f"run {self.id} was {outcome.get('status')}", operation=str(outcome.get("procedure", "")))
        return dict(outcome["result"])

    async def abort(self) -> None:
        """End the run; returns when it has cleaned up: source off, motion stopped. No-op if it has ended."""
        if not self.ended:
            await self._request("abort", {"run": self.id})

    async def pause(self) -> None:
        """Ask for a pause; it is taken where the source is off (`state["pause"]` says "paused" then).

        Raises `Refused` if the procedure cannot be paused.
        """
        await self._request("pause", {"run": self.id})

    async def go_on(self) -> None:
        """End a pause."""
        await self._request("continue", {"run": self.id})

    @property
    def question(self) -> Mapping[str, Any] | None:
        """What the run asks the operator: `text`, `choices`, `fields` to be typed in, `details`; None if nothing."""
        return self.state.get("question")

    async def answer(
        self, choice: str, values: Mapping[str, Any] | None = None, *, question: str | None = None, **typed: Any
    ) -> None:
        """Answer the question that is open (`question` is its id, for one that may have been answered meanwhile).

        What is typed in goes by name, `answer("done", length="5 um")`, or as `values`; text with units is accepted.
        Raises `InvalidValue` saying what is accepted; the question stays open then.
        """
        asked: dict[str, Any] = {"run": self.id, "choice": choice, "values": {**(values or {}), **typed}}
        if question is None and self.question is not None:
            question = str(self.question["id"])
        if question is not None:
            asked["question"] = question
        await self._request("answer", asked)

    async def until_ended(self, blocks: BlockStream) -> AsyncIterator[SampleBlock]:
        """Blocks of a stream until the run has ended and all that came before its end was handed on."""
        while True:
            block = blocks.take()
            if block is not None:
                yield block
            elif self.ended:
                return
            else:
                await self._first_of(blocks.arrived())

    def update_state(self, state: Mapping[str, Any]) -> None:
        """For `Lab`: a message of `runs/<run>/state` came."""
        self.state = state
        self._notify()

    def update_result(self, outcome: Mapping[str, Any]) -> None:
        """For `Lab`: a message of `runs/<run>/result` came."""
        self._outcome = outcome
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _wait(self) -> None:
        await self._changed.wait()

    async def _first_of(self, arrival: Awaitable[None]) -> None:
        waiting = [asyncio.ensure_future(arrival), asyncio.ensure_future(self._wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
