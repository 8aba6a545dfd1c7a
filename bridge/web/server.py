"""The page beside a daemon, in its event loop.

    with opened(config.web) as door:            # the port is ours before any hardware is touched
        async with AsyncExitStack() as afterwards, Daemon(config) as daemon:
            await afterwards.enter_async_context(serving(daemon, config.web, door))

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

from bridge.daemon.config import Config
from bridge.daemon.daemon import Daemon
from bridge.daemon.web_config import DEFAULT_PORT, WebConfig, is_loopback
from bridge.transfer.messages import CONTRACT
from bridge.transfer.mqtt import BrokerAddress
from bridge.transfer.plain import dumps
from drivers.errors import ConfigurationError, PortBusy

from .assets import Assets
from .guard import Guard
from .line import Streams
from .policy import Account, Policy
from .relay import Relay
from .run_files import RunFiles
from .users import Users, tls_context

LOG = logging.getLogger("picobridge.web")

RELAY = "/mqtt"
_BACKLOG = 64
_STOPPING = "the daemon is stopping"
#: Connections at a time, all together, and how long one may take to prove who it is.
_CONNECTIONS = 200
_HANDSHAKE_S = 10.0
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
        try:
            await server.close()
        except Exception:
            LOG.exception("the page did not end in order")


class Server:
    """`start` it and `close` it once."""

    def __init__(self, daemon: Daemon, config: WebConfig) -> None:
        self._daemon = daemon
        self._config = config
        self._users = Users(lambda: daemon.config.access)
        self._roles = _roles(daemon.config)
        self._assets = Assets()
        self._run_files = RunFiles(lambda: daemon.config.data_dir)
        self._relay = Relay(self._dial, self._policy)
        names = (*config.names, *(() if is_loopback(config.host) else (config.host,)))
        app = web.Application()
        Guard(names, self._failed).install(app)
        app.router.add_get("/", self._index, allow_head=False)
        app.router.add_get("/static/{name:.+}", self._static, allow_head=False)
        app.router.add_get("/config.json", self._about, allow_head=False)
        app.router.add_get("/runs/{run}/{name:.+}", self._of_run, allow_head=False)
        app.router.add_get(RELAY, self._mqtt, allow_head=False)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        self._server: asyncio.Server | None = None
        self._farewell: asyncio.Task[None] | None = None

    async def start(self, door: socket.socket) -> None:
        """Raises `ConfigurationError`, `OSError`."""
        if self._daemon.config.access is not None and not self._config.tls:
            raise ConfigurationError("a bridge with users needs [web] cert, key and ca: they are known by certificates")
        context = await asyncio.to_thread(tls_context, self._config)
        await self._runner.setup()
        handshake_s = None if context is None else _HANDSHAKE_S
        self._server = await asyncio.get_running_loop().create_server(
            self._connection, sock=door, ssl=context, ssl_handshake_timeout=handshake_s
        )
        self._daemon.adopted.append(self._adopt)
        self._farewell = asyncio.create_task(self._say_farewell(), name="picobridge page's end")

    async def close(self) -> None:
        if self._server is not None:
            self._daemon.adopted.remove(self._adopt)
            self._server.close()
        if self._farewell is not None:
            self._farewell.cancel()
        self._relay.hang_up(_STOPPING)
        await self._runner.cleanup()

    async def _say_farewell(self) -> None:
        """As soon as the daemon is asked to stop: its broker may be gone before the page is let go of."""
        await self._daemon.stopped.wait()
        self._relay.hang_up(_STOPPING)

    def _connection(self) -> asyncio.Protocol:
        server = self._runner.server
        assert server is not None
        return _Refusal() if len(server.connections) >= _CONNECTIONS else server()

    def _adopt(self, config: Config) -> None:
        """Who is no user any more, or has another role, is hung up on: the page then asks again who she is."""
        before, self._roles = self._roles, _roles(config)
        self._relay.hang_up("other rights from now on", lambda user: before.get(user) != self._roles.get(user))

    def _failed(self, text: str) -> None:
        self._daemon.events.publish("daemon", f"the page: {text}", severity="error")

    async def _index(self, request: web.Request) -> web.StreamResponse:
        self._users.of(request)
        return await self._assets.answer(request, "index.html")

    async def _static(self, request: web.Request) -> web.StreamResponse:
        self._users.of(request)
        return await self._assets.answer(request, request.match_info["name"])

    async def _of_run(self, request: web.Request) -> web.StreamResponse:
        self._users.of(request)
        return await self._run_files.answer(request.match_info["run"], request.match_info["name"])

    async def _about(self, request: web.Request) -> web.StreamResponse:
        daemon, user = self._daemon, self._users.of(request)
        said: dict[str, Any] = {
            "bridge": daemon.config.bridge,
            "prefix": daemon.topics.prefix,
            "user": user or None,
            "role": self._users.role(user),
            "version": daemon.version,
            "contract": CONTRACT,
            "relay": RELAY,
        }
        headers = {hdrs.CONTENT_TYPE: "application/json", hdrs.CACHE_CONTROL: "no-store"}
        return web.Response(body=dumps(said), headers=headers)

    async def _mqtt(self, request: web.Request) -> web.StreamResponse:
        return await self._relay.serve(request, self._users.of(request))

    async def _dial(self) -> Streams:
        broker = self._daemon.broker
        context = await asyncio.to_thread(_context_to, broker) if broker.tls else None
        return await asyncio.open_connection(broker.host, broker.port, ssl=context)

    def _policy(self, user: str) -> Policy:
        broker = self._daemon.broker
        identifier = f"picobridge-page-{secrets.token_hex(8)}"
        return Policy(self._daemon.topics, user, Account(identifier, broker.user, broker.password))


class _Refusal(asyncio.Protocol):
    """For one connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _roles(config: Config) -> dict[str, str]:
    return {} if config.access is None else {user: str(role) for user, role in config.access.users.items()}


def _context_to(broker: BrokerAddress) -> ssl.SSLContext:
    """With the daemon's own certificate, as it is now. Raises `OSError`."""
    context = ssl.create_default_context(cafile=broker.ca)
    if broker.cert is not None:
        context.load_cert_chain(broker.cert, broker.key)
    return context


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
