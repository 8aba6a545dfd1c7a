"""One browser's connection to the broker: what passes in both directions, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from aiohttp import WSCloseCode, WSMsgType, web

from bridge.access.rates import Bucket
from drivers.errors import InvalidValue, Refused

from .policy import Policy

LOG = logging.getLogger("picobridge.web")

#: What waits for one browser at most, beside what the sockets hold, and how long it may take nothing.
BACKLOG_BYTES = 8_000_000
STALLED_S = 30.0
#: A browser that has not said CONNECT by then is hung up on.
GREETING_S = 10.0
#: Messages and pings of a browser.
FRAMES_PER_S = 1000
FRAMES_AT_ONCE = 2000
#: How long the broker has to take the connection.
BROKER_S = 5.0
#: How long a browser has to take the reason why it is hung up on.
GOODBYE_S = 2.0
_CHUNK = 64 * 1024
_AT_ONCE = 256 * 1024
#: The longest reason of a close frame (RFC 6455, section 5.5).
_REASON_BYTES = 123

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
#: Raises `OSError`.
Dial = Callable[[], Awaitable[Streams]]


class Line:
    """`run` it once."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse, policy: Policy) -> None:
        self._request = request
        self._socket = socket
        self._policy = policy
        self._over: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._more = asyncio.Event()

    def end(self, code: int, why: str) -> None:
        """With a code of RFC 6455, section 7.4. The first reason counts."""
        if not self._over.done():
            self._over.set_result((code, why))

    async def run(self, dial: Dial) -> None:
        await self._socket.prepare(self._request)
        try:
            async with asyncio.timeout(BROKER_S):
                reader, writer = await dial()
        except OSError as error:  # a TimeoutError is one
            LOG.debug("no connection to the broker for a page: %s", error)
            self.end(WSCloseCode.TRY_AGAIN_LATER, "the broker cannot be reached")
            await self._hang_up()
            return
        works = (self._up(writer), self._down(reader), self._send())
        tasks = [asyncio.create_task(self._ended_by(work), name="picobridge page") for work in works]
        try:
            await self._over
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            writer.transport.abort()
            await self._hang_up()

    async def _ended_by(self, work: Awaitable[None]) -> None:
        """However a direction ends, the line ends."""
        try:
            await work
        except InvalidValue as error:
            self.end(WSCloseCode.PROTOCOL_ERROR, error.message)
        except Refused as error:
            LOG.warning("hung up on %s: %s", self._request.remote, error.message)
            self.end(WSCloseCode.POLICY_VIOLATION, error.message)
        except OSError as error:
            self.end(WSCloseCode.GOING_AWAY, str(error))
        except Exception:
            LOG.exception("a page's connection broke")
            self.end(WSCloseCode.INTERNAL_ERROR, "the daemon's log says why")

    async def _up(self, writer: asyncio.StreamWriter) -> None:
        frames = Bucket(FRAMES_PER_S, FRAMES_AT_ONCE)
        greeted = asyncio.get_running_loop().time() + GREETING_S
        while True:
            try:
                async with asyncio.timeout_at(None if self._policy.version else greeted):
                    message = await self._socket.receive()
            except TimeoutError:
                raise Refused("no CONNECT came") from None
            if not frames.take():
                raise Refused(f"more than {FRAMES_PER_S} frames a second")
            if message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
                continue
            if message.type is WSMsgType.PONG:
                continue
            if message.type is WSMsgType.TEXT:
                raise Refused("MQTT is in binary messages")
            if message.type is not WSMsgType.BINARY:
                self.end(WSCloseCode.OK, "")
                return
            writer.write(self._policy.feed(message.data))
            await writer.drain()
            await asyncio.sleep(0)  # a thousand small messages may be there at once

    async def _down(self, reader: asyncio.StreamReader) -> None:
        while chunk := await reader.read(_CHUNK):
            self._waiting.append(chunk)
            self._waiting_bytes += len(chunk)
            self._more.set()
            if self._waiting_bytes > BACKLOG_BYTES:
                self._drop()
                return
        self.end(WSCloseCode.TRY_AGAIN_LATER, "the broker hung up")

    async def _send(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            while self._waiting:
                taken = self._waiting.popleft()
                while self._waiting and len(taken) + len(self._waiting[0]) <= _AT_ONCE:
                    taken += self._waiting.popleft()
                try:
                    async with asyncio.timeout(STALLED_S):
                        await self._socket.send_bytes(taken)
                except TimeoutError:
                    self._drop()
                    return
                self._waiting_bytes -= len(taken)

    def _drop(self) -> None:
        """A close frame would wait behind what is not taken."""
        LOG.warning("hung up on %s: it does not take what it has asked for", self._request.remote)
        self._abort()
        self.end(WSCloseCode.POLICY_VIOLATION, "too slow")

    async def _hang_up(self) -> None:
        code, why = self._over.result() if self._over.done() else (WSCloseCode.GOING_AWAY, "")
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self._socket.close(code=code, message=why.encode()[:_REASON_BYTES])
        except (OSError, RuntimeError) as error:
            LOG.debug("a page left without a goodbye: %s", error)
            self._abort()

    def _abort(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()
