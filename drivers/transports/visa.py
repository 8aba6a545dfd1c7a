"""VISA resources, through pyvisa: with pyvisa-py, which needs nothing else, or with any installed VISA library."""

from __future__ import annotations

import asyncio
import errno
import select
import socket
import time
from collections.abc import Callable

from pyvisa import constants, rname
from pyvisa.constants import ResourceAttribute as Attribute

from ..errors import DeviceLost, DeviceTimeout, InvalidValue
from .address import Address
from .threaded import ThreadedTransport
from .visa_session import VisaSession, VisaTimeout

_PARITY = {"N": constants.Parity.none, "E": constants.Parity.even, "O": constants.Parity.odd}
_STOP_BITS = {"1": constants.StopBits.one, "2": constants.StopBits.two}
_BYTE_SIZE = {"7": 7, "8": 8}
_SERIAL_PARAMETERS = ("baud", "parity", "stopbits", "bytesize")

_MESSAGE_CHUNK = 20 * 1024
_STREAM_CHUNK = 4096


class VisaTransport(ThreadedTransport):
    """`visa:GPIB0::24::INSTR`, `visa:USB0::0x05E6::0x2450::SERIAL::INSTR`, `visa:TCPIP::192.168.0.5::inst0::INSTR`,
    `visa:TCPIP::192.168.0.5::5025::SOCKET`, `visa:ASRL/dev/ttyUSB0::INSTR?baud=9600`.

    `library` is pyvisa's text for a library: `@py` (default), `@ivi`, `/path/to/libvisa.so`. SOCKET and ASRL are
    streams of bytes; the others carry messages, and a read gives one whole message.

    A message that was asked for must be waited for: while a read of an INSTR resource goes on (also one that was
    cancelled) a write waits until it ends or its deadline is over. For streams that wait is at most 50 ms. A SOCKET
    closed by the other side is noticed at once with pyvisa-py, also when nobody reads; other resources tell with the
    next call.
    """

    def __init__(self, address: Address) -> None:
        resource = _parse(address)
        self._is_serial = isinstance(resource, rname.ASRLInstr)
        self._is_socket = isinstance(resource, rname.TCPIPSocket)
        self.packets = not (self._is_serial or self._is_socket)
        super().__init__(address)
        address.allow("library", *(_SERIAL_PARAMETERS if self._is_serial else ()))
        self._baud = address.integer("baud", 9600)
        self._parity = address.choice("parity", _PARITY, "N")
        self._stop_bits = address.choice("stopbits", _STOP_BITS, "1")
        self._byte_size = address.choice("bytesize", _BYTE_SIZE, "8")
        if self.packets:
            self.slice_s = None
            self.may_poll = False
        self._session: VisaSession | None = None
        self._partial = b""
        self._watched = -1

    @property
    def mismatch_hint(self) -> str:
        return f"Is the baud rate right (it is set to {self._baud}), and the parity?" if self._is_serial else ""

    # --- on the event loop -----------------------------------------------------------------------------------------

    async def _do_open(self) -> None:
        await super()._do_open()
        self._watch()

    async def _do_close(self) -> None:
        self._unwatch()
        await super()._do_close()

    async def _do_read(self, timeout_s: float) -> bytes:
        data = await super()._do_read(timeout_s)
        self._watch()
        return data

    async def drain(self, quiet_s: float, limit_s: float = 2.0) -> bytes:
        """For messages: a device clear, which empties the instrument's buffers and leaves its settings. Reading without
        having asked is an error of its own for many instruments. For streams: read until quiet.
        """
        if self.packets and self._session is not None:
            discarded = await self.leftovers()
            if await self._call(self._session.clear, limit_s):
                return discarded
        return await super().drain(quiet_s, limit_s)

    def _watch(self) -> None:
        """See the other side close the connection while nobody reads."""
        connection = self._session.socket if self._session is not None else None
        if connection is not None and self._watched < 0 and self._inbox.lost is None:
            self._watched = connection.fileno()
            asyncio.get_running_loop().add_reader(self._watched, self._on_watched)

    def _unwatch(self) -> None:
        if self._watched >= 0:
            asyncio.get_running_loop().remove_reader(self._watched)
            self._watched = -1

    def _on_watched(self) -> None:
        # bytes wait to be read: nothing more to learn until somebody has read them
        self._unwatch()
        assert self._session is not None
        try:
            self._available(self._session)
        except DeviceLost as error:
            self._lose(error)

    # --- on the worker thread --------------------------------------------------------------------------------------

    def _open_blocking(self) -> Callable[[], None]:
        session = VisaSession(self.address, self.address.parameters.get("library", "@py"))
        try:
            if self._is_serial:
                self._set_up_serial(session)
            if self._is_socket:
                self._set_up_socket(session)
        except BaseException:
            session.close()
            raise
        self._session = session
        self._partial = b""
        return session.close

    def _set_up_serial(self, session: VisaSession) -> None:
        session.lock_port()
        session.set(Attribute.asrl_baud_rate, self._baud)
        session.set(Attribute.asrl_data_bits, self._byte_size)
        session.set(Attribute.asrl_parity, self._parity)
        session.set(Attribute.asrl_stop_bits, self._stop_bits)
        # the driver frames; a byte of value LF is nothing special
        session.set(Attribute.asrl_end_in, constants.SerialTermination.none)
        session.set(Attribute.asrl_end_out, constants.SerialTermination.none)

    def _set_up_socket(self, session: VisaSession) -> None:
        session.set(Attribute.termchar_enabled, False)
        connection = session.socket
        if connection is None:
            return
        # pyvisa-py opens a refused connection without a complaint
        number = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number == errno.ECONNREFUSED:
            raise DeviceLost(
                f"{self.address} refused the connection",
                hint="Is the port number right, and is the instrument there on? Some take one client only.",
            )
        if number:
            raise session.explain(OSError(number, "connect"))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def _write_blocking(self, data: bytes, timeout_s: float) -> None:
        assert self._session is not None
        deadline = time.monotonic() + timeout_s
        sent = 0
        while sent < len(data):
            chunk = data[sent : sent + _STREAM_CHUNK] if self._is_socket else data[sent:]
            remaining = max(0.0, deadline - time.monotonic())
            connection = self._session.socket
            # pyvisa-py waits for ever for a socket that does not take anything
            stuck = connection is not None and not select.select([], [connection], [], remaining)[1]
            try:
                if stuck:
                    raise VisaTimeout
                sent += self._session.write(chunk, remaining)
            except VisaTimeout:
                raise DeviceTimeout(
                    f"{self.address} took {sent} of {len(data)} bytes within {timeout_s:g} s",
                    hint="The device does not read; it may hang.",
                ) from None

    def _read_blocking(self, timeout_s: float) -> bytes | None:
        assert self._session is not None
        try:
            if self.packets:
                return self._read_message(self._session, timeout_s)
            if self._session.socket is not None:
                return self._read_socket(self._session, timeout_s)
            return self._read_bytes(self._session, timeout_s)
        except VisaTimeout:
            partial, self._partial = self._partial, b""
            return partial or None

    def _read_message(self, session: VisaSession, timeout_s: float) -> bytes:
        deadline = time.monotonic() + timeout_s
        while True:
            data, complete = session.read(_MESSAGE_CHUNK, max(0.0, deadline - time.monotonic()))
            self._partial += data
            if complete:
                message, self._partial = self._partial, b""
                return message

    def _read_socket(self, session: VisaSession, timeout_s: float) -> bytes | None:
        """With pyvisa-py: only as much as is there, because a read that times out throws away what it got."""
        connection = session.socket
        assert connection is not None
        if not select.select([connection], [], [], timeout_s)[0]:
            return None
        count = self._available(session)
        return session.read(count, 1.0)[0] if count else None

    def _read_bytes(self, session: VisaSession, timeout_s: float) -> bytes | None:
        """A byte, then what is there already: whatever the library does at a time-out, a byte is there or it is not."""
        if timeout_s == 0 and self._is_serial and not session.get(Attribute.asrl_avalaible_number):
            return None
        data = bytearray(session.read(1, timeout_s)[0])
        try:
            while len(data) < _STREAM_CHUNK:
                count = session.get(Attribute.asrl_avalaible_number) if self._is_serial else 1
                if not count:
                    break
                data += session.read(count, 0.0 if not self._is_serial else 1.0)[0]
        except VisaTimeout:
            pass  # that was all
        return bytes(data)

    def _available(self, session: VisaSession) -> int:
        """Bytes that a read would get at once, at most a chunk. Raises `DeviceLost` if the other side has closed."""
        connection = session.socket
        assert connection is not None
        try:
            peeked = connection.recv(_STREAM_CHUNK, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise session.explain(error) from error
        if not peeked:
            raise DeviceLost(f"{self.address} is gone: the other side closed the connection")
        return len(peeked)


def _parse(address: Address) -> rname.ResourceName | None:
    """None for a name that only the installed VISA library can know (an alias)."""
    try:
        return rname.ResourceName.from_string(address.target)
    except rname.InvalidResourceName as error:
        if "library" in address.parameters and not address.parameters["library"].endswith("@py"):
            return None
        reason = str(error).strip().splitlines()[-1]
        raise InvalidValue(
            f"address {address}: {address.target!r} is not a VISA resource name ({reason})",
            hint="For example visa:TCPIP::192.168.0.5::5025::SOCKET or visa:GPIB0::24::INSTR",
        ) from None
