"""An Ethernet port that takes one client at a time, as such instruments do; a second one waits for the first to go."""

from __future__ import annotations

import asyncio
import socket

from ..instrument import Instrument
from .wire import Wire


class TcpWire(Wire):
    """`address` is `tcp:127.0.0.1:<port>`; `port` 0 takes a free one, which is kept over unplug and replug."""

    def __init__(self, instrument: Instrument, seed: int = 0, *, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(instrument, seed)
        self._host = host
        self._port = port
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._client: _Client | None = None
        self.address = ""

    async def drain(self) -> None:
        if self._client is not None:
            await self._client.writable.wait()

    async def _plug(self) -> None:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.create_server((self._host, self._port), family=family, backlog=1)
        listener.setblocking(False)
        self._port = listener.getsockname()[1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.address = f"tcp:{host}:{self._port}"
        self._listener = listener
        self._accepting = asyncio.get_running_loop().create_task(self._accept(listener))

    async def _unplug(self) -> None:
        task, self._accepting = self._accepting, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listener)
            # asyncio sets this only on sockets made with the protocol's number; without it two small replies in a row
            # take 40 ms
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            transport, client = await loop.connect_accepted_socket(lambda: _Client(self), connection)
            self._client = client
            self.instrument.client_connected()
            try:
                await client.closed.wait()
            finally:
                self._client = None
                transport.abort()
                await client.closed.wait()
                self.instrument.client_gone()

    def _transmit(self, data: bytes) -> None:
        if self._client is not None and self._client.transport is not None:
            self._client.transport.write(data)


class _Client(asyncio.Protocol):
    def __init__(self, wire: TcpWire) -> None:
        self._wire = wire
        self.transport: asyncio.Transport | None = None
        self.closed = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._wire.deliver(data)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.writable.set()
        self.closed.set()
