"""One session of a VISA library, with its errors in picobridge's words.

The low-level calls are used, not pyvisa's resources: those add terminators, warn, and share one resource manager whose
closing closes everybody's sessions.
"""

from __future__ import annotations

import errno
import socket
import termios
import traceback
from contextlib import suppress
from typing import Any

import pyvisa
from pyvisa.constants import AccessModes, ResourceAttribute, StatusCode
from pyvisa.errors import VisaIOError
from pyvisa.highlevel import open_visa_library

from ..errors import DeviceLost, InvalidValue, LinkError, PermissionDenied, PortBusy, ProtocolError
from .address import Address
from .oserrors import error_number, explain

_OPEN_TIMEOUT_MS = 5000

_BUSY = {StatusCode.error_resource_busy, StatusCode.error_resource_locked, StatusCode.error_allocation}
_DENIED = {StatusCode.error_no_permission, StatusCode.error_file_access}
_BAD_NAME = {StatusCode.error_invalid_resource_name, StatusCode.error_nonsupported_operation}
_GARBLED = {StatusCode.error_serial_parity, StatusCode.error_serial_framing, StatusCode.error_serial_overrun}


class VisaTimeout(Exception):
    """Nothing came, or nothing was taken, in time."""


class VisaSession:
    """Opens the resource. Raises `DeviceLost`, `PortBusy`, `PermissionDenied`, `InvalidValue`."""

    def __init__(self, address: Address, library: str) -> None:
        self._address = address
        self._library = _load(address, library)
        self._timeout_ms = -1
        try:
            self._manager, _ = self._library.open_default_resource_manager()
            self._handle, _ = self._library.open(self._manager, address.target, AccessModes.no_lock, _OPEN_TIMEOUT_MS)
        except VisaIOError as error:
            raise self.explain(error) from error
        except Exception as error:
            # pyvisa-py raises what it likes here, down to a bare Exception
            _close_sockets(error)
            raise self._explain_open(error) from error

    @property
    def socket(self) -> socket.socket | None:
        """The connection under a SOCKET resource, which pyvisa-py shows and other libraries do not."""
        interface = self._interface()
        return interface if isinstance(interface, socket.socket) and interface.fileno() >= 0 else None

    def lock_port(self) -> None:
        """Have a serial port for ourselves (pyvisa-py; other libraries do that by themselves)."""
        port = self._interface()
        if hasattr(port, "exclusive"):
            try:
                port.exclusive = True
            except OSError as error:
                raise explain(error, f"serial port {port.port}", port.port) from error

    def get(self, attribute: ResourceAttribute) -> Any:
        try:
            return self._library.get_attribute(self._handle, attribute)[0]
        except (VisaIOError, OSError, termios.error) as error:
            raise self.explain(error) from error

    def set(self, attribute: ResourceAttribute, value: Any) -> None:
        try:
            self._library.set_attribute(self._handle, attribute, value)
        except (VisaIOError, OSError, termios.error, ValueError) as error:
            raise self.explain(error) from error

    def read(self, count: int, timeout_s: float) -> tuple[bytes, bool]:
        """At most `count` bytes, and whether that is the end of a message. Raises `VisaTimeout`, `DeviceLost`."""
        self._set_timeout(timeout_s)
        try:
            with self._library.ignore_warning(self._handle, StatusCode.success_max_count_read):
                data, status = self._library.read(self._handle, count)
        except Exception as error:
            raise self._explain_transfer(error) from error
        return bytes(data), status != StatusCode.success_max_count_read

    def write(self, data: bytes, timeout_s: float) -> int:
        """Returns how many bytes were taken. Raises `VisaTimeout`, `DeviceLost`."""
        self._set_timeout(timeout_s)
        try:
            return int(self._library.write(self._handle, data)[0])
        except Exception as error:
            raise self._explain_transfer(error) from error

    def clear(self) -> bool:
        """Device clear; false if this kind of resource has none. Never for a SOCKET: pyvisa-py then loops for ever if
        the other side has closed the connection.
        """
        try:
            self._library.clear(self._handle)
        except (VisaIOError, NotImplementedError) as error:
            gone = isinstance(error, VisaIOError) and error.error_code in (
                StatusCode.error_connection_lost,
                StatusCode.error_io,
            )
            if gone:
                raise self.explain(error) from error
            return False
        except Exception as error:
            raise self._explain_transfer(error) from error
        return True

    def close(self) -> None:
        for handle in (self._handle, self._manager):
            # a device that is gone makes libraries raise all sorts of things
            with suppress(Exception):
                self._library.close(handle)
            # pyvisa-py keeps closed sessions for ever
            getattr(self._library, "sessions", {}).pop(handle, None)

    def explain(self, error: Exception) -> LinkError | InvalidValue:
        name = str(self._address)
        if not isinstance(error, VisaIOError):
            return explain(error, name)
        code = error.error_code
        reason = f"{error.abbreviation}: {error.description}"
        if code in _BUSY:
            return PortBusy(f"{name} is held by another program ({reason})")
        if code in _DENIED:
            return PermissionDenied(f"{name} may not be opened ({reason})")
        if code in _BAD_NAME:
            return InvalidValue(f"address {name} is not usable ({reason})")
        if code in _GARBLED:
            return ProtocolError(f"{name} gave bytes that are not right ({reason})", hint="Is the baud rate right?")
        return DeviceLost(f"{name} is gone or was never there ({reason})")

    def _explain_open(self, error: Exception) -> LinkError | InvalidValue:
        if error_number(error) is not None:
            port = getattr(self._address, "target", "").removeprefix("ASRL").split("::")[0]
            return explain(error, str(self._address), port if port.startswith("/") else None)
        text = str(error)
        if "install" in text.lower() or "no class registered" in text.lower():
            return InvalidValue(
                f"address {self._address}: this kind of resource needs more than is installed ({text.splitlines()[0]})",
                hint="Install what the message names, or a vendor's VISA library and give it as ?library=.",
            )
        return DeviceLost(f"{self._address} cannot be opened: {text}")

    def _explain_transfer(self, error: Exception) -> Exception:
        if isinstance(error, VisaIOError) and error.error_code == StatusCode.error_timeout:
            return VisaTimeout()
        if isinstance(error, TimeoutError) or error_number(error) == errno.ETIMEDOUT:
            return VisaTimeout()
        return self.explain(error)

    def _interface(self) -> Any:
        session = getattr(self._library, "sessions", {}).get(self._handle)
        return getattr(session, "interface", None)

    def _set_timeout(self, timeout_s: float) -> None:
        milliseconds = max(1, round(timeout_s * 1000))
        if milliseconds != self._timeout_ms:
            self.set(ResourceAttribute.timeout_value, milliseconds)
            self._timeout_ms = milliseconds


def _close_sockets(error: Exception) -> None:
    """pyvisa-py leaves the socket of a refused VXI-11 or HiSLIP connection open; only the traceback still knows it."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for value in frame.f_locals.values():
            connection = getattr(value, "sock", value)
            if isinstance(connection, socket.socket):
                connection.close()


def _load(address: Address, library: str) -> Any:
    try:
        return open_visa_library(library)
    except (pyvisa.errors.LibraryError, OSError, ValueError) as error:
        raise InvalidValue(
            f"address {address}: VISA library {library!r} cannot be used ({str(error).strip().splitlines()[0]})",
            hint="@py needs nothing but pyvisa-py; else give the path of an installed library.",
        ) from error
