"""Values from a configuration, a command line or a request, turned into the fields of a frozen dataclass.

Fields are made with `drivers.interfaces.option`: their metadata say which unit a value is in. Used for the options of
drivers and for the parameters of procedures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from .calls import split_unit
from .errors import InvalidValue
from .quantities import quantity

T = TypeVar("T")


def parse_fields(cls: type[T], values: Mapping[str, Any], *, noun: str = "option") -> T:
    """An instance of `cls` out of plain values. Text with a unit is accepted where the field has one, and a name may be
    given without its unit (`current` for `current_a`).

    Raises `InvalidValue` naming the field (called a `noun`), the value and what is accepted.
    """
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]  # frozen dataclasses only
    names = {_short(f): name for name, f in fields.items()} | {name: name for name in fields}
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        name = names.get(key)
        if name is None:
            raise InvalidValue(f"{noun} {key!r} is not known; accepted: {', '.join(fields) or 'none'}")
        if name in arguments:
            raise InvalidValue(f"{noun} {name!r} is given twice")
        arguments[name] = _converted(key, value, fields[name], noun)
    for field in fields.values():
        no_default = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if no_default and field.name not in arguments:
            raise InvalidValue(f"{noun} {field.name!r} is required: {field.metadata['help']}")
    return cls(**arguments)


def _short(field: dataclasses.Field[Any]) -> str:
    short, unit = split_unit(field.name)
    return short if unit and unit == field.metadata.get("unit", "") else field.name


def _converted(key: str, value: Any, field: dataclasses.Field[Any], noun: str) -> Any:
    if value is None and field.default is None:
        return None
    unit = field.metadata.get("unit", "")
    if unit:
        return quantity(value, unit, field=key)
    example = field.default
    if isinstance(example, bool) or field.type == "bool":
        accepted: type = bool
    elif isinstance(example, int) or field.type == "int":
        accepted = int
    elif isinstance(example, str) or field.type == "str":
        accepted = str
    else:
        return value  # the class's own __post_init__ knows tables and lists better than we do
    if not isinstance(value, accepted) or (accepted is int and isinstance(value, bool)):
        raise InvalidValue(f"{noun} {key!r} is {value!r}; accepted: {accepted.__name__}")
    return value
