"""udev rules that give the devices of a configuration their own names below /dev/picobridge."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from bridge.daemon.config import DeviceConfig
from drivers.errors import InvalidValue
from drivers.transports.address import Address

#: serial numbers that a maker gives to every unit
_SHARED = frozenset({"", "0", "0000", "0001", "00000000"})
#: what a rule may compare with as it is: no quotes, no globs
_PLAIN = re.compile(r"[A-Za-z0-9._:+-]+")

_HEADER = """\
# Names of the devices of {source}, by `picobridge udev-rules`. In the configuration they are, for example,
# serial:/dev/picobridge/<name> and usb:104d:4000?node=/dev/picobridge/<name>.
ACTION=="remove", GOTO="picobridge_names_end"
"""
_FOOTER = 'LABEL="picobridge_names_end"\n'


@dataclass(frozen=True, slots=True)
class Port:
    """A serial port that is plugged in: its node, USB ids (None: not USB), serial number, USB path ("1-4.2")."""

    node: str
    vendor: int | None
    product: int | None
    serial: str
    location: str
    interface: str
    """The USB interface's number of an adapter with several ports, "01"; empty where it is not known."""


def plugged_ports() -> list[Port]:
    """From sysfs; nothing is opened."""
    from serial.tools import list_ports

    return [
        Port(
            port.device,
            port.vid,
            port.pid,
            port.serial_number or "",
            (port.location or "").partition(":")[0],
            _interface(port.location or ""),
        )
        for port in list_ports.comports()
    ]


def names(
    devices: Mapping[str, DeviceConfig], source: str, ports: Callable[[], Iterable[Port]] = plugged_ports
) -> tuple[str, list[str]]:
    """The rules' text, and what could not be named, a sentence each. Needs the adapters plugged in, unless their serial
    numbers are in the addresses."""
    lines, left_out = [], []
    present = list(ports())
    for name, device in devices.items():
        address = Address.parse(device.address)
        try:
            rule = _rule(address, present)
        except InvalidValue as error:
            left_out.append(f"{name}: {error.message}")
            continue
        if rule is not None:
            lines.append(f'{rule}, SYMLINK+="picobridge/{name}"\n')
    return _HEADER.format(source=source) + "".join(lines) + _FOOTER, left_out


def _rule(address: Address, ports: Iterable[Port]) -> str | None:
    """What matches the device; None where no name is needed."""
    if address.kind == "usb":
        return _usb(address)
    return _serial(address, ports) if address.kind == "serial" else None


def _usb(address: Address) -> str | None:
    """By serial number, if the address has one (a name for all units of a kind would be worse than none)."""
    vendor, _, rest = address.target.partition(":")
    product, _, serial = rest.partition(":")
    if serial in _SHARED:
        if "node" in address.parameters:
            return None  # it is found by a name already
        raise InvalidValue(
            f"{address} has no serial number; its unit keeps the name /dev/picobridge/<driver>-at-<USB path>"
        )
    return (
        'SUBSYSTEM=="usb", ENV{DEVTYPE}=="usb_device", '
        f'ATTR{{idVendor}}=="{int(vendor, 16):04x}", ATTR{{idProduct}}=="{int(product, 16):04x}", '
        f'ATTR{{serial}}=="{_plain(serial)}"'
    )


def _serial(address: Address, ports: Iterable[Port]) -> str | None:
    wanted = address.parameters.get("serial")
    if wanted is not None:
        if wanted in _SHARED:
            raise InvalidValue(
                f"serial number {wanted!r} is on every unit of some makers; plug it in and name its port"
            )
        return f'SUBSYSTEM=="tty", SUBSYSTEMS=="usb", ENV{{ID_SERIAL_SHORT}}=="{_plain(wanted)}"'
    if address.target.startswith("/dev/picobridge/"):
        return None  # it has a name that stays
    node = os.path.realpath(address.target)
    port = next((port for port in ports if port.node == node), None)
    if port is None:
        raise InvalidValue(f"{address.target} is not plugged in; plug it in and try again")
    if port.vendor is None or port.product is None:
        raise InvalidValue(f"{address.target} is not on USB; its own name stays")
    interface = f', ENV{{ID_USB_INTERFACE_NUM}}=="{port.interface}"' if port.interface else ""
    if port.serial in _SHARED:  # by the socket it is in
        return f'SUBSYSTEM=="tty", KERNELS=="{_plain(port.location)}"{interface}'
    return (
        f'SUBSYSTEM=="tty", ENV{{ID_VENDOR_ID}}=="{port.vendor:04x}", ENV{{ID_MODEL_ID}}=="{port.product:04x}", '
        f'ENV{{ID_SERIAL_SHORT}}=="{_plain(port.serial)}"{interface}'
    )


def _interface(location: str) -> str:
    """ "1-4.2:1.1" (pyserial: path, configuration, interface) has interface "01"."""
    number = location.rpartition(":")[2].partition(".")[2]
    return f"{int(number):02x}" if number.isdecimal() else ""


def _plain(text: str) -> str:
    if not _PLAIN.fullmatch(text):
        raise InvalidValue(f"serial number {text!r} has signs that a udev rule would not take as they are")
    return text
