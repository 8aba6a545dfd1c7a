"""Text with a unit, turned into SI numbers (and degrees) once, at the edges: "50 uA/cm2", "1 pA", "52 deg".

Parsing is pint's, in decimal arithmetic, so that "1.5 mm" is the double nearest to 0.0015.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from functools import cache
from numbers import Real
from typing import TYPE_CHECKING, Any

from .errors import InvalidValue

if TYPE_CHECKING:
    from pint import UnitRegistry

#: "cm2" and "s-1" as people write them; pint wants cm**2.
_EXPONENT = re.compile(r"(?<=[A-Za-zµΩ])(-?[1-9])(?![\w.])")
#: a number, optionally glued to its unit: "10pA", "1.5 mm", "-3e-12A"
_TEXT = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*$")


#: Longer text is no quantity, and would keep the expressions busy.
_LONGEST = 200


def quantity(value: Any, unit: str, *, field: str = "value") -> float:
    """`value` in `unit` (such as "A", "m", "deg", "A/m**2", "s", "1").

    A plain number (or text without a unit) is taken to be in `unit` already. Raises `InvalidValue` naming the field,
    the value and an example of what is accepted; infinities and NaN are refused.
    """
    if isinstance(value, bool) or not isinstance(value, Real | str):
        raise _refusal(field, value, unit)
    if not isinstance(value, str):
        try:
            number = float(value)
        except OverflowError:
            raise _refusal(field, value, unit) from None
    else:
        match = _TEXT.match(value) if len(value) <= _LONGEST else None
        if match is None:
            raise _refusal(field, value, unit)
        number_text, unit_text = match.groups()
        number = float(number_text) if not unit_text else _convert(number_text, unit_text, unit, field, value)
    if not math.isfinite(number):
        raise _refusal(field, value, unit)
    return number


def _convert(number_text: str, unit_text: str, unit: str, field: str, value: str) -> float:
    registry = _registry()
    spelled = _EXPONENT.sub(
        r"**(\1)",
        unit_text.replace("^", "**").replace("Ω", "ohm").replace("Ohm", "ohm").replace("%", "percent"),
    )
    try:
        given = registry.Quantity(Decimal(number_text), registry.parse_units(spelled))
        return float(given.to(registry.parse_units(unit if unit != "1" else "")).magnitude)
    except Exception as error:  # pint's parser raises what comes: AssertionError, TokenError, RecursionError
        raise _refusal(field, value, unit) from error


@cache
def _registry() -> UnitRegistry[Any]:
    from pint import UnitRegistry

    return UnitRegistry(non_int_type=Decimal, cache_folder=None)


_EXAMPLES = {
    "A": "10 pA",
    "V": "4.2 V",
    "m": "1.5 mm",
    "m**2": "10 um2",
    "deg": "52 deg",
    "s": "30 s",
    "Hz": "10 Hz",
    "A/m**2": "50 uA/cm2",
    "A*h/m**2": "12.5 uAh/cm2",
    "A*h": "1.25 pAh",
    "C": "4.5 nC",
    "Pa": "1e-5 mbar",
    "m/s": "1 um/s",
    "ohm": "1 Gohm",
    "1": "0.5",
}


def example_of(unit: str) -> str:
    """A quantity as people write it, in a unit that `quantity` takes."""
    return _EXAMPLES.get(unit, f"1 {unit}")


def _refusal(field: str, value: Any, unit: str) -> InvalidValue:
    example = example_of(unit)
    return InvalidValue(f"{field} is {value!r}; a quantity such as {example!r} is accepted")
