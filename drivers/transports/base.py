"""The interface above every wire."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

from ..errors import DeviceLost, DeviceTimeout, PicobridgeError
from .address import Address


class Capture(Protocol):
    """Where a transport reports what passes (`drivers.transports.capture` writes it to a file)."""

    def record(self, direction: str, data: bytes) -> None:
        """`direction` is ">" for bytes to the device, "<" for bytes from it."""

    def close(self) -> None:
        """The wire was closed; it may be opened again and recorded on."""


class Transport(ABC):
    """One open wire to one device. Not for concurrent use by two tasks: that is what `Link` is for.

    `packets` says whether the wire has boundaries: if true, `read` returns exactly one packet or message as the device
    sent it, and one `write` is one packet; if false it is a stream of bytes and `read` returns whatever has arrived.
    """

    packets: bool = False

    def __init__(self, address: Address) -> None:
        self.address = address
        self.capture: Capture | None = None
        self._lost_callbacks: list[Callable[[DeviceLost], None]] = []
        self._open = False

    @property
    def is_open(self) -> bool:
        return self._open

    @property
    def mismatch_hint(self) -> str:
        """What to check if bytes arrive that make no sense; empty if the wire has no settings that could be wrong."""
        return ""

    async def open(self) -> None:
        """Open the wire; no-op if open.

        Raises `DeviceLost` (not there), `PortBusy`, `PermissionDenied`, `InvalidValue` (the address is not usable).
        """
        if not self._open:
            await self._do_open()
            self._open = True

    async def close(self) -> None:
        """Close the wire; never raises for a wire that is already gone. The transport can be opened again."""
        if self._open:
            self._open = False
            try:
                await self._do_close()
            finally:
                if self.capture is not None:
                    self.capture.close()

    async def write(self, data: bytes, timeout_s: float = 2.0) -> None:
        """Send all of `data`. Raises `DeviceLost`, or `DeviceTimeout` if the device does not take it in time."""
        self._require_open("write")
        if self.capture is not None:
            self.capture.record(">", data)
        await self._do_write(data, timeout_s)

    async def read(self, timeout_s: float) -> bytes:
        """At least one byte, or one whole packet. Raises `DeviceTimeout` or `DeviceLost`.

        Cancelling it loses no byte: what arrives afterwards is returned by the next read.
        """
        self._require_open("read")
        data = await self._do_read(timeout_s)
        if self.capture is not None:
            self.capture.record("<", data)
        return data

    async def leftovers(self) -> bytes:
        """Read what has arrived already and that nobody waits for, without waiting for more; often nothing.

        Where the wire cannot tell (a VISA message), only what an abandoned read brought.
        """
        self._require_open("read")
        data = await self._do_leftovers()
        if data and self.capture is not None:
            self.capture.record("<", data)
        return data

    async def drain(self, quiet_s: float, limit_s: float = 2.0) -> bytes:
        """Read and discard until nothing has come for `quiet_s` (for at most `limit_s`); returns what was discarded."""
        discarded = bytearray()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        while loop.time() < deadline:
            try:
                discarded += await self.read(quiet_s)
            except DeviceTimeout:
                break
        return bytes(discarded)

    def on_lost(self, callback: Callable[[DeviceLost], None]) -> None:
        """Call `callback` once, on the event loop, when the wire is noticed to be gone without anyone reading."""
        self._lost_callbacks.append(callback)

    def _report_lost(self, error: DeviceLost) -> None:
        callbacks, self._lost_callbacks = self._lost_callbacks, []
        for callback in callbacks:
            callback(error)

    def _require_open(self, operation: str) -> None:
        if not self._open:
            raise DeviceLost(f"{self.address} is not open", operation=operation)

    @abstractmethod
    async def _do_open(self) -> None: ...

    @abstractmethod
    async def _do_close(self) -> None: ...

    @abstractmethod
    async def _do_write(self, data: bytes, timeout_s: float) -> None: ...

    @abstractmethod
    async def _do_leftovers(self) -> bytes: ...

    @abstractmethod
    async def _do_read(self, timeout_s: float) -> bytes: ...


def timed_out(address: Address, timeout_s: float) -> PicobridgeError:
    """The error of a read that saw nothing, worded the same by every wire."""
    return DeviceTimeout(f"no answer from {address} within {timeout_s:.3g} s")
