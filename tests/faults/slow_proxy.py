"""A TCP proxy that lets only so many bytes a second through, as a radio link does, with short queues on the way."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bridge.transfer.mqtt import BrokerAddress

_PIECE = 256


class SlowProxy:
    """`bytes_per_s` towards the broker; None lets all through."""

    def __init__(self, target: BrokerAddress) -> None:
        self.bytes_per_s: float | None = None
        self._target = target
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = writer
        up_reader, up_writer = await asyncio.open_connection(self._target.host, self._target.port)
        down = asyncio.create_task(self._copy(up_reader, writer, slow=False))
        try:
            await self._copy(reader, up_writer, slow=True)
        finally:
            down.cancel()
            up_writer.transport.abort()
            writer.transport.abort()
            await asyncio.gather(down, return_exceptions=True)
            del self._tasks[task]

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slow: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(_PIECE if slow else 65536):
                if slow and self.bytes_per_s is not None:
                    await asyncio.sleep(len(data) / self.bytes_per_s)
                writer.write(data)
                await writer.drain()

    def restore(self) -> None:
        """A link that is quick, with queues of the usual length."""
        self.bytes_per_s = None
        for writer in self._tasks.values():
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

    async def close(self) -> None:
        self.bytes_per_s = None
        for writer in self._tasks.values():
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def slow_proxy(target: BrokerAddress) -> AsyncIterator[tuple[BrokerAddress, SlowProxy]]:
    """The address for a daemon, and the proxy."""
    proxy = SlowProxy(target)
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    listening.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(proxy.serve, sock=listening, limit=1024)
    try:
        yield BrokerAddress("127.0.0.1", listening.getsockname()[1], version=target.version), proxy
    finally:
        server.close()
        await proxy.close()
        await server.wait_closed()
