"""Raw TCP sockets: instruments with an Ethernet port, terminal servers, simulators."""

from __future__ import annotations

import asyncio
import errno
import os
import socket

from ..errors import DeviceLost, DeviceTimeout, InvalidValue
from .address import Address
from .base import Transport
from .inbox import Inbox

CONNECT_TIMEOUT_S = 5.0
#: A peer that vanished without a word (power, cable) is noticed after about 5 + 3 * 2 s, also when nobody reads.
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 5), (socket.TCP_KEEPINTVL, 2), (socket.TCP_KEEPCNT, 3))
_UNACKNOWLEDGED_MS = 10_000


class TcpTransport(Transport):
    """`tcp:192.168.0.7:23`, `tcp:name:23`, `tcp:[fe80::1]:23`. A closed connection is noticed at once."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        address.allow()
        self._host, self._port = _host_and_port(address)
        self._connection: _Connection | None = None

    async def _do_open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, self._connection = await loop.create_connection(lambda: _Connection(self), self._host, self._port)
        except TimeoutError:
            raise DeviceLost(f"{self.address} does not answer: no connection within {CONNECT_TIMEOUT_S:g} s") from None
        except ConnectionRefusedError as error:
            raise DeviceLost(
                f"{self.address} refused the connection",
                hint="Is the port number right, and is the instrument there on? Some take one client only.",
            ) from error
        except socket.gaierror as error:
            raise DeviceLost(
                f"{self.address}: the host name is not known ({error.strerror})",
                hint="Check the name, or give the IP address.",
            ) from error
        except OSError as error:
            raise DeviceLost(f"{self.address} cannot be reached: {_reason(error)}") from error

    async def _do_close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _do_leftovers(self) -> bytes:
        assert self._connection is not None
        await self._connection.inbox.look()
        return self._connection.take_all()

    async def _do_read(self, timeout_s: float) -> bytes:
        assert self._connection is not None
        return await self._connection.read(timeout_s)

    async def _do_write(self, data: bytes, timeout_s: float) -> None:
        assert self._connection is not None
        await self._connection.write(data, timeout_s)

    def connection_lost(self, error: DeviceLost) -> None:
        self._report_lost(error)


class _Connection(asyncio.Protocol):
    """One connection; a transport that is opened again gets another."""

    def __init__(self, owner: TcpTransport) -> None:
        self._owner = owner
        self._address = owner.address
        self.inbox = Inbox(owner.address, packets=False)
        self._wire: asyncio.Transport | None = None
        self._closing = False
        self._writable = asyncio.Event()
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def read(self, timeout_s: float) -> bytes:
        data = await self.inbox.get(timeout_s)
        self._go_on_reading()
        return data

    def take_all(self) -> bytes:
        data = self.inbox.take_all()
        self._go_on_reading()
        return data

    def _go_on_reading(self) -> None:
        if self._wire is not None and self.inbox.lost is None and not self._wire.is_reading():
            self._wire.resume_reading()

    async def write(self, data: bytes, timeout_s: float) -> None:
        self._require_alive()
        assert self._wire is not None
        self._wire.write(data)
        if self._writable.is_set():
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._writable.wait()
        except TimeoutError:
            left = self._wire.get_write_buffer_size()
            raise DeviceTimeout(
                f"{self._address} did not take {left} bytes within {timeout_s:g} s",
                hint="The device does not read; it may hang.",
            ) from None
        self._require_alive()

    async def close(self) -> None:
        self._closing = True
        if self._wire is not None and self._wire.get_write_buffer_size():
            self._wire.abort()
        elif self._wire is not None:
            self._wire.close()
        await self._ended

    def _require_alive(self) -> None:
        lost = self.inbox.lost
        if lost is not None:
            raise lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._wire = transport
        # a write has ended when the kernel has taken all of it
        transport.set_write_buffer_limits(0)
        self._writable.set()
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)

    def data_received(self, data: bytes) -> None:
        self.inbox.put(data)
        if self.inbox.full and self._wire is not None:
            self._wire.pause_reading()

    def eof_received(self) -> bool:
        self._lose("the other side closed the connection")
        return False

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(_reason(exc) if exc is not None else "the connection was closed")
        self._writable.set()
        if not self._ended.done():
            self._ended.set_result(None)

    def _lose(self, reason: str) -> None:
        lost = DeviceLost(f"{self._address} is gone: {reason}")
        if self.inbox.fail(lost) and not self._closing:
            self._owner.connection_lost(lost)


def _host_and_port(address: Address) -> tuple[str, int]:
    host, colon, port = address.target.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise InvalidValue(f"address {address}: an IPv6 address goes in brackets, such as tcp:[fe80::1]:23")
    if not colon or not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise InvalidValue(f"address {address} must be tcp:host:port with a port from 1 to 65535")
    return host, int(port)


def _reason(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.ETIMEDOUT:
        return "it has not answered for too long"
    return os.strerror(number) if isinstance(number, int) else str(error)
