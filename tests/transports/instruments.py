"""Instruments simple enough to judge a wire by, and the wires to judge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from drivers.errors import DeviceLost
from drivers.transports import Transport, open_transport
from mocks.instrument import Instrument
from mocks.wires import Served, UsbDescriptor, serve
from mocks.wires.usb import UsbWire
from mocks.world import World

#: what a read may take on a busy machine; nothing waits for it to pass
PATIENCE_S = 10.0


class Echo(Instrument):
    """Answers each line `X` with `answer to X`; the lines are in `record`. `quiet ...` gets no answer."""

    wire = "pty"
    baud = 9600
    usb: ClassVar[UsbDescriptor] = UsbDescriptor(0xA0A0, 0x0002, manufacturer="picobridge", product="echo", serial="E1")

    def __init__(self, name: str = "echo") -> None:
        super().__init__(World(), name)
        self.clients: list[str] = []
        self.heard = asyncio.Event()
        self.left = asyncio.Event()
        self.reset()

    def reset(self) -> None:
        self._unfinished = b""

    def client_connected(self) -> None:
        self.clients.append("connected")

    def client_gone(self) -> None:
        self.clients.append("gone")
        self.left.set()

    def receive(self, data: bytes) -> None:
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        for line in lines:
            self.record.append(line.decode("latin-1"))
            self.heard.set()
            if not line.startswith(b"quiet"):
                self.send(b"answer to " + line + b"\n")


#: kind of address, wire of the mock
KINDS = {"serial": "pty", "tcp": "tcp", "visa-socket": "tcp", "visa-asrl": "pty", "usb": "usb"}
STREAMS = [kind for kind in KINDS if kind != "usb"]


def address_of(served: Served, kind: str) -> str:
    target = served.address.partition(":")[2]
    if kind == "visa-socket":
        host, _, port = target.rpartition(":")
        return f"visa:TCPIP::{host}::{port}::SOCKET"
    if kind == "visa-asrl":
        return f"visa:ASRL{target}::INSTR"
    return served.address


class Rig:
    """A served echo and an open transport to it. `lost` gets what is reported without anybody reading."""

    def __init__(self, echo: Echo, served: Served, transport: Transport) -> None:
        self.echo = echo
        self.served = served
        self.transport = transport
        self.lost: list[DeviceLost] = []
        self.was_lost = asyncio.Event()
        self.watch()

    def watch(self) -> None:
        self.transport.on_lost(self._on_lost)

    def _on_lost(self, error: DeviceLost) -> None:
        self.lost.append(error)
        self.was_lost.set()

    @property
    def usb(self) -> UsbWire:
        assert isinstance(self.served.wire, UsbWire)
        return self.served.wire

    async def ask(self, text: bytes) -> bytes:
        await self.transport.write(text + b"\n")
        return await self.line()

    async def line(self) -> bytes:
        data = b""
        while not data.endswith(b"\n"):
            data += await self.transport.read(PATIENCE_S)
        return data[:-1]


@asynccontextmanager
async def rig(kind: str, echo: Echo | None = None) -> AsyncIterator[Rig]:
    echo = echo or Echo()
    async with serve(echo, KINDS[kind]) as served:
        transport = open_transport(address_of(served, kind))
        await transport.open()
        try:
            yield Rig(echo, served, transport)
        finally:
            await transport.close()
