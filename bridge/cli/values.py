"""Devices and their values as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from bridge.analysis.formatting import si
from drivers.calls import split_unit


def print_devices(found: Mapping[str, Mapping[str, Any]], indent: str = "") -> None:
    """One a line, with its error below it."""
    for name, info in found.items():
        identity = info.get("identity") or {}
        who = " ".join(str(identity[key]) for key in ("make", "model", "serial") if identity.get(key))
        print(f"{indent}{name:20} {info['interface']:13} {info.get('connection', ''):13} {who}  ({info['driver']})")
        if error := info.get("error"):
            print(f"{indent}{'':20} {error['message']}" + (f" ({error['hint']})" if error.get("hint") else ""))


def describe(values: Mapping[str, Any]) -> str:
    """Values as people say them: `voltage 3.61 V   current 1.02 pA   route cell`."""
    said = []
    for key, value in values.items():
        name, unit = split_unit(key)
        if isinstance(value, str) and not unit and key != "utc":
            said.append(f"{name} {value}")
        elif unit and not isinstance(value, bool) and isinstance(value, int | float):
            said.append(f"{name} {si(value, unit)}")
    return "   ".join(said)


def table(newest: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table("device", "values", box=None)
    for device in sorted(newest):
        table.add_row(device, describe(newest[device]))
    return table
