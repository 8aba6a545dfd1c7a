"""The tables `[hil.<device>]` of a configuration: what may be moved or energised, and how far."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridge.daemon import config
from drivers import registry
from drivers.errors import ConfigurationError, InvalidValue
from drivers.quantities import quantity
from tests.conformance.rig import Limits

#: by interface: what a table may hold, and the unit (empty: a list of names)
KEYS: Mapping[str, Mapping[str, str]] = {
    "stage": {"move_m": "m", "move_z_m": "m", "tilt_deg": "deg", "rotation_deg": "deg"},
    "manipulator": {"move_m": "m", "move_z_m": "m"},
    "potentiostat": {
        "current_a": "A",
        "voltage_min_v": "V",
        "voltage_max_v": "V",
        "duration_s": "s",
        "load_ohm": "ohm",
    },
    "feedthrough": {"routes": ""},
    "gauge": {},
}


def load(path: Path) -> tuple[config.Config, dict[str, Limits]]:
    """The configuration, and limits for each of its devices. Raises `ConfigurationError`."""
    found = config.load(path)
    tables = tomllib.loads(path.read_text(encoding="utf-8")).get("hil", {})
    if not isinstance(tables, Mapping):
        raise ConfigurationError(f"{path}: hil is {tables!r}; tables such as [hil.stage] are accepted")
    for name in tables:
        if name not in found.devices:
            known = ", ".join(found.devices)
            raise ConfigurationError(f"{path}: [hil.{name}] names no device of this configuration; accepted: {known}")
    try:
        return found, {name: parse(name, device.driver, tables.get(name, {})) for name, device in found.devices.items()}
    except InvalidValue as error:
        raise ConfigurationError(f"{path}: {error.message}") from error


def parse(name: str, driver: str, table: Any) -> Limits:
    """Raises `InvalidValue` naming the key, the value and what is accepted."""
    keys = KEYS[registry.find(driver).interface]
    if not isinstance(table, Mapping):
        raise InvalidValue(f"hil.{name} is {table!r}; a table is accepted")
    for key in table:
        if key not in keys:
            raise InvalidValue(f"hil.{name}.{key} is not known; accepted for {driver}: {', '.join(keys) or 'nothing'}")
    values = {
        key: quantity(table[key], unit, field=f"hil.{name}.{key}")
        for key, unit in keys.items()
        if key in table and unit
    }
    routes = table.get("routes", [])
    if not isinstance(routes, list) or not all(isinstance(route, str) for route in routes):
        raise InvalidValue(f"hil.{name}.routes is {routes!r}; a list of names is accepted")
    moves = {}
    for key, axes in (
        ("move_m", ("x_m", "y_m")),
        ("move_z_m", ("z_m",)),
        ("tilt_deg", ("tilt_deg",)),
        ("rotation_deg", ("rotation_deg",)),
    ):
        if values.get(key):
            moves.update(dict.fromkeys(axes, values[key]))
    for key in ("current_a", "duration_s", "load_ohm"):
        if key in values and values[key] <= 0:
            raise InvalidValue(f"hil.{name}.{key} is {table[key]!r}; more than zero is accepted")
    if "voltage_max_v" in values and values["voltage_max_v"] <= values.get("voltage_min_v", 0.0):
        raise InvalidValue(
            f"hil.{name}.voltage_max_v is {table['voltage_max_v']!r}; more than voltage_min_v is accepted"
        )
    return Limits(
        moves=moves,
        current_a=values.get("current_a"),
        voltage_min_v=values.get("voltage_min_v", 0.0),
        voltage_max_v=values.get("voltage_max_v"),
        duration_s=values.get("duration_s"),
        load_ohm=values.get("load_ohm"),
        routes=tuple(routes),
    )


def describe(interface: str, limits: Limits) -> str:
    """In words, for a person to agree to."""
    if interface == "potentiostat" and limits.may_energise:
        load = f" (a resistor of {limits.load_ohm:g} Ohm is connected)" if limits.load_ohm else ""
        return (
            f"drives up to +-{limits.current_a:g} A, within {limits.voltage_min_v:g} to {limits.voltage_max_v:g} V, "
            f"for at most {limits.duration_s:g} s a run, into whatever is connected{load}"
        )
    if limits.moves:
        ways = ", ".join(
            f"{axis.partition('_')[0]} {way:+g} {axis.rpartition('_')[2]}" for axis, way in limits.moves.items()
        )
        return f"moves from where it is by at most {ways}, and back"
    if limits.routes:
        return f"selects the routes {', '.join(limits.routes)}, then the one it had"
    nothing = {"stage": "moves", "manipulator": "moves", "potentiostat": "energises", "feedthrough": "switches"}
    wanted = ", ".join(KEYS[interface])
    if interface in nothing:
        return f"{nothing[interface]} NOTHING: its table [hil.<device>] gives no limits (accepted: {wanted})"
    return "is only read"
