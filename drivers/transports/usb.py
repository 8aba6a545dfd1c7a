"""USB devices with plain bulk (or interrupt) endpoints, through pyusb."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import import_module
from typing import Any

import usb.core
import usb.util

from ..errors import DeviceLost, DeviceTimeout, InvalidValue, LinkError, PermissionDenied, PortBusy, ProtocolError
from .address import Address
from .threaded import ThreadedTransport

_BACKENDS = ("libusb1", "libusb0", "openusb")
_MIN_READ_BYTES = 64
_GONE = {errno.ENODEV, errno.EIO, errno.ENXIO, errno.ESHUTDOWN, errno.ENOENT, errno.ECONNRESET}


class UsbTransport(ThreadedTransport):
    """`usb:104d:4000`, with the serial number `usb:104d:4000:SERIAL`, or where two are equal with
    `?node=/dev/picobridge/tdstat-at-...`, a link to its node that udev keeps (udev/70-picobridge.rules), or with
    `?bus=1&address=7`, which lasts until it is unplugged.

    `interface` and the endpoints `out` and `in` (`?out=0x01&in=0x81`) default to the first interface that has a pair,
    bulk before interrupt. `backend` is libusb1 (default), libusb0, openusb, or `module:function`, called with the text
    after a second colon if there is one, for anything that stands in libusb's place.

    A read gives one packet, which may be empty. That the device was unplugged is noticed by the next call, not before:
    USB has no line that could tell while nothing is asked.
    """

    packets = True

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        address.allow("node", "bus", "address", "interface", "out", "in", "backend")
        self._vendor, self._product, self._serial = _identity(address)
        self._numbers = {
            name: address.integer(name, -1)
            for name in ("bus", "address", "interface", "out", "in")
            if name in address.parameters
        }
        self._node = address.parameters.get("node", "")
        self._out: Any = None
        self._in: Any = None
        self._read_bytes = _MIN_READ_BYTES
        self._stalled = False

    def _open_blocking(self) -> Callable[[], None]:
        self._stalled = False
        device = self._find(_backend(self.address))
        try:
            interface, self._out, self._in = self._endpoints(_active_configuration(device))
            number = interface.bInterfaceNumber
            with suppress(NotImplementedError):
                if device.is_kernel_driver_active(number):
                    device.detach_kernel_driver(number)
            usb.util.claim_interface(device, number)
        except usb.core.USBError as error:
            _dispose(device)
            raise self._explain(error) from error
        except InvalidValue:
            _dispose(device)
            raise
        self._read_bytes = max(_MIN_READ_BYTES, self._in.wMaxPacketSize)
        return lambda: _dispose(device)

    def _write_blocking(self, data: bytes, timeout_s: float) -> None:
        try:
            written = self._out.write(data, _milliseconds(timeout_s))
        except usb.core.USBTimeoutError:
            written = 0
        except usb.core.USBError as error:
            raise self._explain(error, self._out) from error
        if written < len(data):
            raise DeviceTimeout(f"{self.address} took {written} of {len(data)} bytes within {timeout_s:g} s")
        self._stalled = False

    def _read_blocking(self, timeout_s: float) -> bytes | None:
        try:
            data = bytes(self._in.read(self._read_bytes, _milliseconds(timeout_s)))
        except usb.core.USBTimeoutError:
            return None
        except usb.core.USBError as error:
            if error.errno == errno.ETIMEDOUT:
                return None
            raise self._explain(error, self._in) from error
        self._stalled = False
        return data

    def _find(self, backend: Any) -> Any:
        try:
            found = list(usb.core.find(find_all=True, backend=backend, idVendor=self._vendor, idProduct=self._product))
        except usb.core.USBError as error:
            raise self._explain(error) from error
        try:
            return self._choose(found)
        finally:
            # reading a serial number opens the device
            for device in found:
                _dispose(device)

    def _choose(self, found: list[Any]) -> Any:
        if self._node:
            self._numbers |= _numbers_of(self._node, self.address)
        try:
            matching = [device for device in found if self._matches(device)]
        except usb.core.USBError as error:
            raise self._explain(error) from error
        if not matching:
            kind = f"USB device {self._vendor:04x}:{self._product:04x}"
            others = f"; there are: {_listed(found)}" if found else ""
            raise DeviceLost(f"{self.address}: no such {kind} is plugged in{others}")
        if len(matching) > 1:
            raise InvalidValue(
                f"{self.address}: {len(matching)} equal devices are plugged in: {_listed(matching)}",
                hint="Add the serial number (usb:vid:pid:SERIAL), ?node=/dev/picobridge/... (see docs/host.md) or "
                "?bus= and &address= to the address.",
            )
        return matching[0]

    def _matches(self, device: Any) -> bool:
        if any(getattr(device, name) != self._numbers.get(name, getattr(device, name)) for name in ("bus", "address")):
            return False
        if self._serial is None:
            return True
        try:
            return bool(device.serial_number == self._serial)
        except ValueError as error:
            # pyusb's way of saying that it may not read the strings
            raise PermissionDenied(f"{self.address}: the serial number cannot be read ({error})") from error

    def _endpoints(self, configuration: Iterable[Any]) -> tuple[Any, Any, Any]:
        """The interface and its two endpoints."""
        seen = []
        for kind in (usb.util.ENDPOINT_TYPE_BULK, usb.util.ENDPOINT_TYPE_INTR):
            for interface in configuration:
                if interface.bInterfaceNumber != self._numbers.get("interface", interface.bInterfaceNumber):
                    continue
                endpoints = {endpoint.bEndpointAddress: endpoint for endpoint in interface}
                seen += [f"{number:#04x}" for number in endpoints]
                usual = [e for e in endpoints.values() if usb.util.endpoint_type(e.bmAttributes) == kind]
                first = {usb.util.endpoint_direction(e.bEndpointAddress): e for e in reversed(usual)}
                out = endpoints.get(self._numbers["out"]) if "out" in self._numbers else first.get(0x00)
                in_ = endpoints.get(self._numbers["in"]) if "in" in self._numbers else first.get(0x80)
                if out is not None and in_ is not None:
                    return interface, out, in_
        raise InvalidValue(
            f"{self.address}: no pair of endpoints; there are: {', '.join(dict.fromkeys(seen)) or 'none'}"
        )

    def _explain(self, error: usb.core.USBError, endpoint: Any = None) -> LinkError:
        number = error.errno
        if number in (errno.EACCES, errno.EPERM):
            return PermissionDenied(f"{self.address}: the USB device may not be opened ({error.strerror})")
        if number == errno.EBUSY:
            return PortBusy(f"{self.address}: the USB device is held by another program or driver ({error.strerror})")
        if number == errno.EPIPE and endpoint is not None and not self._stalled:
            self._stalled = True
            with suppress(usb.core.USBError):
                endpoint.clear_halt()
                return ProtocolError(f"{self.address} stalled endpoint {endpoint.bEndpointAddress:#04x}")
        if number == errno.EOVERFLOW:
            return ProtocolError(f"{self.address} sent a packet longer than {self._read_bytes} bytes")
        if number == errno.EPIPE:
            return DeviceLost(f"{self.address} stalls and does not recover", hint="Unplug it and plug it in again.")
        reason = "was unplugged or switched off" if number in _GONE else "does not work any more"
        return DeviceLost(f"{self.address} {reason} ({error.strerror})")


def _dispose(device: Any) -> None:
    with suppress(usb.core.USBError):
        usb.util.dispose_resources(device)


def _identity(address: Address) -> tuple[int, int, str | None]:
    vendor, _, rest = address.target.partition(":")
    product, colon, serial = rest.partition(":")
    try:
        numbers = int(vendor, 16), int(product, 16)
    except ValueError:
        numbers = (-1, -1)
    if not all(0 <= number <= 0xFFFF for number in numbers):
        raise InvalidValue(f"address {address} must be usb:vendor:product in hexadecimal, for example usb:104d:4000")
    return (*numbers, serial if colon else None)


def _numbers_of(node: str, address: Address) -> dict[str, int]:
    """Bus and address of /dev/bus/usb/001/007, to which the link points now; each replug gives another address."""
    path = node
    try:
        path = os.path.realpath(node)
        if not os.path.exists(path):
            raise DeviceLost(f"{address}: {node} is not there, so nothing is plugged in where it was")
        bus, number = (int(part) for part in path.split("/")[-2:])
    except ValueError:  # no numbers at its end, or a zero byte within
        raise InvalidValue(
            f"{address}: node is {node!r}, which is {path!r}; accepted: a link into /dev/bus/usb"
        ) from None
    return {"bus": bus, "address": number}


def _backend(address: Address) -> Any:
    text = address.parameters.get("backend", "libusb1")
    module, colon, rest = text.partition(":")
    if colon:
        name, _, argument = rest.partition(":")
        try:
            function = getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise InvalidValue(f"address {address}: backend {text!r} cannot be loaded ({error})") from error
        return function(argument) if argument else function()
    if text not in _BACKENDS:
        raise InvalidValue(f"address {address}: backend is {text!r}; accepted: {', '.join(_BACKENDS)}, module:function")
    backend = import_module(f"usb.backend.{text}").get_backend()
    if backend is None:
        raise InvalidValue(
            f"address {address}: the library of USB backend {text} is not installed",
            hint="On Debian and Ubuntu: apt install libusb-1.0-0",
        )
    return backend


def _active_configuration(device: Any) -> Any:
    try:
        return device.get_active_configuration()
    except usb.core.USBError as error:
        if error.errno is not None:
            raise
        # pyusb's way of saying that none is set
        device.set_configuration()
        return device.get_active_configuration()


def _listed(devices: Iterable[Any]) -> str:
    return ", ".join(f"bus {device.bus} address {device.address}{_serial_text(device)}" for device in devices)


def _serial_text(device: Any) -> str:
    try:
        return f" serial {device.serial_number}" if device.serial_number else ""
    except (usb.core.USBError, ValueError):
        return ""


def _milliseconds(timeout_s: float) -> int:
    """At least 1: zero means for ever."""
    return max(1, round(timeout_s * 1000))
