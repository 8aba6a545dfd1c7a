"""Amounts as people write them in a schedule: "5 pA", "50 uA/cm2", "-C/2", "80 %", ">= 4.2 V"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from drivers.errors import InvalidValue
from drivers.quantities import quantity

#: "C/20", "0.5C", "-2 C", "1.5C/3": a rate, never coulombs.
_RATE = re.compile(r"\s*([+-]?)\s*(\d+\.?\d*|\.\d+)?\s*C\s*(?:/\s*(\d+\.?\d*|\.\d+))?\s*")
_PERCENT = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*%\s*")
_BARE = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_COMPARISON = re.compile(r"\s*(>=|<=|>|<|=>|=<|≥|≤)?\s*(.*?)\s*", re.DOTALL)
_SPELLED = {"=>": ">=", "=<": "<=", "≥": ">=", "≤": "<="}

_SECONDS_PER_HOUR = 3600.0
#: Longer text is no amount, and would keep the expressions busy.
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Amount:
    """A value in SI, or a factor of the reference capacity (of coulombs) where `of_reference`.

    "C/2" is half the reference capacity in an hour: 0.5 / 3600 s of it, so that the product is in amperes.
    """

    value: float
    of_reference: bool = False
    text: str = ""

    def si(self, reference_c: float | None) -> float:
        """Raises `InvalidValue` if it needs a reference capacity and there is none."""
        if not self.of_reference:
            return self.value
        if reference_c is None:
            raise InvalidValue(f"{self.text!r} needs a reference capacity: give [cell] capacity, such as '1.15 pAh'")
        return self.value * reference_c

    def __neg__(self) -> Amount:
        text = self.text[1:] if self.text.startswith("-") else f"-{self.text}"
        return Amount(-self.value, self.of_reference, text)


def current(value: object, area_m2: float | None, *, field: str) -> Amount:
    """A current: amperes, amperes by area (needs `area_m2`), or a C-rate. Raises `InvalidValue`."""
    if isinstance(value, str) and len(value) <= _LONGEST:
        rate = _RATE.fullmatch(value)
        if rate is not None:
            sign, times, by = rate.groups()
            if by is not None and float(by) == 0:
                raise InvalidValue(f"{field} is {value!r}; a C-rate such as 'C/20' is accepted")
            factor = float(times or 1) / float(by or 1) * (-1.0 if sign == "-" else 1.0)
            return Amount(factor / _SECONDS_PER_HOUR, True, value.strip())
    try:
        return Amount(quantity(value, "A", field=field), False, str(value))
    except InvalidValue:
        density = _by_area(value, "A/m**2", area_m2, field)
        if density is None:
            raise InvalidValue(
                f"{field} is {value!r}; a current such as '5 pA', '50 uA/cm2' or 'C/20' is accepted"
            ) from None
        return Amount(density, False, str(value))


def charge(value: object, area_m2: float | None, *, field: str) -> Amount:
    """A charge in coulombs: C, Ah, either by area (needs `area_m2`), or "80 %" of the reference capacity."""
    if isinstance(value, str) and len(value) <= _LONGEST:
        percent = _PERCENT.fullmatch(value)
        if percent is not None:
            return Amount(float(percent.group(1)) / 100, True, value.strip())
        if not _BARE.fullmatch(value):  # ampere-hours or coulombs? a bare number does not say
            try:
                return Amount(quantity(value, "C", field=field), False, value)
            except InvalidValue:
                areal = _by_area(value, "C/m**2", area_m2, field)
                if areal is not None:
                    return Amount(areal, False, value)
    raise InvalidValue(
        f"{field} is {value!r}; a charge with its unit such as '1.25 pAh', '12.5 uAh/cm2', '4.5 nC' or '80 %' "
        "is accepted"
    )


def _by_area(value: object, unit: str, area_m2: float | None, field: str) -> float | None:
    """`value` in `unit`, an amount by area, times the area; None if it is no such amount."""
    try:
        areal = quantity(value, unit, field=field)
    except InvalidValue:
        return None
    if area_m2 is None:
        raise InvalidValue(f"{field} is {value!r}, by area: give [cell] area, such as '10 um2'")
    return areal * area_m2


def comparison(value: object) -> tuple[str | None, object]:
    """(operator, the rest): ">= 4.2 V" is (">=", "4.2 V"); without an operator the first is None."""
    if not isinstance(value, str) or len(value) > _LONGEST:
        return None, value
    match = _COMPARISON.fullmatch(value)
    assert match is not None
    operator, rest = match.groups()
    return (None if operator is None else _SPELLED.get(operator, operator)), rest
