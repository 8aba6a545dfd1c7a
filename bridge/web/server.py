"""The page beside a daemon, in its event loop.

    with opened(config.web) as door:            # the port is ours before any hardware is touched
        async with Daemon(config) as daemon, serving(daemon, config.web, door):
            ...

Whatever breaks here is told as an event, and the daemon goes on.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiohttp import hdrs, web

from bridge.daemon.daemon import Daemon
from bridge.daemon.web_config import DEFAULT_PORT, WebConfig, is_loopback
from bridge.transfer.messages import CONTRACT
from bridge.transfer.plain import dumps
from drivers.errors import PortBusy

from .assets import Assets
from .guard import Guard
from .line import Streams
from .policy import Account, Policy
from .relay import Relay

LOG = logging.getLogger("picobridge.web")

RELAY = "/mqtt"
_BACKLOG = 64
#: How long an answer under way may take when the server ends.
_SHUTDOWN_S = 1.0


class Door:
    """The port on which the page is to be served. `socket` is None where it could not be had: `problem` says why."""

    def __init__(self, config: WebConfig) -> None:
        """Raises `PortBusy` for a port that somebody has chosen."""
        self.socket: socket.socket | None = None
        self.problem = ""
        port = DEFAULT_PORT if config.port is None else config.port
        family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        try:
            self.socket = socket.create_server((config.host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            said = f"the page cannot be served on {config.host}:{port}: {error.strerror or error}"
            hint = "Give [web] another port, or enabled = false."
            if config.port is not None:
                raise PortBusy(said, hint=hint) from error
            self.problem = f"{said}. {hint}"

    @property
    def port(self) -> int:
        assert self.socket is not None
        return int(self.socket.getsockname()[1])

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()


@contextmanager
def opened(config: WebConfig | None) -> Iterator[Door | None]:
    """None where no page is wanted. Raises `PortBusy`."""
    door = None if config is None else Door(config)
    try:
        yield door
    finally:
        if door is not None:
            door.close()


@asynccontextmanager
async def serving(daemon: Daemon, config: WebConfig | None, door: Door | None) -> AsyncIterator[str]:
    """Yields the page's address, "" if it is served nowhere."""
    if config is None or door is None:
        yield ""
        return
    if door.socket is None:
        daemon.events.publish("daemon", door.problem, severity="warning")
        yield ""
        return
    server = Server(daemon, config)
    try:
        await server.start(door.socket)
    except Exception as error:
        LOG.exception("the page is not served")
        daemon.events.publish("daemon", f"the page is not served: {error}", severity="error")
        yield ""
        return
    try:
        yield f"{'https' if config.tls else 'http'}://{_shown(config.host)}:{door.port}/"
    finally:
        await server.close()


class Server:
    """`start` it and `close` it once."""

    def __init__(self, daemon: Daemon, config: WebConfig) -> None:
        self._daemon = daemon
        self._assets = Assets()
        self._relay = Relay(self._dial, self._policy)
        names = (*config.names, *(() if is_loopback(config.host) else (config.host,)))
        app = web.Application()
        Guard(names, self._failed).install(app)
        app.router.add_get("/", self._index, allow_head=False)
        app.router.add_get("/static/{name:.+}", self._static, allow_head=False)
        app.router.add_get("/config.json", self._config, allow_head=False)
        app.router.add_get(RELAY, self._mqtt, allow_head=False)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)

    async def start(self, door: socket.socket) -> None:
        await self._runner.setup()
        await web.SockSite(self._runner, door).start()

    async def close(self) -> None:
        self._relay.hang_up("the daemon is stopping")
        await self._runner.cleanup()

    def _failed(self, text: str) -> None:
        self._daemon.events.publish("daemon", f"the page: {text}", severity="error")

    async def _index(self, request: web.Request) -> web.StreamResponse:
        return await self._assets.answer(request, "index.html")

    async def _static(self, request: web.Request) -> web.StreamResponse:
        return await self._assets.answer(request, request.match_info["name"])

    async def _config(self, request: web.Request) -> web.StreamResponse:
        daemon = self._daemon
        said: dict[str, Any] = {
            "bridge": daemon.config.bridge,
            "prefix": daemon.topics.prefix,
            "user": None,
            "role": None,
            "version": daemon.version,
            "contract": CONTRACT,
            "relay": RELAY,
        }
        headers = {hdrs.CONTENT_TYPE: "application/json", hdrs.CACHE_CONTROL: "no-store"}
        return web.Response(body=dumps(said), headers=headers)

    async def _mqtt(self, request: web.Request) -> web.StreamResponse:
        return await self._relay.serve(request, "")

    async def _dial(self) -> Streams:
        broker = self._daemon.broker
        context = ssl.create_default_context(cafile=broker.ca) if broker.tls else None
        return await asyncio.open_connection(broker.host, broker.port, ssl=context)

    def _policy(self, user: str) -> Policy:
        broker = self._daemon.broker
        identifier = f"picobridge-page-{secrets.token_hex(8)}"
        return Policy(self._daemon.topics, user, Account(identifier, broker.user, broker.password))


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
