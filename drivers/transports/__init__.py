"""Wires: serial, VISA, USB, TCP, behind one small interface, chosen by one line of text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .address import Address
from .base import Capture, Transport
from .link import Conversation, Link

__all__ = ["Address", "Capture", "Conversation", "Link", "Transport", "open_transport"]


def open_transport(text: str, defaults: Mapping[str, Mapping[str, str]] | None = None) -> Transport:
    """The transport for an address, not opened yet.

    `defaults` gives, by kind of wire, parameters that hold unless the address says otherwise (a device's baud rate);
    those of a serial port hold for VISA's ASRL resources too. Raises `InvalidValue`.
    """
    address = Address.parse(text)
    is_asrl = address.kind == "visa" and address.target.upper().startswith("ASRL")
    own = (defaults or {}).get("serial" if is_asrl else address.kind, {})
    address = replace(address, parameters={**own, **address.parameters})
    # imported here so that a serial-only script does not pay for VISA and USB
    if address.kind == "serial":
        from .serial_port import SerialTransport

        return SerialTransport(address)
    if address.kind == "tcp":
        from .tcp import TcpTransport

        return TcpTransport(address)
    if address.kind == "visa":
        from .visa import VisaTransport

        return VisaTransport(address)
    from .usb import UsbTransport

    return UsbTransport(address)
