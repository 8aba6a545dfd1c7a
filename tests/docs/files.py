"""TOML on a page: is it accepted where it belongs?"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridge.daemon import config
from bridge.daemon.config import DeviceConfig
from bridge.daemon.problems import Problems
from bridge.demo.rig import PLACES
from bridge.procedures.schedule import validate
from bridge.procedures.schedule.parse import parse
from drivers import registry


def check(text: str) -> None:
    """A schedule, or a part of a configuration; its devices are then those of the simulated rig, unless it has some.

    Raises `AssertionError`, `InvalidValue` or `TOMLDecodeError` saying what is wrong.
    """
    content = tomllib.loads(text)
    if "step" in content:
        problems_of_schedule = validate.check(parse(text))
        assert not problems_of_schedule, "\n".join(problems_of_schedule)
        return
    problems = Problems("the page")
    config.parse({"devices": _devices(), **content}, problems, Path())
    assert not problems.lines, "\n".join(problems.lines)


def _devices() -> dict[str, Mapping[str, Any]]:
    """Of the demonstration, and those of a prober (docs/sheet.md)."""
    drivers = {name: place.driver for name, place in PLACES.items()}
    drivers |= {"left": "zeiss-remcon", "right": "zeiss-remcon", "board": "modbus-relay"}
    return {
        name: {"driver": driver, "address": registry.find(driver).usual_address.replace("USB0", name)}
        for name, driver in drivers.items()
    }


def tables(devices: Mapping[str, DeviceConfig]) -> str:
    """Devices of a rig as tables of a configuration."""
    lines = []
    for name, device in devices.items():
        lines += [f"[devices.{name}]", f'driver = "{device.driver}"', f'address = "{device.address}"']
        if routes := device.options.get("routes"):
            shown = ", ".join(f"{route} = {coils}" for route, coils in routes.items())
            lines.append(f"options = {{ routes = {{ {shown} }} }}")
    return "\n".join([*lines, ""])
