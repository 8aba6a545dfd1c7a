"""The real wires under the mocks: pty, TCP socket, and libusb's place under pyusb."""

from .faults import Faults, Rule
from .serve import Served, serve
from .wire import Wire

__all__ = ["Faults", "Rule", "Served", "Wire", "serve"]
