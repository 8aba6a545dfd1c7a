"""Standard input, a line at a time, without blocking the event loop."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def lines_of_stdin() -> AsyncIterator[AsyncIterator[str]]:
    """Lines as they come; none if standard input is a file, closed, or a terminal whose foreground is another job."""
    chunks: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    descriptor = _waitable_stdin()
    if descriptor is not None:

        def take() -> None:
            data = os.read(descriptor, 4096)
            chunks.put_nowait(data)
            if not data:
                loop.remove_reader(descriptor)

        loop.add_reader(descriptor, take)
    else:
        chunks.put_nowait(b"")
    try:
        yield _lines(chunks)
    finally:
        if descriptor is not None:
            loop.remove_reader(descriptor)


def _waitable_stdin() -> int | None:
    try:
        descriptor = sys.stdin.fileno()
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            return descriptor
        # reading the terminal from the background would stop the process
        in_front = os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()
    except (AttributeError, ValueError, OSError):
        return None
    return descriptor if in_front else None


async def _lines(chunks: asyncio.Queue[bytes]) -> AsyncIterator[str]:
    buffer = b""
    while data := await chunks.get():
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            if line.strip():
                yield line.decode("utf-8", "replace").strip()
