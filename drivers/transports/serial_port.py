"""Serial ports: pyserial opens and sets them up, the event loop's readiness does the rest."""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios

import serial

from ..errors import DeviceLost, DeviceTimeout, InvalidValue
from .address import Address
from .base import Transport
from .inbox import Inbox
from .oserrors import explain
from .worker import in_thread

_PARITY = {"N": serial.PARITY_NONE, "E": serial.PARITY_EVEN, "O": serial.PARITY_ODD}
_STOP_BITS = {"1": serial.STOPBITS_ONE, "2": serial.STOPBITS_TWO}
_BYTE_SIZE = {"7": serial.SEVENBITS, "8": serial.EIGHTBITS}

#: Whatever pyserial, the descriptor and termios raise when a port goes away; `termios.error` is no `OSError`.
_PORT_ERRORS = (OSError, termios.error, EOFError)


class SerialTransport(Transport):
    """`serial:/dev/ttyUSB0?baud=9600&parity=N&stopbits=1&bytesize=8&xonxoff=0&rtscts=0` (the defaults are shown).

    The port is opened exclusively. A link such as /dev/serial/by-id/... names an adapter by its serial number whatever
    tty it gets; `serial:?serial=FT123` does the same without knowing the link. An unplugged adapter is noticed at once,
    also when nobody reads.
    """

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        address.allow("baud", "parity", "stopbits", "bytesize", "xonxoff", "rtscts", "serial")
        self.baud = address.integer("baud", 9600)
        if self.baud <= 0:
            raise InvalidValue(f"address {address}: baud is {self.baud}, a positive number is needed")
        self._parity = address.choice("parity", _PARITY, "N")
        self._stop_bits = address.choice("stopbits", _STOP_BITS, "1")
        self._byte_size = address.choice("bytesize", _BYTE_SIZE, "8")
        self._xonxoff = address.flag("xonxoff")
        self._rtscts = address.flag("rtscts")
        if not address.target and "serial" not in address.parameters:
            raise InvalidValue(f"address {address} names no port", hint="For example serial:/dev/ttyUSB0?baud=9600")
        self._port: serial.Serial | None = None
        self._descriptor = -1
        self._inbox = Inbox(address, packets=False)
        self._reading = False
        self._write_lock = asyncio.Lock()
        self._write_ready: asyncio.Future[None] | None = None

    @property
    def mismatch_hint(self) -> str:
        return f"Is the baud rate right (it is set to {self.baud}), and the parity?"

    async def _do_open(self) -> None:
        port = await in_thread(self._open_port, _close_port)
        self._port = port
        self._descriptor = port.fileno()
        self._inbox = Inbox(self.address, packets=False)
        self._resume_reading()

    def _open_port(self) -> serial.Serial:
        wanted = self.address.parameters.get("serial")
        path = self.address.target if wanted is None else _path_of(wanted, self.address)
        try:
            port = serial.Serial(
                path,
                self.baud,
                bytesize=self._byte_size,
                parity=self._parity,
                stopbits=self._stop_bits,
                timeout=0,
                xonxoff=self._xonxoff,
                rtscts=self._rtscts,
                exclusive=True,
            )
        except (*_PORT_ERRORS, ValueError) as error:
            raise explain(error, f"serial port {path}", path) from error
        try:
            # with pyserial's VMIN of 0 a read of nothing looks like a hang-up
            os.set_blocking(port.fileno(), False)
            settings = termios.tcgetattr(port.fileno())
            settings[6][termios.VMIN] = 1
            termios.tcsetattr(port.fileno(), termios.TCSANOW, settings)
        except _PORT_ERRORS as error:
            port.close()
            raise explain(error, f"serial port {path}", path) from error
        return port

    async def _do_close(self) -> None:
        self._pause_reading()
        self._stop_writing()
        self._inbox.fail(DeviceLost(f"{self.address} was closed"))
        port, self._port = self._port, None
        self._descriptor = -1
        if port is not None:
            await in_thread(lambda: _close_port(port), lambda _: None)

    async def _do_leftovers(self) -> bytes:
        if self._reading:
            self._on_readable()
        data = self._inbox.take_all()
        self._go_on_reading()
        return data

    async def _do_read(self, timeout_s: float) -> bytes:
        data = await self._inbox.get(timeout_s)
        self._go_on_reading()
        return data

    async def _do_write(self, data: bytes, timeout_s: float) -> None:
        left = len(data)
        if not self._write_lock.locked():
            left -= self._write_some(data)
        if not left:
            return
        try:
            async with asyncio.timeout(timeout_s), self._write_lock:
                while left:
                    await self._writable()
                    left -= self._write_some(data[-left:])
        except TimeoutError:
            raise DeviceTimeout(
                f"{self.address} did not take {left} of {len(data)} bytes within {timeout_s:g} s",
                hint="The device holds the line (flow control), or it is switched off.",
            ) from None

    def _write_some(self, data: bytes) -> int:
        lost = self._inbox.lost
        if lost is not None:
            raise lost
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            return 0
        except _PORT_ERRORS as error:
            raise self._lose(error) from error

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        self._write_ready = ready
        loop.add_writer(self._descriptor, _set, ready)
        try:
            await ready
        finally:
            if self._write_ready is ready:
                self._stop_writing()

    def _stop_writing(self) -> None:
        ready, self._write_ready = self._write_ready, None
        if ready is not None:
            asyncio.get_running_loop().remove_writer(self._descriptor)
            _set(ready)

    def _go_on_reading(self) -> None:
        if not self._reading and self._inbox.lost is None:
            self._resume_reading()

    def _resume_reading(self) -> None:
        asyncio.get_running_loop().add_reader(self._descriptor, self._on_readable)
        self._reading = True

    def _pause_reading(self) -> None:
        if self._reading:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            self._reading = False

    def _on_readable(self) -> None:
        try:
            data = os.read(self._descriptor, 65536)
            if not data:
                raise EOFError("hung up")
        except BlockingIOError:
            return
        except _PORT_ERRORS as error:
            self._lose(error)
            return
        self._inbox.put(data)
        if self._inbox.full:
            self._pause_reading()

    def _lose(self, error: Exception) -> DeviceLost:
        self._pause_reading()
        lost = DeviceLost(f"{self.address} is gone: the port was unplugged or switched off ({error})")
        if self._inbox.fail(lost):
            self._report_lost(lost)
        return lost


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _close_port(port: serial.Serial) -> None:
    """Close a port that may be gone already, without waiting."""
    with contextlib.suppress(*_PORT_ERRORS):
        # else the kernel waits up to 30 s for a stalled device to take what is left
        termios.tcflush(port.fileno(), termios.TCOFLUSH)
    with contextlib.suppress(*_PORT_ERRORS):
        port.close()


def _path_of(serial_number: str, address: Address) -> str:
    from serial.tools import list_ports

    found = {port.device: port.serial_number for port in list_ports.comports()}
    paths = [path for path, number in found.items() if number == serial_number]
    if len(paths) > 1:
        raise InvalidValue(f"address {address}: {len(paths)} ports have that serial number: {', '.join(paths)}")
    if not paths:
        known = ", ".join(f"{number} ({path})" for path, number in found.items() if number) or "none"
        raise DeviceLost(f"{address}: no such adapter is plugged in; there are: {known}")
    return paths[0]
