"""Wires whose library only has blocking calls (VISA, USB): one worker thread a wire, read in short slices."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypeVar

from ..errors import DeviceLost, LinkError
from .address import Address
from .base import Transport
from .inbox import Inbox
from .worker import Worker

T = TypeVar("T")

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 3.0


class ThreadedTransport(Transport):
    """The `_blocking` methods of a subclass run on the worker thread, never two at once.

    A read is cut into slices, so that it can be abandoned and something urgent can be written in between; what a slice
    brings goes to the inbox whether or not anybody waits for it any more, so it is not lost and the next read gets it.
    A call that does not come back in time poisons the wire: its thread is abandoned and everything raises `DeviceLost`.
    """

    #: How long one blocking read lasts at most, and so how long a write may have to wait behind it. None: as long as
    #: the reader waits, for wires on which a read that timed out cannot be taken up again.
    slice_s: float | None = 0.05
    #: Whether a read may be tried when nothing was asked for.
    may_poll: bool = True
    #: A call that is this late has hung.
    hang_margin_s: ClassVar[float] = 2.0

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._worker = Worker(f"picobridge {address}")
        self._inbox = Inbox(address, packets=self.packets)
        self._slice: asyncio.Future[bytes | None] | None = None
        self._wanted_until = 0.0
        self._hung = False
        self._closers: list[Callable[[], None]] = []

    # --- what a subclass does on the worker thread -----------------------------------------------------------------

    @abstractmethod
    def _open_blocking(self) -> Callable[[], None]:
        """Open, and return what closes again (runs on the worker thread too, and raises nothing).

        Raises `DeviceLost`, `PortBusy`, `PermissionDenied`, `InvalidValue`, with nothing left open.
        """

    @abstractmethod
    def _write_blocking(self, data: bytes, timeout_s: float) -> None:
        """Raises `DeviceLost`, `DeviceTimeout`, `ProtocolError`."""

    @abstractmethod
    def _read_blocking(self, timeout_s: float) -> bytes | None:
        """None if nothing came within `timeout_s`. Raises `DeviceLost`, `ProtocolError`."""

    # --- the event loop's side -------------------------------------------------------------------------------------

    async def _do_open(self) -> None:
        self._inbox = Inbox(self.address, packets=self.packets)
        self._worker = Worker(f"picobridge {self.address}")
        self._hung = False
        # each opening has its own list: a thread that was abandoned and comes back later closes what was its own
        closers = self._closers = []
        try:
            await self._call(lambda: closers.append(self._open_blocking()), OPEN_TIMEOUT_S)
        except BaseException:
            await self._end_worker()
            raise

    async def _do_close(self) -> None:
        self._inbox.fail(DeviceLost(f"{self.address} was closed"))
        await self._end_worker()

    async def _end_worker(self) -> None:
        closers = self._closers
        _forget(self._worker.submit(lambda: [close() for close in closers]))
        # a task of its own, so that being cancelled meanwhile does not leave the thread behind
        await asyncio.shield(asyncio.ensure_future(self._worker.stop(0.0 if self._hung else CLOSE_TIMEOUT_S)))

    async def _do_write(self, data: bytes, timeout_s: float) -> None:
        try:
            await self._call(lambda: self._write_blocking(data, timeout_s), timeout_s)
        except DeviceLost as error:
            self._lose(error)
            raise

    async def _do_read(self, timeout_s: float) -> bytes:
        if timeout_s > 0 and self._inbox.empty:
            self._wanted_until = asyncio.get_running_loop().time() + timeout_s
            self._read_on()
        try:
            return await self._inbox.get(timeout_s)
        finally:
            self._wanted_until = 0.0

    async def _do_leftovers(self) -> bytes:
        if self._slice is not None:
            await asyncio.wait([self._slice])
        if self.may_poll and self._slice is None and self._inbox.lost is None:
            await asyncio.wait([self._start_slice(0.0)])
        return self._inbox.take_all()

    def _read_on(self) -> None:
        remaining = self._wanted_until - asyncio.get_running_loop().time()
        if self._slice is None and remaining > 0 and self._inbox.lost is None:
            self._start_slice(remaining if self.slice_s is None else min(self.slice_s, remaining))

    def _start_slice(self, timeout_s: float) -> asyncio.Future[bytes | None]:
        loop = asyncio.get_running_loop()
        future = self._worker.submit(lambda: self._read_blocking(timeout_s))
        self._slice = future
        watchdog = loop.call_later(timeout_s + self.hang_margin_s, self._poison)
        future.add_done_callback(lambda done: self._slice_done(done, watchdog))
        return future

    def _slice_done(self, future: asyncio.Future[bytes | None], watchdog: asyncio.TimerHandle) -> None:
        watchdog.cancel()
        if self._slice is future:
            self._slice = None
        if future.cancelled():
            return
        error = future.exception()
        if isinstance(error, LinkError) and not isinstance(error, DeviceLost):
            self._inbox.put_fault(error)
        elif error is not None:
            lost = error if isinstance(error, DeviceLost) else DeviceLost(f"{self.address}: {error!r}")
            self._lose(lost)
        else:
            data = future.result()
            if data is None:
                self._read_on()
            else:
                self._inbox.put(data)

    async def _call(self, call: Callable[[], T], timeout_s: float) -> T:
        if self.slice_s is None and self._slice is not None:
            # a read that cannot be cut short, maybe abandoned: it ends by its own deadline, or its watchdog poisons us
            await asyncio.wait([self._slice])
        lost = self._inbox.lost
        if lost is not None:
            raise lost
        future = self._worker.submit(call)
        _forget(future)
        # what is queued before it (a slice of a read) may take its time first
        wait_s = timeout_s + (self.slice_s or 0.0) + self.hang_margin_s
        try:
            done, _ = await asyncio.wait([future], timeout=wait_s)
        finally:
            # what has not begun when nobody waits for it any more must not begin later
            future.cancel()
        if not done:
            self._poison()
            raise self._inbox.lost or DeviceLost(f"{self.address} is gone")
        return future.result()

    def _poison(self) -> None:
        self._hung = True
        if self._slice is not None:
            self._slice.cancel()
        self._lose(
            DeviceLost(
                f"{self.address}: a call of the library has not come back in time",
                hint="Switch the instrument off and on. If this happens again, restart picobridge.",
            )
        )

    def _lose(self, error: DeviceLost) -> None:
        if self._inbox.fail(error):
            self._report_lost(error)


def _forget(future: asyncio.Future[T]) -> None:
    """Nobody may be left to look at the future when it fails; that is no reason for a warning."""
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
