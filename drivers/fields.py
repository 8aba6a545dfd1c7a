"""Values from a configuration, a command line or a request, turned into the fields of a frozen dataclass.

Fields are made with `drivers.interfaces.option`: their metadata say which unit a value is in. Used for the options of
drivers and for the parameters of procedures.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar

from .calls import split_unit
from .errors import InvalidValue
from .quantities import example_of, quantity

T = TypeVar("T")

#: Nobody types amperes, metres or farads of this field bare: "10" is ten of a unit in somebody's head.
_NEVER_BARE = frozenset({"A", "A/m**2", "m", "m**2", "C", "F", "A*h", "A*h/m**2"})

_INTEGER = re.compile(r"[+-]?\d{1,18}")


def parse_fields(cls: type[T], values: Mapping[str, Any], *, noun: str = "option") -> T:
    """An instance of `cls` out of plain values. Text with a unit is accepted where the field has one, and a name may be
    given without its unit (`current` for `current_a`); where two fields share such a name, the value's unit decides.

    Raises `InvalidValue` naming the field (called a `noun`), the value and what is accepted.
    """
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]  # frozen dataclasses only
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        candidates = [fields[key]] if key in fields else [f for f in fields.values() if _short(f) == key]
        if not candidates:
            raise InvalidValue(f"{noun} {key!r} is not known; accepted: {', '.join(fields) or 'none'}")
        field, converted = _chosen(key, value, candidates, noun)
        if field.name in arguments:
            raise InvalidValue(f"{noun} {field.name!r} is given twice")
        _check_limits(field, converted, noun)
        arguments[field.name] = converted
    for field in fields.values():
        no_default = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if no_default and field.name not in arguments:
            raise InvalidValue(f"{noun} {field.name!r} is required: {field.metadata['help']}")
    return cls(**arguments)


def _chosen(
    key: str, value: Any, candidates: list[dataclasses.Field[Any]], noun: str
) -> tuple[dataclasses.Field[Any], Any]:
    """The field that a value is for, and the value in its unit."""
    if len(candidates) == 1:
        return candidates[0], _converted(key, value, candidates[0], noun)
    if isinstance(value, str) and not _is_number(value):
        for field in candidates:
            with suppress(InvalidValue):
                return field, quantity(value, field.metadata["unit"], field=key)
    names = " or ".join(f"{field.name} (in {field.metadata['unit']})" for field in candidates)
    raise InvalidValue(f"{noun} {key!r} is {value!r}; say which: {names}, or give text with a unit")


def _check_limits(field: dataclasses.Field[Any], value: Any, noun: str) -> None:
    """Raises `InvalidValue` for a value beyond what `option` says of the field."""
    if value is None:
        return
    limits, unit = field.metadata, f" {field.metadata.get('unit', '')}".rstrip()
    choices = limits.get("choices", ())
    if choices and value not in choices:
        raise InvalidValue(f"{noun} {field.name!r} is {value!r}; accepted: {', '.join(choices)}")
    at_least, above, at_most = (limits.get(name) for name in ("at_least", "above", "at_most"))
    for limit, words, fits in (
        (at_least, "at least", at_least is None or value >= at_least),
        (above, "more than", above is None or value > above),
        (at_most, "at most", at_most is None or value <= at_most),
    ):
        if not fits:  # NaN fits nothing
            raise InvalidValue(f"{noun} {field.name!r} is {value:g}{unit}; accepted: {words} {limit:g}{unit}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _short(field: dataclasses.Field[Any]) -> str:
    short, unit = split_unit(field.name)
    return short if unit and unit == field.metadata.get("unit", "") else field.name


def _converted(key: str, value: Any, field: dataclasses.Field[Any], noun: str) -> Any:
    if value is None and field.default is None:
        return None
    unit = field.metadata.get("unit", "")
    if unit:
        if isinstance(value, str) and unit in _NEVER_BARE and _is_number(value) and float(value):
            raise InvalidValue(
                f"{noun} {key!r} is {value!r}, without a unit; accepted: a quantity such as {example_of(unit)!r}"
            )
        return quantity(value, unit, field=key)
    example = field.default
    declared = str(field.type).replace(" | None", "")
    if isinstance(example, bool) or declared == "bool":
        accepted: type = bool
        value = {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
    elif isinstance(example, int) or declared == "int":
        accepted = int
        value = int(value) if isinstance(value, str) and _INTEGER.fullmatch(value) else value
    elif isinstance(example, str) or declared == "str":
        accepted = str
    else:
        return value  # the class's own __post_init__ knows tables and lists better than we do
    if not isinstance(value, accepted) or (accepted is int and isinstance(value, bool)):
        words = {bool: "true or false", int: "a whole number", str: "text"}[accepted]
        raise InvalidValue(f"{noun} {key!r} is {value!r}; accepted: {words}")
    return value
