"""`python -m tests.soak.recorder URL FOLDER`: records every stream by the real client, under the name `soak`.

Goes on where the last one ended, until it is killed. `counts-PID.json` says what it has seen, a second old at most.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from pathlib import Path

from bridge.client import CompleteStream, Lab, connect
from drivers.errors import InvalidValue, PicobridgeError

from .clock import pause
from .rows import StreamFile, rows_of

NAME = "soak"
#: How often the daemon is told what is kept, real seconds.
_TELL_S = 0.5


async def record(url: str, folder: Path) -> None:
    counts: Counter[str] = Counter()
    files: dict[str, StreamFile] = {}
    while True:
        try:
            async with connect(url, bridge="lab", name="soak-recorder") as lab:
                await _record(lab, folder, files, counts)
        except PicobridgeError:  # no broker or no daemon yet
            counts["connects"] += 1
            await pause(0.2)


async def _record(lab: Lab, folder: Path, files: dict[str, StreamFile], counts: Counter[str]) -> None:
    async with lab.complete_samples(recorder=NAME) as blocks:
        before = Counter(counts)
        teller = asyncio.create_task(_tell(blocks, folder, counts, before))
        try:
            async for block in blocks:
                if block.stream not in files:
                    files[block.stream] = StreamFile(folder / f"{block.stream}.rows")
                counts["again"] += files[block.stream].append(rows_of(block))
                if teller.done():
                    teller.result()
        finally:
            teller.cancel()
            await asyncio.gather(teller, return_exceptions=True)


async def _tell(blocks: CompleteStream, folder: Path, counts: Counter[str], before: Counter[str]) -> None:
    """The daemon and the file of counts."""
    path = folder / f"counts-{os.getpid()}.json"
    while True:
        for name in ("received", "missing", "duplicated", "replayed", "malformed"):
            counts[name] = before[name] + getattr(blocks, name)
        path.with_suffix(".new").write_text(json.dumps(counts))
        path.with_suffix(".new").replace(path)
        try:
            # a block that was handed on is written before the next await, so it is in its file
            await blocks.recorded(blocks.handed_on())
        except InvalidValue:  # the daemon has no such stream any more
            counts["not_told"] += 1
        except PicobridgeError:
            counts["unanswered"] += 1
        await pause(_TELL_S)


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1], Path(sys.argv[2])))
