"""Request and reply kept in pairs over any transport.

All exchanges with a device go through `Link.transaction`, one at a time. If one fails in any way but by the device's
own well-formed answer (time-out, short or broken frame, cancellation), the link is dirty: before the next transaction
it is drained until quiet, and the driver's `synchronise` must prove with a harmless query that request and reply are
paired again. So a late reply can never be taken for the answer to a later question. Nothing is ever sent twice by this
class.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from ..errors import (
    DeviceError,
    DeviceLost,
    DeviceTimeout,
    InvalidValue,
    LinkError,
    OutOfSync,
    PicobridgeError,
    ProtocolError,
    Unsupported,
    WrongDevice,
)
from .base import Transport, timed_out

#: Errors that say that nothing was sent: the pairing still holds if that is true.
_UNSENT = (InvalidValue, Unsupported)


class Conversation:
    """The bytes of one transaction. Remembers what went out and came in, for the errors."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.sent = b""
        self.received = b""

    async def send(self, data: bytes, timeout_s: float = 2.0) -> None:
        """Raises `DeviceLost`, `DeviceTimeout`."""
        self.sent = data
        self.received = b""
        await self._link.transport.write(data, timeout_s)

    async def read_until(self, terminator: bytes, timeout_s: float, limit: int = 1 << 20) -> bytes:
        """One frame without its terminator. `timeout_s` bounds the whole frame.

        Raises `DeviceTimeout`, `DeviceLost`, and `ProtocolError` if `limit` bytes pass without a terminator.
        """
        buffer = self._link.buffer
        deadline = _Deadline(timeout_s)
        searched = 0
        while (end := buffer.find(terminator, searched)) < 0:
            searched = max(0, len(buffer) - len(terminator) + 1)
            if searched > limit:
                break
            await self._fill(deadline)
        if not 0 <= end <= limit:
            raise ProtocolError(f"more than {limit} bytes without the end of a line", received=bytes(buffer[:64]))
        frame = bytes(buffer[:end])
        del buffer[: end + len(terminator)]
        self.received += frame + terminator
        return frame

    async def read_exactly(self, count: int, timeout_s: float) -> bytes:
        """`count` bytes. Raises `DeviceTimeout` (saying how many came), `DeviceLost`."""
        buffer = self._link.buffer
        deadline = _Deadline(timeout_s)
        while len(buffer) < count:
            await self._fill(deadline)
        data = bytes(buffer[:count])
        del buffer[:count]
        self.received += data
        return data

    async def read_some(self, timeout_s: float) -> bytes:
        """Everything that has arrived, at least one byte (on a packet wire: one packet)."""
        buffer = self._link.buffer
        if not buffer:
            await self._fill(_Deadline(timeout_s))
        data = bytes(buffer)
        buffer.clear()
        self.received = data
        return data

    def unread(self, data: bytes) -> None:
        """Put back what was read too far; the next read sees it first."""
        self._link.buffer[:0] = data

    def silence(self, timeout_s: float) -> str:
        """How an error says that nothing came for as long as that."""
        return timed_out(self._link.transport.address, timeout_s).message

    async def drain(self, quiet_s: float) -> bytes:
        """Discard everything until the wire has been quiet for `quiet_s`."""
        discarded = bytes(self._link.buffer)
        self._link.buffer.clear()
        discarded += await self._link.transport.drain(quiet_s)
        self._link.heard = self._link.heard or bool(discarded)
        return discarded

    async def _fill(self, deadline: _Deadline) -> None:
        try:
            self._link.buffer.extend(await self._link.transport.read(deadline.remaining()))
            self._link.heard = True
        except DeviceTimeout as error:
            self.received += bytes(self._link.buffer)
            error.message = self.silence(deadline.timeout_s)
            if self._link.buffer:
                error.message += f", only {len(self._link.buffer)} bytes of it"
            raise


class Link:
    """One device's conversation partner. `name` is the device's, for errors.

    `synchronise` gets a conversation on a drained link and must return only if a query of its own was answered as it
    should; it raises otherwise. `quiet_s` is how long silence must last to count as drained. `speaks_when_spoken_to`
    says that the device never sends unasked, so that whatever lies there before a question, or follows the proof of
    synchronisation, is a stray reply.
    """

    ATTEMPTS = 3
    #: where nothing at all was ever heard there is nothing to get into step with, only a first command to be spoiled
    ATTEMPTS_UNHEARD = 2

    def __init__(
        self,
        transport: Transport,
        synchronise: Callable[[Conversation], Awaitable[None]],
        *,
        name: str,
        quiet_s: float = 0.1,
        speaks_when_spoken_to: bool = True,
    ) -> None:
        self.transport = transport
        self.name = name
        self.buffer = bytearray()
        self.dirty = True
        #: whether anything has come since the wire was opened
        self.heard = False
        self._synchronise = synchronise
        self._quiet_s = quiet_s
        self._speaks_when_spoken_to = speaks_when_spoken_to
        self._was_in_step = False
        self._lock = asyncio.Lock()

    @property
    def busy(self) -> bool:
        """Whether a transaction is under way."""
        return self._lock.locked()

    async def open(self) -> None:
        """Open the wire and prove that the device answers in step; if it does not, the wire is closed again."""
        await self.transport.open()
        self._was_in_step = False
        self.heard = False
        self.buffer.clear()
        self.dirty = True
        try:
            async with self.transaction("synchronise"):
                pass
        except BaseException:
            await self.transport.close()
            raise

    async def close(self) -> None:
        await self.transport.close()

    @asynccontextmanager
    async def transaction(self, operation: str, *, blind: bytes = b"") -> AsyncIterator[Conversation]:
        """The wire for oneself, in step. Errors leave it annotated with device, operation, bytes sent and received.

        `blind` goes out before anything else if the wire is out of step: for what switches off, which may be repeated
        and must not wait until both sides understand each other again.
        """
        async with self._lock:
            conversation = Conversation(self)
            try:
                if self._speaks_when_spoken_to and not self.dirty:
                    self.dirty = await self._unasked(0.0)
                if self.dirty and blind:
                    await self.transport.write(blind)
                if self.dirty:
                    await self._resynchronise(operation)
                self.dirty = True
                try:
                    yield conversation
                except DeviceError:
                    # raised after a complete, well-formed reply
                    self.dirty = False
                    raise
                except _UNSENT:
                    self.dirty = bool(conversation.sent)
                    raise
                self.dirty = False
            except PicobridgeError as error:
                self._annotate(error, operation, conversation)
                raise

    async def _unasked(self, quiet_s: float) -> bool:
        """Whether something has arrived, or arrives within `quiet_s`, that nobody asked for; line ends do not count."""
        stray = bytes(self.buffer)
        self.buffer.clear()
        stray += await self.transport.leftovers()
        if quiet_s and not stray.strip(b"\r\n"):
            stray += await self.transport.drain(quiet_s)
        return bool(stray.strip(b"\r\n"))

    async def urgent(self, data: bytes, operation: str = "stop") -> None:
        """Send without waiting for the transaction under way: only for what the device accepts in the middle of one."""
        try:
            await self.transport.write(data)
        except PicobridgeError as error:
            error.annotate(device=self.name, operation=operation, sent=data)
            raise

    def _annotate(self, error: PicobridgeError, operation: str, conversation: Conversation) -> None:
        error.annotate(device=self.name, operation=operation, sent=conversation.sent, received=conversation.received)

    async def _resynchronise(self, operation: str) -> None:
        failure: PicobridgeError | None = None
        for attempt in range(self.ATTEMPTS):
            if attempt >= self.ATTEMPTS_UNHEARD and not self.heard:
                break
            conversation = Conversation(self)
            await conversation.drain(self._quiet_s)
            try:
                await self._synchronise(conversation)
                # a late reply that looked like the proof is followed by the true one; before the first proof of all
                # nothing was asked that could be answered late
                quiet_s = self._quiet_s if self._was_in_step else 0.0
                if self._speaks_when_spoken_to and await self._unasked(quiet_s):
                    raise ProtocolError("more came than was asked for")
            except DeviceLost:
                raise
            except (LinkError, DeviceError) as error:
                # an error of the device's own may be its opinion of half a command sent before
                failure = error
                self._annotate(error, operation, conversation)
            else:
                self.dirty = False
                self._was_in_step = True
                return
        assert failure is not None
        if isinstance(failure, DeviceTimeout | WrongDevice):
            raise failure
        raise OutOfSync(
            f"request and reply could not be paired again: {failure.message}",
            sent=failure.sent,
            received=failure.received,
            hint="" if self._was_in_step else self.transport.mismatch_hint,
        ) from failure


class _Deadline:
    """Real time, whatever clock the driver waits by: a dead simulator must time out too."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + timeout_s

    def remaining(self) -> float:
        return max(0.0, self._end - self._loop.time())
