"""Many instruments in one process, each on a connection of its own, as `stream_instrument` is one.

They send at their rate, the rows of `chunk_s` at a time, as a multi-channel instrument that is read so often.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from multiprocessing.connection import Connection

import numpy as np

from .processes import heard
from .stream_instrument import CURRENT_A


def serve(pipe: Connection, chunk_s: float) -> None:
    """Sends the port, then serves until the pipe says anything."""
    asyncio.run(_serve(pipe, chunk_s))


async def _serve(pipe: Connection, chunk_s: float) -> None:
    tasks: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        streaming: asyncio.Task[None] | None = None
        with suppress(ConnectionError):
            while line := await reader.readline():
                name, *arguments = line.decode("ascii").split()
                if name == "*IDN?":
                    writer.write(b"picobridge,line,1,1.0\n")
                elif name == "OFF":
                    if streaming is not None:
                        streaming.cancel()
                    writer.write(b"OFF\n")
                elif name == "STREAM":
                    streaming = asyncio.create_task(_stream(writer, int(arguments[0]), float(arguments[1]), chunk_s))
                    tasks.add(streaming)
                    streaming.add_done_callback(tasks.discard)
        writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    pipe.send(server.sockets[0].getsockname()[1])
    await heard(pipe)
    for task in tasks:
        task.cancel()
    server.close()


async def _stream(writer: asyncio.StreamWriter, count: int, interval_s: float, chunk_s: float) -> None:
    loop = asyncio.get_running_loop()
    start_s, sent = loop.time(), 0
    while sent < count:
        await asyncio.sleep(max(0.0, start_s + (sent * interval_s) + chunk_s - loop.time()))
        due = min(count, sent + round(chunk_s / interval_s))  # also when it is late
        index = np.arange(sent, due, dtype=np.float64)
        rows = np.column_stack([(index + 1) * interval_s, index, np.full(len(index), CURRENT_A)])
        writer.write(rows.tobytes())
        sent = due
        await writer.drain()
