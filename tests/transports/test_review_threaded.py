"""A wire on which a read cannot be cut short: a write behind an abandoned read waits for it, however long it lasts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from drivers.errors import DeviceTimeout
from drivers.transports import Address
from drivers.transports.threaded import ThreadedTransport


class _Messages(ThreadedTransport):
    """As VISA's INSTR resources: a read lasts as long as its reader was ready to wait. What is written is answered."""

    packets = True
    slice_s = None
    may_poll = False
    hang_margin_s = 0.2

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self.nothing_comes = threading.Event()
        self.written: list[bytes] = []

    def _open_blocking(self) -> Callable[[], None]:
        return self.nothing_comes.set

    def _write_blocking(self, data: bytes, timeout_s: float) -> None:
        self.written.append(data)

    def _read_blocking(self, timeout_s: float) -> bytes | None:
        if self.written:
            return self.written.pop()
        self.nothing_comes.wait(timeout_s)
        return None


@pytest.fixture
def address() -> Address:
    return Address.parse("visa:GPIB0::24::INSTR")


async def test_a_cancelled_read_with_a_long_deadline_leaves_the_wire_usable(address: Address) -> None:
    wire = _Messages(address)
    await wire.open()
    try:
        reading = asyncio.create_task(wire.read(1.0))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await wire.write(b"*IDN?", 0.1)  # the read may go on for longer than this and the margin of a hang
        assert await wire.read(1.0) == b"*IDN?"
    finally:
        await wire.close()


async def test_a_read_that_times_out_leaves_it_usable_too(address: Address) -> None:
    wire = _Messages(address)
    await wire.open()
    try:
        with pytest.raises(DeviceTimeout):
            await wire.read(0.05)
        await wire.write(b"*IDN?", 0.1)
        assert await wire.read(1.0) == b"*IDN?"
    finally:
        await wire.close()
