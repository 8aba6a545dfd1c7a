"""`picobridge drivers` and `discover`: what there is, and what is plugged in."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
from typing import Any

from drivers import registry
from drivers.discovery import discover
from drivers.registry import DRIVERS, DriverEntry

from .output import print_json


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    drivers = commands.add_parser("drivers", help="list the drivers with their options")
    drivers.add_argument("--json", action="store_true", help="print JSON")
    drivers.set_defaults(function=run_drivers)

    found = commands.add_parser(
        "discover",
        help="what is plugged in, which driver would fit, and a configuration to paste",
        description="List serial ports and USB devices. Nothing is sent to any of them: an unknown probe is a move "
        "command to somebody.",
    )
    found.add_argument("--json", action="store_true", help="print JSON")
    found.set_defaults(function=run_discover)


async def run_drivers(args: argparse.Namespace) -> int:
    for entry in DRIVERS:
        fields = describe(entry)
        if args.json:
            print_json(fields)
            continue
        print(f"{entry.name} ({entry.interface}): {entry.summary}")
        print(f"  address: {', '.join(f'{wire}:' for wire in entry.wires)} for example {entry.usual_address}")
        for option in fields["options"]:
            unit = f" [{option['unit']}]" if option["unit"] else ""
            default = "required" if option["required"] else f"default {option['default']!r}"
            print(f"  {option['name']}{unit}: {option['help']} ({default})")
        print()
    return 0


def describe(entry: DriverEntry) -> dict[str, Any]:
    """A driver and its options as JSON values."""
    options = []
    for field in dataclasses.fields(registry.driver_class(entry.name).options_type):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        default: Any = None
        if not required:
            default = field.default_factory() if callable(field.default_factory) else field.default
        options.append(
            {
                "name": field.name,
                "unit": field.metadata.get("unit", ""),
                "help": field.metadata.get("help", ""),
                "required": required,
                "default": default if isinstance(default, bool | int | float | str | None) else str(default),
            }
        )
    return {
        "driver": entry.name,
        "interface": entry.interface,
        "summary": entry.summary,
        "wires": list(entry.wires),
        "usual_address": entry.usual_address,
        "options": options,
    }


async def run_discover(args: argparse.Namespace) -> int:
    finds = await asyncio.to_thread(discover)
    if args.json:
        print_json({"found": [dataclasses.asdict(find) for find in finds]})
        return 0
    if not finds:
        print("No serial port and no USB instrument found.")
        print("  Is it plugged in and switched on? Network instruments are not searched for: give their address.")
        return 0
    for find in finds:
        print(f"{find.address}  {find.description}")
        print(f"  drivers that could fit: {', '.join(find.drivers) or 'none known by its USB id'}")
    print("\n# a configuration to start from: keep what is yours, then `picobridge check lab.toml`")
    for number, find in enumerate((find for find in finds if find.drivers), 1):
        certain = len(find.drivers) == 1
        choice = "" if certain else f"  # one of: {', '.join(find.drivers)}"
        print(f'[devices.device-{number}]\ndriver = "{find.drivers[0] if certain else ""}"{choice}')
        print(f'address = "{find.address}"\n')
    return 0
