"""A run's pause: asked for, taken at the procedure's next pause point, ended by somebody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Pause:
    """`changed` is called when the state changes."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._go_on = asyncio.Event()
        self._go_on.set()
        self._there = False

    @property
    def asked(self) -> bool:
        """Whether the run is to pause, or pauses."""
        return not self._go_on.is_set()

    @property
    def state(self) -> str | None:
        """ "asked", "paused" or None."""
        return None if not self.asked else "paused" if self._there else "asked"

    def ask(self) -> None:
        if not self.asked:
            self._go_on.clear()
            self._changed()

    def end(self) -> None:
        if self.asked:
            self._go_on.set()
            self._changed()

    async def point(self) -> None:
        """Where the procedure may wait."""
        if not self.asked:
            return
        self._there = True
        self._changed()
        try:
            await self._go_on.wait()
        finally:
            self._there = False
