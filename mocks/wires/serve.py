"""One instrument on one wire, for as long as an `async with` lasts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ..instrument import Instrument
from .faults import Faults
from .pty import PtyWire
from .tcp import TcpWire
from .usb import UsbWire
from .wire import Wire

WIRES: dict[str, type[Wire]] = {"pty": PtyWire, "tcp": TcpWire, "usb": UsbWire}


class Served:
    """An instrument that is being served. `address` is what `open_transport` takes."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    @property
    def instrument(self) -> Instrument:
        return self._wire.instrument

    @property
    def address(self) -> str:
        return self._wire.address

    @property
    def faults(self) -> Faults:
        return self._wire.faults

    @property
    def wire(self) -> Wire:
        return self._wire

    async def unplug(self) -> None:
        """Pull the cable; the instrument stays on."""
        await self._wire.unplug()

    async def replug(self) -> None:
        """Put the cable back; the address stays the same."""
        await self._wire.replug()


@asynccontextmanager
async def serve(instrument: Instrument, wire: str | None = None, **options: Any) -> AsyncIterator[Served]:
    """Serve `instrument` on "pty", "tcp" or "usb" (default: the instrument's own), and close both at the end.

    `options` are the wire's: `seed` (of the faults), `link` (pty), `host` and `port` (tcp), `port`, `bus` and `unit`
    (usb). Raises what the instrument raised meanwhile.
    """
    kind = wire or instrument.wire
    if kind not in WIRES:
        raise ValueError(f"wire {kind!r}; accepted: {', '.join(WIRES)}")
    carrier = WIRES[kind](instrument, **options)
    try:
        await carrier.start()
        yield Served(carrier)
    finally:
        try:
            await instrument.close()
        finally:
            await carrier.stop()
