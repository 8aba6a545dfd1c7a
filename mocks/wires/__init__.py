"""The real wires under the mocks: pty, TCP socket, and libusb's place under pyusb."""

from .faults import Faults, Rule
from .serve import Served, serve
from .usb import UsbDescriptor
from .wire import Wire

__all__ = ["Faults", "Rule", "Served", "UsbDescriptor", "Wire", "serve"]
