"""Numbers on the wire, from the instrument's side."""

from __future__ import annotations

import math
import re
from decimal import Decimal

_PREFIXES = "afpnum kMGTPE"
_LOWEST = -18
_LARGEST = (1 << 27) - 1
_LITERAL = re.compile(r"([+-]?\d+)([afpnumkMGTPEi]?)")
_RADIX = re.compile(r"(?:0x([0-9A-Fa-f]+)|0b([01]+))i?")


def encode(value: float, *, integer: bool = False) -> str:
    """Eight characters: 28 bits around zero in hexadecimal, and the finest prefix that leaves room for them."""
    if integer:
        return f"{int(value) + (1 << 27):07X}i" if abs(value) <= _LARGEST else "     nan"
    if not math.isfinite(value):
        return "     nan"
    if value == 0:
        return "8000000 "
    for index, prefix in enumerate(_PREFIXES):
        exponent = _LOWEST + 3 * index
        number = round(value * 10.0**-exponent) if exponent < 0 else round(value / 10.0**exponent)
        if abs(number) <= _LARGEST:
            return f"{number + (1 << 27):07X}{prefix}"
    return "     nan"


def literal(text: str) -> tuple[Decimal, bool] | None:
    """A number of a script and whether it is an integer one; None if it is none."""
    match = _RADIX.fullmatch(text)
    if match is not None:
        return Decimal(int(match[1], 16) if match[1] else int(match[2], 2)), True
    match = _LITERAL.fullmatch(text)
    if match is None or abs(int(match[1])) >= 1 << 31:
        return None
    if match[2] == "i":
        return Decimal(int(match[1])), True
    exponent = _LOWEST + 3 * _PREFIXES.index(match[2] or " ")
    return Decimal(int(match[1])).scaleb(exponent), False
