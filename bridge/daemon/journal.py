"""Which runs are under way, on disk, so that a daemon that was killed knows at its next start what it left on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .state import State

#: So many ended runs can be gone on with; older ones are forgotten.
KEPT = 50


class Journal:
    """The runs of a state, with those that can be gone on with at hand. Every method is on disk when it returns, and
    raises `StoreError`."""

    def __init__(self, state: State) -> None:
        self._runs = state.runs
        #: ended runs that can be gone on with, by their ids, the oldest first
        self.resumable: dict[str, Any] = {}

    async def open(self) -> dict[str, Any]:
        """The runs that an earlier daemon did not end, by their ids. The state must be open."""
        await self._read_resumable()
        return {stored.run: stored.entry for stored in await self._runs.under_way()}

    async def begin(self, run: str, entry: Mapping[str, Any]) -> None:
        """To be called before anything is energised."""
        await self._runs.begin(run, entry)

    async def save(self, run: str, saved: list[Any]) -> None:
        """What a resume of a run under way needs."""
        await self._runs.save(run, saved)

    async def keep(self, run: str, entry: Mapping[str, Any]) -> None:
        """A run that has ended can be gone on with."""
        await self._runs.keep(run, entry, newest=KEPT)
        await self._read_resumable()

    async def forget(self, run: str) -> None:
        """It is gone on with, or not needed any more."""
        await self._runs.forget(run)
        await self._read_resumable()

    async def end(self, run: str) -> None:
        await self._runs.end(run)

    async def _read_resumable(self) -> None:
        self.resumable = {stored.run: stored.entry for stored in await self._runs.resumable()}
