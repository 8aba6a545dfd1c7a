"""Values of the interfaces, and results, as JSON, and back: the only place that knows how.

JSON has no NaN and no infinities, and a reader that is stricter than Python's refuses a message that holds one. So NaN
goes as `null` and an infinity as the text "Infinity" or "-Infinity"; where the type says float, they come back as what
they were. Dataclasses become objects with their fields' names, enumerations their values, sets sorted lists, arrays
lists. Floats are written by `repr`, the shortest text that gives the same double again.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence, Set
from enum import Enum
from typing import Any, TypeVar

import numpy as np

from .errors import InvalidValue
from .samples import Column, EndReason, SampleBlock

T = TypeVar("T")
_INFINITIES = {"Infinity": math.inf, "-Infinity": -math.inf}


def to_plain(value: Any) -> Any:
    """`value` as what JSON knows: dict with text keys, list, str, int, float (finite), bool, None.

    Raises `InvalidValue` for what has no such form.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return to_plain(value.value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return _float_to_plain(float(value))
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, bytes | bytearray):
        return bytes(value).hex(" ")
    if isinstance(value, SampleBlock):
        return _block_to_plain(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(to_plain(key)): to_plain(item) for key, item in value.items()}
    if isinstance(value, Set):
        return sorted((to_plain(item) for item in value), key=repr)
    if isinstance(value, Sequence):
        return [to_plain(item) for item in value]
    raise InvalidValue(f"a value of type {type(value).__name__} has no JSON form")


def from_plain(cls: type[T] | Any, value: Any) -> T:
    """The value of type `cls` that `to_plain` turned into `value`.

    Knows the dataclasses, enumerations, tuples, sets and mappings of `drivers.interfaces`, `SampleBlock`, and unions
    with None. Raises `InvalidValue` if `value` does not fit.
    """
    try:
        return typing.cast(T, _from_plain(cls, value))
    except (KeyError, ValueError, TypeError) as error:
        if isinstance(error, InvalidValue):
            raise
        raise InvalidValue(f"{value!r:.200} is no {getattr(cls, '__name__', cls)}: {error}") from error


def dumps(value: Any) -> bytes:
    """`value` through `to_plain` as JSON text in ASCII, so that nothing on the way can misread it."""
    return json.dumps(to_plain(value), allow_nan=False, separators=(",", ":")).encode("ascii")


def _float_to_plain(value: float) -> float | str | None:
    if math.isfinite(value):
        return value
    return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def _block_to_plain(block: SampleBlock) -> dict[str, Any]:
    return {
        "stream": block.stream,
        "first_index": block.first_index,
        "start_time_ns": block.start_time_ns,
        "end": block.end,
        "attributes": to_plain(block.attributes),
        "units": {column.name: column.unit for column in block.columns},
        "dtypes": {column.name: column.dtype for column in block.columns},
        "columns": {column.name: to_plain(block[column.name]) for column in block.columns},
    }


def _block_from_plain(value: Mapping[str, Any]) -> SampleBlock:
    columns = [Column(name, value["units"][name], value["dtypes"][name]) for name in value["columns"]]
    data = {
        column.name: [from_plain(float, item) for item in value["columns"][column.name]]
        if column.dtype == "float64"
        else value["columns"][column.name]
        for column in columns
    }
    return SampleBlock.of(
        columns,
        data,
        stream=str(value["stream"]),
        first_index=int(value["first_index"]),
        start_time_ns=int(value["start_time_ns"]),
        end=None if value["end"] is None else EndReason(value["end"]),
        attributes=value["attributes"],
    )


def _from_plain(cls: Any, value: Any) -> Any:
    if cls is Any or cls is object:
        return value
    if cls is None or cls is type(None):
        if value is not None:
            raise TypeError("expected null")
        return None
    if isinstance(cls, typing.TypeVar):
        return value
    origin, arguments = typing.get_origin(cls), typing.get_args(cls)
    if origin is typing.Union or isinstance(cls, types.UnionType):
        return _from_union(arguments, value)
    if origin is not None:
        return _from_generic(origin, arguments, value)
    if cls is SampleBlock:
        return _block_from_plain(value)
    if dataclasses.is_dataclass(cls):
        hints = typing.get_type_hints(cls)
        known = {f.name for f in dataclasses.fields(cls)}
        make: Any = cls
        _require(value, Mapping)
        return make(**{name: _from_plain(hints[name], item) for name, item in value.items() if name in known})
    if cls is float:
        return _to_float(value)
    if isinstance(cls, type) and issubclass(cls, Enum):
        return cls(value)
    if cls is bytes:
        return bytes.fromhex(value)
    if not isinstance(value, cls) or (cls is int and isinstance(value, bool)):
        raise TypeError(f"expected {cls.__name__}")
    return value


def _from_union(members: tuple[Any, ...], value: Any) -> Any:
    if value is None and type(None) in members:
        return None
    for member in members:
        if member is not type(None):
            try:
                return _from_plain(member, value)
            except (KeyError, ValueError, TypeError):
                continue
    raise TypeError("no member of the union fits")


def _from_generic(origin: Any, arguments: tuple[Any, ...], value: Any) -> Any:
    if origin is tuple:
        _require(value, list | tuple)
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_from_plain(arguments[0], item) for item in value)
        return tuple(_from_plain(kind, item) for kind, item in zip(arguments, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        _require(value, Mapping)
        return {_from_plain(arguments[0], key): _from_plain(arguments[1], item) for key, item in value.items()}
    _require(value, list | tuple)
    if isinstance(origin, type) and issubclass(origin, Set):
        return frozenset(_from_plain(arguments[0], item) for item in value)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return [_from_plain(arguments[0], item) for item in value]
    raise TypeError(f"no way back to {origin}")


def _require(value: Any, kind: Any) -> None:
    """Text is a sequence too, and would be taken letter by letter."""
    if not isinstance(value, kind):
        raise TypeError("expected a list or an object")


def _to_float(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, str):
        return _INFINITIES[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("expected a number")
    return float(value)
