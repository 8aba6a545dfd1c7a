"""A TCP proxy that cuts connections at chosen bytes, as a bad cable or a restarted switch does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress

from bridge.transfer.mqtt import BrokerAddress


class CuttingProxy:
    """Each connection ends after as many bytes towards the broker as the next of `budgets` says; then they run free."""

    def __init__(self, target: BrokerAddress, budgets: Iterable[int]) -> None:
        self.cuts = 0
        self._target = target
        self._budgets: Iterator[int] = iter(budgets)
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        #: while it is clear, new connections lead nowhere yet
        self.whole = asyncio.Event()
        self.whole.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._clients.add(writer)
        try:
            await self.whole.wait()
            await self._join(reader, writer)
        finally:
            writer.transport.abort()
            self._tasks.discard(task)
            self._clients.discard(writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(self._target.host, self._target.port)
        down = asyncio.create_task(_copy(up_reader, writer, None))
        try:
            budget = next(self._budgets, None)
            await _copy(reader, up_writer, budget)
            self.cuts += budget is not None
        finally:
            down.cancel()
            up_writer.transport.abort()
            await asyncio.gather(down, return_exceptions=True)

    def cut(self) -> None:
        """All connections, now, and new ones until `whole` is set."""
        self.whole.clear()
        self.cuts += len(self._clients)
        for client in self._clients:
            client.transport.abort()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int | None) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            if budget is not None:
                data, budget = data[:budget], budget - len(data)
            writer.write(data)
            await writer.drain()
            if budget is not None and budget <= 0:
                return


@asynccontextmanager
async def cutting_proxy(
    target: BrokerAddress, budgets: Iterable[int]
) -> AsyncIterator[tuple[BrokerAddress, CuttingProxy]]:
    proxy = CuttingProxy(target, budgets)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield BrokerAddress("127.0.0.1", port, version=target.version), proxy
    finally:
        server.close()
        await proxy.close()
        await server.wait_closed()
