"""Figures of the daemon for Prometheus, over HTTP: `[metrics] port` in the configuration."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Iterable
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from drivers.errors import PortBusy

from .config import MetricsConfig

#: The daemon answers a scrape by then, or it gets nothing: a hanging daemon must look like one.
ANSWER_S = 5.0

Read = Callable[[], Iterable[Metric]]


class _Collector(Collector):
    """Collects on the event loop, whichever thread is asked."""

    def __init__(self, read: Read, loop: asyncio.AbstractEventLoop) -> None:
        self._read = read
        self._loop = loop

    def collect(self) -> Iterable[Metric]:
        answer: concurrent.futures.Future[list[Metric]] = concurrent.futures.Future()

        def ask() -> None:
            try:
                answer.set_result(list(self._read()))
            except Exception as error:
                answer.set_exception(error)

        self._loop.call_soon_threadsafe(ask)
        return answer.result(ANSWER_S)


class Metrics:
    """`read` as for `MetricsServer`. Serves nothing until it is told where."""

    def __init__(self, read: Read) -> None:
        self.server: MetricsServer | None = None
        self._read = read
        self._where: MetricsConfig | None = None

    async def serve(self, where: MetricsConfig | None) -> None:
        """There, and nowhere else. Raises `PortBusy`; it is then served where it was before."""
        if where == self._where:
            return
        before = self._where
        await self.close()
        try:
            self._begin(where)
        except PortBusy:
            self._begin(before)
            raise

    async def close(self) -> None:
        server, self.server, self._where = self.server, None, None
        if server is not None:
            await server.close()

    def _begin(self, where: MetricsConfig | None) -> None:
        if where is not None:
            self.server = MetricsServer(self._read, where.address, where.port)
        self._where = where


class MetricsServer:
    """`read` is called on the event loop for each scrape. The server has a thread of its own."""

    def __init__(self, read: Read, address: str, port: int) -> None:
        """Raises `PortBusy`."""
        registry = CollectorRegistry(auto_describe=False)  # describing is collecting, on the loop that is to answer
        registry.register(_Collector(read, asyncio.get_running_loop()))
        try:
            self._server: WSGIServer
            self._thread: Thread
            self._server, self._thread = start_http_server(port, address, registry)
        except OSError as error:
            raise PortBusy(
                f"metrics cannot be served on {address}:{port}: {error.strerror}",
                hint="Give [metrics] another port, or none.",
            ) from error

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    async def close(self) -> None:
        """Waits for an answer under way, off the event loop, which is to answer it."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(ANSWER_S)
