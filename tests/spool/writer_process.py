"""`python -m tests.spool.writer_process FOLDER [FILE_LIMIT]`: writes to a spool for as long as it lives.

It says on stdout what is durable, a line each time, and what went wrong. It ends when it is told to on stdin.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

from bridge.transfer.spool import Spool, SpoolOptions

from .blocks import block

STREAM = "a-1"


async def main(folder: Path) -> None:
    options = SpoolOptions(commit_s=0.001, segment_bytes=100_000, reserve_bytes=0, retry_s=0.05, queue_bytes=500_000)
    spool = Spool.open(folder, options)
    told = 0

    def changed() -> None:
        nonlocal told
        if (durable := spool.durable(STREAM)) > told:
            told = durable
            print(told, flush=True)

    spool.changed = changed
    spool.on_fault = lambda kind, text: print(kind, text, flush=True)
    spool.start()
    loop = asyncio.get_running_loop()
    ending = loop.run_in_executor(None, sys.stdin.readline)
    index = spool.durable(STREAM)
    while not ending.done():
        spool.append(block(STREAM, index, 20))
        index += 20
        await asyncio.sleep(0)
        if spool.full:
            await spool.room(1.0)
    await spool.close()
    print(f"closed {spool.durable(STREAM)} of {index}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        limit = int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    asyncio.run(main(Path(sys.argv[1])))
