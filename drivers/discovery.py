"""What is plugged in, by its USB ids. Nothing is sent: an unknown probe string is a move command to somebody."""

from __future__ import annotations

from dataclasses import dataclass

import serial.tools.list_ports
import usb.core

#: USB ids to drivers (docs/adding-a-driver.md); sources: shared protocol notes, section 8 of the motion sheet.
RAW_USB: dict[tuple[int, int], tuple[str, ...]] = {
    (0x104D, 0x4000): ("newfocus-8742",),
    (0xA0A0, 0x0002): ("tdstat",),
}
USBTMC: dict[tuple[int, int], tuple[str, ...]] = {
    (0x05E6, 0x2450): ("keithley-24xx",),
}
#: What a serial port's own description says (Linux: the USB product string).
DESCRIPTIONS: dict[str, tuple[str, ...]] = {
    "espicodev": ("methodscript",),
    "sensit": ("methodscript",),
    "emstat4": ("methodscript",),
    "nexus": ("methodscript",),
}
#: Drivers that a serial adapter without an identity of its own could lead to.
ANY_SERIAL = ("zeiss-remcon", "modbus-relay", "pfeiffer-tpg", "methodscript", "keithley-24xx")


@dataclass(frozen=True, slots=True)
class Find:
    """One thing that is plugged in. `drivers` is empty if none of ours fits."""

    address: str
    description: str
    drivers: tuple[str, ...]


def discover() -> list[Find]:
    """Serial ports and known USB instruments. Blocks for as long as the operating system takes to list them."""
    return [*_serial_ports(), *_usb_devices()]


def _serial_ports() -> list[Find]:
    finds = []
    for port in sorted(serial.tools.list_ports.comports()):
        if port.vid is None and port.description in (None, "n/a"):
            continue  # built-in UARTs that are not wired to anything
        text = (port.description or "").lower()
        drivers = next((names for word, names in DESCRIPTIONS.items() if word in text), ANY_SERIAL)
        identity = f" (USB {port.vid:04x}:{port.pid:04x}, serial {port.serial_number})" if port.vid is not None else ""
        finds.append(Find(f"serial:{port.device}", f"{port.description}{identity}", drivers))
    return finds


def _usb_devices() -> list[Find]:
    finds = []
    try:
        devices = list(usb.core.find(find_all=True) or ())
    except usb.core.NoBackendError:
        return [Find("usb:", "libusb is not installed (apt-get install libusb-1.0-0): USB devices not listed", ())]
    for device in devices:
        key = (device.idVendor, device.idProduct)
        if key in RAW_USB:
            address = f"usb:{key[0]:04x}:{key[1]:04x}?bus={device.bus}&address={device.address}"
            finds.append(Find(address, "USB instrument", RAW_USB[key]))
        elif key in USBTMC:
            finds.append(Find(f"visa:USB0::{key[0]:#06x}::{key[1]:#06x}::INSTR", "USBTMC instrument", USBTMC[key]))
    return finds
