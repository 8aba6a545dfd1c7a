"""Take what a bridge publishes into a folder a run, as any other subscriber would, with every gap asked for again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from bridge.client import CompleteStream, Lab
from bridge.client.run_news import RunNews
from bridge.record.collector import Collector
from bridge.record.raw import StreamCount
from drivers.errors import InvalidValue, PicobridgeError
from drivers.samples import SampleBlock

LOG = logging.getLogger("picobridge.record")

#: Files are made durable this often (real seconds), and the daemon is told.
_FLUSH_S = 1.0
#: A step under way may end by itself when recording ends; what takes longer waits for a daemon that does not answer.
_STOP_S = 3.0


class Recorder:
    """Blocks of all devices, each stream's in order, and what is said of runs go to the `collector`."""

    def __init__(
        self,
        collector: Collector,
        blocks: CompleteStream,
        news: RunNews,
        on_block: Callable[[SampleBlock], None] = lambda block: None,
    ) -> None:
        self.collector = collector
        self._blocks = blocks
        self._news = news
        self._on_block = on_block
        self._arrived = asyncio.Event()
        self._stopped = asyncio.Event()
        self._told = True
        self._waits: dict[str, asyncio.Future[Any]] = {}
        self._kept_s = asyncio.get_running_loop().time()
        #: set when recording has ended, which before the end of `recording` means that it broke
        self.ended = asyncio.Event()

    @property
    def counts(self) -> StreamCount:
        """All streams together."""
        blocks = self._blocks
        return StreamCount(samples=blocks.received, missing=blocks.missing, duplicated=blocks.duplicated)

    async def until(self, samples: int, timeout_s: float) -> bool:
        """Wait until at least `samples` have been recorded; false if they have not come in time."""
        return await self._wait(lambda: self.counts.samples >= samples, timeout_s)

    async def complete(self, timeout_s: float) -> bool:
        """Wait until everything is recorded that the daemon has now; false if that takes longer."""
        await self._blocks.check()
        return await self._wait(lambda: self._blocks.complete, timeout_s)

    async def all_ended(self, timeout_s: float) -> bool:
        """Wait until no run is under way; false if that takes longer."""
        return await self._wait(lambda: not self.collector.under_way, timeout_s)

    async def _wait(self, done: Callable[[], bool], timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                while not done():
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return False
        return True

    async def serve(self) -> None:
        """Record until `stop`. Raises `RunFailed` if a folder cannot be written."""
        loop = asyncio.get_running_loop()
        while not self._stopped.is_set():
            while (said := self._news.take()) is not None:
                await self._hear(*said)
            if (block := self._blocks.take()) is not None:
                await self.collector.take(block)
                self._on_block(block)
            else:
                await self._end_runs()
                self._arrived.set()
                await self._something(max(0.0, self._kept_s + _FLUSH_S - loop.time()))
            if loop.time() - self._kept_s > _FLUSH_S:
                await self.keep()

    async def keep(self) -> None:
        """Everything so far to the disk; then the daemon is told, if the recorder has a name.

        A daemon that cannot be told, or does not take it (it winds down, its disk refuses), is told again next time.
        """
        self._kept_s = asyncio.get_running_loop().time()
        handed_on = self._blocks.handed_on()
        await self.collector.sync()
        try:
            await self._blocks.recorded(handed_on)
        except PicobridgeError as error:
            LOG.log(
                logging.WARNING if self._told else logging.DEBUG,
                "the daemon was not told what is recorded in %s: %s",
                self.collector.data_dir,
                error,
            )
            self._told = False
        else:
            self._told = True

    async def _hear(self, kind: str, run: str, content: object) -> None:
        assert isinstance(content, dict)
        try:
            if kind == "manifest":
                await self.collector.manifest(content)
        except InvalidValue as error:  # not from our daemon
            LOG.warning("run %s: %s", run, error)
        if kind == "result":
            self.collector.outcome(run, content)
        elif kind == "state":
            self.collector.state(run, content)
        elif kind == "event":
            self.collector.event(content)

    async def _end_runs(self) -> None:
        """Those of which everything has come."""
        nothing_more = self.collector.interrupted and await self._blocks.check() and self._blocks.complete
        await self.collector.reached(self._blocks.handed_on(), everything=nothing_more)

    async def _something(self, timeout_s: float) -> None:
        """Wait until a block or news may have come. What asks the daemon meanwhile goes on after the timeout."""
        for what, wait in (
            ("blocks", self._blocks.arrived),
            ("news", self._news.arrived),
            ("stop", self._stopped.wait),
        ):
            if what not in self._waits or self._waits[what].done():
                self._waits[what] = asyncio.ensure_future(wait())
        await asyncio.wait(self._waits.values(), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)

    def stop(self) -> None:
        """Between two steps: a folder is never left half opened or half ended."""
        self._stopped.set()

    async def close(self) -> None:
        """End what waits."""
        for wait in self._waits.values():
            wait.cancel()
        await asyncio.gather(*self._waits.values(), return_exceptions=True)


@asynccontextmanager
async def recording(
    lab: Lab, collector: Collector, on_block: Callable[[SampleBlock], None] = lambda block: None, *, name: str = ""
) -> AsyncIterator[Recorder]:
    """Record while the block lasts. What broke the recorder meanwhile is raised on leaving.

    With a `name` it goes on where the last recorder of that name ended, and what it has kept counts as kept for the
    daemon. Without one it begins with what is new and with the runs that are under way, from their first samples.
    """
    begun = {
        stream["stream"]: int(stream["first_index"])
        for run in await lab.runs()
        if not run.ended
        for stream in run.state["streams"].values()
    }
    async with lab.run_news() as news, lab.complete_samples(recorder=name, begin=begun) as blocks:
        recorder = Recorder(collector, blocks, news, on_block)
        task = asyncio.create_task(recorder.serve(), name="picobridge-recorder")
        task.add_done_callback(lambda _: recorder.ended.set())
        try:
            yield recorder
        finally:
            recorder.stop()
            await asyncio.wait({task}, timeout=_STOP_S)
            task.cancel()
            results = await asyncio.gather(task, return_exceptions=True)
            await recorder.close()
            if not isinstance(results[0], Exception):
                await recorder.keep()
            await collector.close()
            if isinstance(results[0], Exception):
                raise results[0]
