"""The lead, watched without a break while the tip moves: samples as they come, and an alarm for what must stop it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import aclosing
from types import TracebackType
from typing import Self

import numpy as np

from drivers.errors import RunFailed
from drivers.interfaces import Potentiostat
from drivers.samples import Array, EndReason
from drivers.techniques import Technique
from drivers.uninterrupted import to_the_end


class LeadWatch:
    """Runs a technique in a task of its own and keeps the column that tells contact.

    `alarm(value)` of the samples to come sets `alarmed`; a reading that is no number, one that does not come within
    `stale_s` of real time, and a run that ends or fails set it too: whoever moves has to stop. Leaving the block ends
    the technique, with the cell off.
    """

    def __init__(self, potentiostat: Potentiostat, technique: Technique, column: str, stale_s: float) -> None:
        self._potentiostat = potentiostat
        self._technique = technique
        self._column = column
        self._stale_s = stale_s
        self._values: list[float] = []
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self.alarm: Callable[[float], bool] = lambda value: False
        self.alarmed = asyncio.Event()
        #: when the last sample came, and the one that set the alarm: real seconds (`time.perf_counter`)
        self.came_s = time.perf_counter()
        self.alarmed_s = math.nan
        #: by the instrument's clock, since the technique began
        self.elapsed_s = 0.0
        self.end: EndReason | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._read(), name="lead watch")
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await to_the_end(asyncio.wait([self._task]))  # what fails there is met again by whoever proves the cell off

    async def _read(self) -> None:
        try:
            async with aclosing(self._potentiostat.run(self._technique)) as run:
                async for block in run:
                    self._take(block[self._column].tolist(), block["time_s"].tolist())
                    if block.end is not None:
                        self.end = block.end
        except Exception as error:
            self._failure = error
        finally:
            self._alarm()
            self._news.set()

    def _take(self, values: list[float], times_s: list[float]) -> None:
        if not values:
            return
        self.came_s = time.perf_counter()
        self.elapsed_s = times_s[-1]
        for value in values:
            self._values.append(value)
            if not math.isfinite(value) or self.alarm(value):
                self._alarm()
        self._news.set()

    def _alarm(self) -> None:
        if not self.alarmed.is_set():
            self.alarmed_s = time.perf_counter()
            self.alarmed.set()

    def arm(self, alarm: Callable[[float], bool]) -> None:
        """From now on, for the samples to come."""
        self.alarm = alarm
        if self._running:
            self.alarmed.clear()

    @property
    def _running(self) -> bool:
        return self._task is not None and not self._task.done() and self._failure is None

    async def fresh(self, count: int) -> Array:
        """The next `count` values, shape (count,); fewer if the run has ended meanwhile.

        Raises `RunFailed` for one that is no number or does not come, and what the run has raised.
        """
        first = len(self._values)
        while len(self._values) < first + count:
            if self._failure is not None:
                raise self._failure
            if not self._running:
                break
            self._news.clear()
            try:
                async with asyncio.timeout(self._stale_s):
                    await self._news.wait()
            except TimeoutError:
                raise RunFailed(f"no reading for {self._stale_s:g} s", device=self._potentiostat.name) from None
        values = np.array(self._values[first : first + count])
        if not np.isfinite(values).all():
            raise RunFailed(f"a reading is no number: {values.tolist()}", device=self._potentiostat.name)
        return values
