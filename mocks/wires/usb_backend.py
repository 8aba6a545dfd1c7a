"""What stands in libusb's place under pyusb: asks the process that plays the device, over a loopback socket.

The protocol is one JSON object a line in each direction, written in `UsbWire`. Blocking, as libusb is.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from array import array
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import usb.backend
import usb.core

#: the answer to a transfer comes within its time-out; this much more, and the player of the device is considered dead
_MARGIN_S = 10.0


def backend(where: str) -> MockBackend:
    """For the address of a `UsbTransport`: `?backend=mocks.wires.usb:backend:127.0.0.1:40123`."""
    host, _, port = where.rpartition(":")
    return MockBackend(host, int(port))


class MockBackend(usb.backend.IBackend):  # type: ignore[misc]  # pyusb is not typed
    """What pyusb calls for devices of one interface. Each open device has a connection of its own."""

    def __init__(self, host: str, port: int) -> None:
        self._where = (host, port)

    # --- finding ---------------------------------------------------------------------------------------------------

    def enumerate_devices(self) -> Iterator[_Found]:
        try:
            with _Connection(self._where) as connection:
                found = [_Found(fields) for fields in connection.ask("describe")["devices"]]
        except usb.core.USBError:
            found = []  # nobody plays a device there (any more): nothing is plugged in
        return iter(found)

    def get_device_descriptor(self, dev: _Found) -> SimpleNamespace:
        return SimpleNamespace(**dev.fields["device"])

    def get_configuration_descriptor(self, dev: _Found, config: int) -> SimpleNamespace:
        if config != 0:
            raise IndexError(config)
        return SimpleNamespace(**dev.fields["configuration"])

    def get_interface_descriptor(self, dev: _Found, intf: int, alt: int, config: int) -> SimpleNamespace:
        if intf != 0 or alt != 0:
            raise IndexError(intf)
        return SimpleNamespace(**dev.fields["interface"])

    def get_endpoint_descriptor(self, dev: _Found, ep: int, intf: int, alt: int, config: int) -> SimpleNamespace:
        return SimpleNamespace(**dev.fields["endpoints"][ep])

    # --- one open device -------------------------------------------------------------------------------------------

    def open_device(self, dev: _Found) -> _Connection:
        connection = _Connection(self._where)
        try:
            connection.ask("open")
        except usb.core.USBError:
            connection.close()
            raise
        return connection

    def close_device(self, dev_handle: _Connection) -> None:
        dev_handle.close()

    def get_configuration(self, dev_handle: _Connection) -> int:
        return 1

    def set_configuration(self, dev_handle: _Connection, config_value: int) -> None:
        dev_handle.ask("configure")

    def set_interface_altsetting(self, dev_handle: _Connection, intf: int, altsetting: int) -> None:
        dev_handle.ask("configure")

    def claim_interface(self, dev_handle: _Connection, intf: int) -> None:
        dev_handle.ask("claim")

    def release_interface(self, dev_handle: _Connection, intf: int) -> None:
        dev_handle.ask("release")

    def is_kernel_driver_active(self, dev_handle: _Connection, intf: int) -> bool:
        return False

    def detach_kernel_driver(self, dev_handle: _Connection, intf: int) -> None: ...

    def attach_kernel_driver(self, dev_handle: _Connection, intf: int) -> None: ...

    def clear_halt(self, dev_handle: _Connection, ep: int) -> None:
        dev_handle.ask("clear_halt", endpoint=ep)

    def reset_device(self, dev_handle: _Connection) -> None:
        dev_handle.ask("reset")

    def bulk_write(self, dev_handle: _Connection, ep: int, intf: int, data: array[int], timeout: int) -> int:
        dev_handle.ask("write", timeout, endpoint=ep, data=data.tobytes().hex())
        return len(data)

    def bulk_read(self, dev_handle: _Connection, ep: int, intf: int, buff: array[int], timeout: int) -> int:
        answer = dev_handle.ask("read", timeout, endpoint=ep, size=len(buff))
        return _fill(buff, bytes.fromhex(answer["data"]))

    intr_write = bulk_write
    intr_read = bulk_read

    def ctrl_transfer(
        self,
        dev_handle: _Connection,
        bmRequestType: int,
        bRequest: int,
        wValue: int,
        wIndex: int,
        data: array[int],
        timeout: int,
    ) -> int:
        to_host = bool(bmRequestType & 0x80)
        answer = dev_handle.ask(
            "control",
            timeout,
            setup=[bmRequestType, bRequest, wValue, wIndex, len(data)],
            data="" if to_host else data.tobytes().hex(),
        )
        return _fill(data, bytes.fromhex(answer["data"])) if to_host else len(data)


class _Found:
    """One device, as the player described it."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields


class _Connection:
    def __init__(self, where: tuple[str, int]) -> None:
        try:
            self._socket = socket.create_connection(where, timeout=_MARGIN_S)
        except OSError as error:
            raise _error(errno.ENODEV) from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""

    def ask(self, operation: str, timeout_ms: int = 0, **fields: Any) -> dict[str, Any]:
        """Raises `USBError` with the errno that the player answers, ENODEV if it is gone."""
        request = {"operation": operation, "timeout_ms": timeout_ms, **fields}
        try:
            self._socket.settimeout(timeout_ms / 1000 + _MARGIN_S)
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            answer: dict[str, Any] = json.loads(self._line())
        except OSError as error:
            raise _error(errno.ENODEV) from error
        if answer["errno"]:
            raise _error(answer["errno"])
        return answer

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _line(self) -> bytes:
        while b"\n" not in self._unread:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionResetError(errno.ECONNRESET, "the player of the device is gone")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line


def _fill(buffer: array[int], data: bytes) -> int:
    buffer[: len(data)] = array("B", data)
    return len(data)


def _error(number: int) -> usb.core.USBError:
    kind = usb.core.USBTimeoutError if number == errno.ETIMEDOUT else usb.core.USBError
    return kind(os.strerror(number), None, number)
