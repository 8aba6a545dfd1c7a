"""A USB port: the instrument's side of a pyusb backend, so that libusb's callers find the device on the bus.

The backend (`mocks.wires.usb_backend`) talks to this over a loopback socket, so that the client may be another process
as well as a thread of this one. One line of JSON a request and a reply. An instrument has a class attribute
`usb: UsbDescriptor`, gets one OUT transfer a `receive`, and may have the methods
`control(request_type, request, value, index, data, length) -> bytes | None` (None: stall) and `packets_taken()`, called
when the host has read all that was sent (some instruments do nothing before; `unread` tells them).
"""

from __future__ import annotations

import asyncio
import errno
import json
from collections import deque
from contextlib import suppress
from typing import Any

from ..instrument import Instrument
from .usb_backend import backend
from .usb_device import BULK, INTERRUPT, Endpoint, UsbDescriptor
from .wire import Wire

__all__ = ["BULK", "INTERRUPT", "Endpoint", "UsbDescriptor", "UsbWire", "backend"]

_GET_DESCRIPTOR = 6
_STRING = 3


class UsbWire(Wire):
    """`address` is `usb:vid:pid[:serial]?backend=...`. `bus` and `unit` are where the device sits on the bus."""

    def __init__(self, instrument: Instrument, seed: int = 0, *, port: int = 0, bus: int = 1, unit: int = 5) -> None:
        super().__init__(instrument, seed)
        self.descriptor: UsbDescriptor = type(instrument).usb  # type: ignore[attr-defined]  # what makes it a USB one
        self._port = port
        self._where = (bus, unit)
        self._server: asyncio.Server | None = None
        self._sessions: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._plugged = False
        self._owner: object = None
        self._packets: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._halted: set[int] = set()
        self._errors: deque[tuple[str, int]] = deque()
        self.address = ""

    # --- faults that only USB has ----------------------------------------------------------------------------------

    def stall(self, endpoint: int) -> None:
        """Transfers on the endpoint fail with EPIPE until the host clears the halt."""
        self._halted.add(endpoint)

    def fail_next(self, operation: str, number: int) -> None:
        """The next "open", "claim", "read", "write", "control" or "clear_halt" fails with this errno."""
        self._errors.append((operation, number))

    @property
    def unread(self) -> bool:
        """Whether something waits to be read by the host."""
        return bool(self._packets)

    def zero_length_packet(self) -> None:
        """Send an empty packet."""
        self._transmit(b"")

    # --- the wire --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._converse, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        name = f"{self.descriptor.vid:04x}:{self.descriptor.pid:04x}"
        serial = f":{self.descriptor.serial}" if self.descriptor.serial else ""
        self.address = f"usb:{name}{serial}?backend=mocks.wires.usb:backend:127.0.0.1:{self._port}"
        await super().start()

    async def _plug(self) -> None:
        self._plugged = True

    async def _unplug(self) -> None:
        self._plugged = False
        self._packets.clear()
        self._halted.clear()
        self._arrived.set()  # whoever waits for a packet hears of it
        self._disown(self._owner)
        self._hang_up()  # a handle of before is dead, also after a replug

    async def _release(self) -> None:
        if self._server is None:
            return
        self._server.close()
        self._hang_up()
        await asyncio.gather(*self._sessions)
        await self._server.wait_closed()
        self._server = None

    def _hang_up(self) -> None:
        # not by cancelling the sessions: asyncio's streams complain about that
        for writer in self._sessions.values():
            writer.transport.abort()

    def _transmit(self, data: bytes) -> None:
        # a device sends what is longer than a packet as several, as its descriptor says
        size = next(e.max_packet for e in self.descriptor.endpoints if e.address & 0x80)
        if self._plugged:
            self._packets.extend(data[i : i + size] for i in range(0, max(1, len(data)), size))
            self._arrived.set()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions[task] = writer
        session = object()
        try:
            while line := await reader.readline():
                answer = await self._answer(session, json.loads(line))
                writer.write(json.dumps({"errno": 0, **answer}).encode() + b"\n")
        except ConnectionError:
            pass  # the client ended while it was being answered
        finally:
            self._disown(session)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            del self._sessions[task]

    def _disown(self, session: object) -> None:
        if session is not None and self._owner is session:
            self._owner = None
            self.instrument.client_gone()

    async def _answer(self, session: object, request: dict[str, Any]) -> dict[str, Any]:
        operation = request["operation"]
        if operation == "describe":
            return {"devices": [self._description()] if self._plugged else []}
        if not self._plugged:
            return {"errno": errno.ENODEV}
        if self._errors and self._errors[0][0] == operation:
            return {"errno": self._errors.popleft()[1]}
        match operation:
            case "claim" if self._owner not in (None, session):
                return {"errno": errno.EBUSY}
            case "claim":
                self._owner = session
                self.instrument.client_connected()
            case "release":
                self._disown(session)
            case "clear_halt":
                self._halted.discard(request["endpoint"])
            case "read" | "write" if request["endpoint"] in self._halted:
                return {"errno": errno.EPIPE}
            case "write":
                self.deliver(bytes.fromhex(request["data"]))
            case "read":
                return await self._read(request["size"], request["timeout_ms"])
            case "control":
                return self._control(request["setup"], bytes.fromhex(request["data"]))
        return {}

    def _description(self) -> dict[str, Any]:
        endpoints = range(len(self.descriptor.endpoints))
        return {
            "device": self.descriptor.device_fields(*self._where),
            "configuration": self.descriptor.configuration_fields(),
            "interface": self.descriptor.interface_fields(),
            "endpoints": [self.descriptor.endpoint_fields(index) for index in endpoints],
        }

    async def _read(self, size: int, timeout_ms: int) -> dict[str, Any]:
        if not self._packets:
            if timeout_ms == 1:
                # the shortest that libusb has, a look: no need to make anybody wait
                return {"errno": errno.ETIMEDOUT}
            self._arrived.clear()
            try:
                async with asyncio.timeout(timeout_ms / 1000 if timeout_ms else None):
                    await self._arrived.wait()
            except TimeoutError:
                return {"errno": errno.ETIMEDOUT}
        if not self._packets:
            return {"errno": errno.ENODEV}  # unplugged meanwhile
        if len(self._packets[0]) > size:
            self._packets.popleft()
            return {"errno": errno.EOVERFLOW}
        # a transfer takes packets until one is short or the buffer is full
        data = b""
        longest = next(e.max_packet for e in self.descriptor.endpoints if e.address & 0x80)
        while self._packets and len(data) + len(self._packets[0]) <= size:
            packet = self._packets.popleft()
            data += packet
            if len(packet) < longest:
                break
        taken = getattr(self.instrument, "packets_taken", None)
        if taken is not None and not self._packets:
            taken()
        return {"data": data.hex()}

    def _control(self, setup: list[int], data: bytes) -> dict[str, Any]:
        request_type, request, value, index, length = setup
        if request_type == 0x80 and request == _GET_DESCRIPTOR and value >> 8 == _STRING:
            reply = self.descriptor.string_bytes(value & 0xFF)
        else:
            handler = getattr(self.instrument, "control", None)
            reply = handler(request_type, request, value, index, data, length) if handler is not None else None
        if reply is None:
            return {"errno": errno.EPIPE}
        return {"data": reply[:length].hex()}
