"""Take what a bridge publishes into a run folder, as any other subscriber would, with every gap asked for again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bridge.client import CompleteStream, Lab
from bridge.record.raw import StreamCount
from bridge.record.run_folder import RunFolder
from drivers.errors import PicobridgeError
from drivers.samples import SampleBlock

LOG = logging.getLogger("picobridge.record")

#: Files are made durable this often (real seconds), and the daemon is told.
_FLUSH_S = 1.0


class Recorder:
    """Blocks of all devices go into `folder`, each stream's in order."""

    def __init__(self, folder: RunFolder, blocks: CompleteStream, on_block: Callable[[SampleBlock], None]) -> None:
        self.folder = folder
        self._blocks = blocks
        self._on_block = on_block
        self._arrived = asyncio.Event()
        self._told = True
        #: set when recording has ended, which before the end of `recording` means that it broke
        self.ended = asyncio.Event()

    @property
    def counts(self) -> StreamCount:
        """All streams together."""
        counts = self.folder.counts.values()
        return StreamCount(
            samples=sum(count.samples for count in counts),
            missing=self._blocks.missing,
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

    async def complete(self, timeout_s: float) -> bool:
        """Wait until everything is recorded that the daemon has now; false if that takes longer."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._blocks.check()
                while not self._blocks.complete:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return False
        return True

    async def serve(self) -> None:
        """Record until cancelled. Raises `OSError` if the folder cannot be written."""
        loop = asyncio.get_running_loop()
        kept_s = loop.time()
        async for block in self._blocks:
            self.folder.add(block)
            self._on_block(block)
            self._arrived.set()
            if loop.time() - kept_s > _FLUSH_S:
                kept_s = loop.time()
                await self.keep()

    async def keep(self) -> None:
        """Everything so far to the disk; then the daemon is told, if the recorder has a name.

        A daemon that cannot be told, or does not take it (it winds down, its disk refuses), is told again next time.
        """
        handed_on = self._blocks.handed_on()
        await asyncio.to_thread(self.folder.flush)
        await asyncio.to_thread(self.folder.sync)
        try:
            await self._blocks.recorded(handed_on)
        except PicobridgeError as error:
            LOG.log(
                logging.WARNING if self._told else logging.DEBUG,
                "the daemon was not told what is recorded in %s: %s",
                self.folder.path,
                error,
            )
            self._told = False
        else:
            self._told = True


@asynccontextmanager
async def recording(
    lab: Lab,
    folder: RunFolder,
    on_block: Callable[[SampleBlock], None] = lambda block: None,
    *,
    recorder_name: str = "",
) -> AsyncIterator[Recorder]:
    """Record while the block lasts. What broke the recorder meanwhile is raised on leaving.

    With a name it goes on where the last recorder of that name ended, and what it has kept counts as kept for the
    daemon.
    """
    async with lab.complete_samples(recorder=recorder_name) as blocks:
        recorder = Recorder(folder, blocks, on_block)
        task = asyncio.create_task(recorder.serve(), name="picobridge-recorder")
        task.add_done_callback(lambda _: recorder.ended.set())
        try:
            yield recorder
        finally:
            task.cancel()
            results = await asyncio.gather(task, return_exceptions=True)
            if not isinstance(results[0], Exception):
                await recorder.keep()
            folder.close()
            if isinstance(results[0], Exception):
                raise results[0]
