"""Numbers as MethodSCRIPT takes them: an integer of 32 bits and an SI prefix, no decimal point, no exponent.

Source: PalmSens MethodSCRIPT_Examples (`100m`, `-500m`, `58505m`); the 32 bits from the MethodSCRIPT manual v1.8 as a
third-party driver quotes it.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Decimal

from ...errors import InvalidValue

_PREFIXES = (
    ("E", 18), ("P", 15), ("T", 12), ("G", 9), ("M", 6), ("k", 3), ("", 0),
    ("m", -3), ("u", -6), ("n", -9), ("p", -12), ("f", -15), ("a", -18),
)  # fmt: skip
_LARGEST = 2**31 - 1

#: A number with more digits than fit is rounded if that changes it by less than this; no converter here is finer.
_TOLERANCE = Decimal("1e-6")


def literal(value: float, field: str = "value") -> str:
    """`value` for a script: exact if its shortest decimal form can be written (1.5e-12 -> "1500f", 0.1 -> "100m").

    Raises `InvalidValue` naming `field` if not even a number within 1e-6 of it can be written.
    """
    if not math.isfinite(value):
        raise InvalidValue(f"{field} is {value}; a finite number is needed")
    exact = Decimal(repr(float(value)))
    if exact == 0:
        return "0"
    for prefix, exponent in _PREFIXES:
        scaled = exact.scaleb(-exponent)
        if abs(scaled) <= _LARGEST and scaled == scaled.to_integral_value():
            return f"{int(scaled)}{prefix}"
    for prefix, exponent in reversed(_PREFIXES):
        scaled = exact.scaleb(-exponent)
        rounded = scaled.to_integral_value(ROUND_HALF_EVEN)
        if abs(rounded) <= _LARGEST:
            if abs(rounded - scaled) > _TOLERANCE * abs(scaled):
                break
            return f"{int(rounded)}{prefix}"
    raise InvalidValue(
        f"{field} is {value!r}; a MethodSCRIPT number is an integer below 2^31 with an SI prefix,"
        " from a (1e-18) to E (1e18)"
    )
