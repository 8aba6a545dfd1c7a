"""Addresses: one line of text that says where a device is.

| text | wire |
| --- | --- |
| `serial:/dev/ttyUSB0?baud=9600` | serial port; also `parity`, `stopbits`, `bytesize`, `xonxoff`, `rtscts` |
| `tcp:192.168.0.7:23` | raw TCP socket |
| `visa:TCPIP::192.168.0.5::5025::SOCKET` | VISA resource; also `?library=@py` or a path, `baud` for ASRL |
| `usb:104d:4000` | USB device by ids; also `usb:104d:4000:SERIAL`, `?node=`, `?bus=`, `?address=`, `?backend=` |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qsl, quote, urlencode

from ..errors import InvalidValue

T = TypeVar("T")

KINDS = ("serial", "tcp", "visa", "usb")


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed address. `str()` gives the text again."""

    kind: str
    target: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        query = f"?{urlencode(self.parameters, safe='/:@,', quote_via=quote)}" if self.parameters else ""
        return f"{self.kind}:{self.target}{query}"

    @staticmethod
    def parse(text: str) -> Address:
        """Raises `InvalidValue` with what would be accepted."""
        kind, colon, rest = text.strip().partition(":")
        if not colon or kind not in KINDS:
            raise InvalidValue(
                f"address {text!r} must begin with one of {', '.join(k + ':' for k in KINDS)}",
                hint="For example serial:/dev/ttyUSB0?baud=9600 or tcp:192.168.0.7:23",
            )
        target, _, query = rest.partition("?")
        try:
            parameters = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True)) if query else {}
        except ValueError:
            raise InvalidValue(f"address {text!r}: {query!r} is not of the form key=value&key=value") from None
        if not target and "serial" not in parameters:
            raise InvalidValue(f"address {text!r} names nothing after {kind}:")
        return Address(kind, target, parameters)

    def allow(self, *names: str) -> None:
        """Raise `InvalidValue` if a parameter is none of `names`."""
        for name in self.parameters:
            if name not in names:
                accepted = ", ".join(names) or "none"
                raise InvalidValue(f"address {self}: unknown parameter {name!r}; accepted: {accepted}")

    def integer(self, name: str, default: int) -> int:
        text = self.parameters.get(name)
        if text is None:
            return default
        try:
            return int(text, 0)
        except ValueError:
            raise InvalidValue(f"address {self}: {name} is {text!r}, a whole number is needed") from None

    def choice(self, name: str, values: Mapping[str, T], default: str) -> T:
        """What `values` has for the parameter's text, in upper case."""
        text = self.parameters.get(name, default)
        try:
            return values[text.upper()]
        except KeyError:
            raise InvalidValue(f"address {self}: {name} is {text!r}; accepted: {', '.join(values)}") from None

    def flag(self, name: str, default: bool = False) -> bool:
        text = self.parameters.get(name)
        if text is None:
            return default
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off"):
            return False
        raise InvalidValue(f"address {self}: {name} is {text!r}; accepted: 1, 0, true, false")
