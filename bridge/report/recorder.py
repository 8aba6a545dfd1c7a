"""Take what a bridge publishes into a run folder, as any other subscriber would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bridge.client import BlockStream, Lab
from bridge.record.raw import StreamCount
from bridge.record.run_folder import RunFolder
from drivers.samples import SampleBlock

#: Files are flushed to the operating system this often (real seconds), so that a killed recorder loses little.
_FLUSH_S = 1.0


class Recorder:
    """Blocks of all devices go into `folder` in the order in which they come."""

    def __init__(self, folder: RunFolder, blocks: BlockStream, on_block: Callable[[SampleBlock], None]) -> None:
        self.folder = folder
        self._blocks = blocks
        self._on_block = on_block
        self._arrived = asyncio.Event()
        #: set when recording has ended, which before the end of `recording` means that it broke
        self.ended = asyncio.Event()

    @property
    def counts(self) -> StreamCount:
        """All streams together."""
        counts = self.folder.counts.values()
        return StreamCount(
            samples=sum(count.samples for count in counts),
            missing=sum(count.missing for count in counts),
            duplicated=self._blocks.duplicated,  # the stream leaves them out before the folder sees them
        )

    async def until(self, samples: int, timeout_s: float) -> bool:
        """Wait until at least `samples` have been recorded; false if they have not come in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.counts.samples < samples:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return False
        return True

    async def serve(self) -> None:
        """Record until cancelled. Raises `OSError` if the folder cannot be written."""
        loop = asyncio.get_running_loop()
        flushed = loop.time()
        async for block in self._blocks:
            self.folder.add(block)
            self._on_block(block)
            self._arrived.set()
            if loop.time() - flushed > _FLUSH_S:
                flushed = loop.time()
                await asyncio.to_thread(self.folder.flush)


@asynccontextmanager
async def recording(
    lab: Lab, folder: RunFolder, on_block: Callable[[SampleBlock], None] = lambda block: None
) -> AsyncIterator[Recorder]:
    """Record while the block lasts. What broke the recorder meanwhile is raised on leaving."""
    async with lab.listen_to_samples("+") as blocks:
        recorder = Recorder(folder, blocks, on_block)
        task = asyncio.create_task(recorder.serve(), name="picobridge-recorder")
        task.add_done_callback(lambda _: recorder.ended.set())
        try:
            yield recorder
        finally:
            task.cancel()
            results = await asyncio.gather(task, return_exceptions=True)
            folder.close()
            if isinstance(results[0], Exception):
                raise results[0]
