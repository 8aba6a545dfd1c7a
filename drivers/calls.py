"""Calls of an interface's methods by name, with values as text: how the command line and remote clients reach a device.

A parameter's unit is the suffix of its name (`current_a`, `tilt_deg`), so `current=10pA` and `current_a=1e-11` mean the
same; each value is turned into SI here, once.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from .errors import InvalidValue
from .interfaces import Device, Feedthrough, Gauge, Manipulator, Potentiostat, Stage
from .plain import to_plain
from .quantities import quantity
from .samples import SampleBlock

INTERFACES: Mapping[str, type[Device]] = {
    cls.interface: cls for cls in (Potentiostat, Stage, Manipulator, Feedthrough, Gauge)
}

#: What can be called from outside, by interface. `identify` and `make_safe` go for every device.
CALLS: Mapping[str, tuple[str, ...]] = {
    "potentiostat": ("open_circuit", "galvanostatic", "potentiostatic", "impedance", "cell_off", "stop"),
    "stage": ("position", "move_to", "move_by", "stop", "home", "touch_alarm"),
    "manipulator": ("position", "move_to", "move_by", "stop", "set_speed", "insert", "retract"),
    "feedthrough": ("route", "select"),
    "gauge": ("pressure",),
}

#: Calls that neither move nor energise anything.
HARMLESS = frozenset({"identify", "position", "touch_alarm", "route", "pressure"})

#: Calls in the safe direction: never queued, never refused.
SAFE = frozenset({"stop", "cell_off", "make_safe"})

#: What a bare result is called where it is not called as its method is.
_RESULT_NAMES: Mapping[str, str] = {"select": "route"}

#: Suffix of a parameter's name to the unit that `quantity` converts to.
UNITS: Mapping[str, str] = {
    "m": "m",
    "deg": "deg",
    "a": "A",
    "v": "V",
    "s": "s",
    "hz": "Hz",
    "c": "C",
    "f": "F",
    "ohm": "ohm",
    "pa": "Pa",
    "a_per_m2": "A/m**2",
    "ah_per_m2": "A*h/m**2",
    "m2": "m**2",
    "ah": "A*h",
    "m_per_s": "m/s",
    "v_per_s": "V/s",
}


def methods(interface: str) -> tuple[str, ...]:
    """The names that `call` accepts for an interface."""
    return ("identify", *CALLS[interface], "make_safe")


def split_unit(parameter: str) -> tuple[str, str]:
    """`"current_a"` -> `("current", "A")`; a parameter without a unit gives `""`."""
    for suffix in sorted(UNITS, key=len, reverse=True):
        if parameter.endswith(f"_{suffix}"):
            return parameter.removesuffix(f"_{suffix}"), UNITS[suffix]
    return parameter, ""


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a method. `short` is its name without the unit."""

    name: str
    short: str
    unit: str
    kind: type
    required: bool
    optional: bool


@cache
def parameters(interface: str, method: str) -> tuple[Parameter, ...]:
    """Raises `InvalidValue` for a method that the interface does not have, naming those that it has."""
    known = methods(interface)
    if method not in known:
        raise InvalidValue(f"a {interface} has no method {method!r}; accepted: {', '.join(known)}")
    function = getattr(INTERFACES[interface], method)
    hints = get_type_hints(function)
    signature = list(inspect.signature(function).parameters.items())[1:]
    return tuple(
        _parameter(name, hints[name], required=parameter.default is inspect.Parameter.empty)
        for name, parameter in signature
    )


def fields(cls: type) -> tuple[Parameter, ...]:
    """The fields of a dataclass whose names carry their units, such as a technique."""
    hints = get_type_hints(cls)
    return tuple(
        _parameter(f.name, hints[f.name], required=f.default is dataclasses.MISSING) for f in dataclasses.fields(cls)
    )


def _parameter(name: str, hint: Any, *, required: bool) -> Parameter:
    short, unit = split_unit(name)
    alternatives = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    kinds = [kind for kind in alternatives if kind is not type(None)]
    return Parameter(name, short, unit, kinds[0], required, len(kinds) < len(alternatives))


def arguments(interface: str, method: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments for a method out of text or numbers. Raises `InvalidValue` naming the parameter."""
    return assigned(method, parameters(interface, method), values)


def assigned(what: str, wanted: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """The `wanted` parameters of `what` out of text or numbers, by their names with or without the unit.

    Raises `InvalidValue` for a name that is not wanted, given twice or missing, and for a value that does not fit.
    """
    by_name = {p.name: p for p in wanted} | {p.short: p for p in wanted}
    converted: dict[str, Any] = {}
    for name, value in values.items():
        parameter = by_name.get(name)
        if parameter is None:
            raise InvalidValue(
                f"{what} has no parameter {name!r}; accepted: {', '.join(p.short for p in wanted) or 'none'}"
            )
        if parameter.name in converted:
            raise InvalidValue(f"{what}: {parameter.short} is given twice")
        converted[parameter.name] = _convert(parameter, value)
    for parameter in wanted:
        if parameter.required and parameter.name not in converted:
            raise InvalidValue(f"{what} needs {parameter.short}" + (f" in {parameter.unit}" if parameter.unit else ""))
    return converted


async def call(device: Device, method: str, values: Mapping[str, Any]) -> Any:
    """Call a method by name. Raises `InvalidValue` before anything is sent, and whatever the method raises."""
    keywords = arguments(device.interface, method, values)
    return await getattr(device, method)(**keywords)


def to_json(value: Any, *, method: str = "") -> dict[str, Any]:
    """A method's result as a JSON object, by `to_plain`; a block becomes `columns` of lists."""
    if isinstance(value, SampleBlock):
        return {
            "columns": {column.name: to_plain(value[column.name]) for column in value.columns},
            "units": {column.name: column.unit for column in value.columns},
            "samples": len(value),
            "start_time_ns": value.start_time_ns,
            "end": value.end,
            "attributes": to_plain(value.attributes),
        }
    if value is None:
        return {"done": True}
    plain = to_plain(value)
    return plain if isinstance(plain, dict) else {_RESULT_NAMES.get(method, method): plain}


def _convert(parameter: Parameter, value: Any) -> Any:
    if value is None and parameter.optional:
        return None
    if parameter.unit or parameter.kind is float:
        return quantity(value, parameter.unit or "1", field=parameter.short)
    if parameter.kind is int:
        number = quantity(value, "1", field=parameter.short)
        if number != int(number):
            raise InvalidValue(f"{parameter.short} is {value!r}; a whole number is accepted")
        return int(number)
    if not isinstance(value, parameter.kind):
        raise InvalidValue(f"{parameter.short} is {value!r}; {parameter.kind.__name__} is accepted")
    return value
