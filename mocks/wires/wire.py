"""What every wire under a mock has in common."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque

from ..instrument import Instrument
from .faults import Apart, Faults


class Wire(ABC):
    """Carries bytes between one instrument and its client, through the faults.

    `address` is text that `drivers.transports.open_transport` takes. An exception of the instrument is kept in `error`,
    and raised when the wire is stopped, so that a broken mock is not silent.
    """

    address: str

    def __init__(self, instrument: Instrument, seed: int = 0) -> None:
        self.instrument = instrument
        self.faults = Faults(seed)
        self.faults.transmit = self._enqueue
        self.error: Exception | None = None
        self._queue: deque[bytes] = deque()
        self._pumping = False

    async def start(self) -> None:
        self.instrument.port = self
        await self._plug()

    async def stop(self) -> None:
        """Close everything; raises what the instrument raised while it took bytes."""
        self.instrument.port = None
        self._queue.clear()
        await self._unplug()
        await self._release()
        if self.error is not None:
            raise self.error

    async def unplug(self) -> None:
        """Pull the cable; the instrument stays switched on."""
        self._queue.clear()
        await self._unplug()

    async def replug(self) -> None:
        """Put the cable back, at the same address."""
        await self._plug()

    def send(self, data: bytes) -> None:
        for piece in self.faults.outgoing(data):
            self._enqueue(piece)

    async def drain(self) -> None:  # noqa: B027 - a packet wire has no limit
        """Wait until the client has taken enough for more to be sent without piling it up here."""

    def deliver(self, data: bytes) -> None:
        """Hand what the client sent to the instrument."""
        for piece in self.faults.incoming(data):
            try:
                self.instrument.receive(piece)
            except Exception as error:
                self.error = self.error or error

    def _enqueue(self, piece: bytes) -> None:
        self._queue.append(piece)
        if not self._pumping:
            self._pump()

    def _pump(self) -> None:
        self._pumping = False
        while self._queue:
            piece = self._queue.popleft()
            self._transmit(piece)
            if isinstance(piece, Apart):
                self._pumping = True
                asyncio.get_running_loop().call_soon(self._pump)
                return

    @abstractmethod
    def _transmit(self, data: bytes) -> None:
        """Send to the client; lost if there is none."""

    @abstractmethod
    async def _plug(self) -> None: ...

    @abstractmethod
    async def _unplug(self) -> None:
        """Also for a wire that is unplugged already."""

    async def _release(self) -> None:  # noqa: B027 - most wires have nothing to give up
        """Give up what outlives an unplug."""
