"""`picobridge probe` and `picobridge do`: talk to one instrument directly, with no daemon and no broker."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drivers import calls, registry, toml_text
from drivers.errors import InvalidValue
from drivers.interfaces import Device

from .output import print_fields, print_json, waiting

#: one call: the method's name and its arguments as text
Call = tuple[str, dict[str, str]]


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    probe = commands.add_parser(
        "probe",
        help="ask one instrument who it is and what it can, without a daemon",
        description="Connect to one instrument, identify it, print its identity and capabilities, and leave it safe.",
    )
    _add_common(probe)
    probe.set_defaults(function=run_probe)

    do = commands.add_parser(
        "do",
        help="call methods of one instrument, without a daemon",
        description="Connect to one instrument and call methods of its interface, in sequence on one connection.",
        epilog="Example: picobridge do zeiss-remcon serial:/dev/ttyUSB0 move_to x=1.5mm tilt=52deg --then position",
    )
    _add_common(do)
    do.add_argument(
        "calls",
        nargs=argparse.REMAINDER,
        metavar="METHOD [NAME=VALUE ...] [--then METHOD [NAME=VALUE ...]] ...",
        help="values with units: x=1.5mm tilt=52deg current=10pA route=feedthrough",
    )
    do.set_defaults(function=run_do, acts=True)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("driver", metavar="DRIVER", help="a name from `picobridge drivers`")
    parser.add_argument("address", metavar="ADDRESS", help="for example serial:/dev/ttyUSB0?baud=9600")
    parser.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="a driver option; the value is TOML"
    )
    parser.add_argument("--capture", type=Path, metavar="FILE", help="write every byte that passes to FILE")
    parser.add_argument("--json", action="store_true", help="print JSON")


async def run_probe(args: argparse.Namespace) -> int:
    device = open_device(args)
    with waiting(f"asking {args.address}"):
        async with device:
            identity = device.identity
            capabilities = getattr(device, "capabilities", None)
    result: dict[str, Any] = {
        "driver": args.driver,
        "interface": device.interface,
        "address": args.address,
        "identity": calls.to_json(identity),
        "capabilities": calls.to_json(capabilities) if capabilities is not None else {},
    }
    if args.json:
        print_json(result)
    else:
        print_fields(result, indent="")
    return 0


async def run_do(args: argparse.Namespace) -> int:
    sequence = parse_calls(args.calls, args)
    entry = registry.find(args.driver)
    if not sequence:
        raise InvalidValue(f"a method is needed; accepted: {', '.join(calls.methods(entry.interface))}")
    for method, values in sequence:  # all of it is checked before the first byte goes out
        calls.arguments(entry.interface, method, values)
    async with open_device(args) as device:
        for method, values in sequence:
            with waiting(method):
                result = await calls.call(device, method, values)
            fields = {"method": method, **calls.to_json(result, method=method)}
            if args.json:
                print_json(fields)
            else:
                print_fields(fields, indent="")
    return 0


def open_device(args: argparse.Namespace) -> Device:
    """The device that the command line names, not connected yet. Raises `InvalidValue`."""
    device = registry.create(args.driver, args.address, parse_options(args.option))
    if args.capture is not None:
        from drivers.transports.capture import CaptureFile

        device.transport.capture = CaptureFile(args.capture)
    return device


def parse_options(texts: Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` with a TOML value; text that is no TOML (`30nm`, `feedthrough`) is taken as a string."""
    options: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InvalidValue(f"--option {text!r}: KEY=VALUE is accepted")
        try:
            options[key.strip()] = toml_text.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError as error:
            if any(mark in value for mark in "[]{}\"'"):
                raise InvalidValue(f"--option {key}: {value!r} is not TOML ({error})") from None
            options[key.strip()] = value.strip()
    return options


def parse_calls(words: Sequence[str], args: argparse.Namespace) -> list[Call]:
    """Split `METHOD NAME=VALUE ... --then METHOD ...`; options that stand behind the method count as well."""
    sequence: list[Call] = []
    expect_method = True
    remaining = iter(words)
    for word in remaining:
        if word == "--then":
            if expect_method:
                raise InvalidValue("--then needs a method before and after it")
            expect_method = True
        elif word == "--json":
            args.json = True
        elif word in ("--option", "--capture"):
            value = next(remaining, None)
            if value is None:
                raise InvalidValue(f"{word} needs a value")
            if word == "--option":
                args.option.append(value)
            else:
                args.capture = Path(value)
        elif expect_method:
            sequence.append((word, {}))
            expect_method = False
        else:
            name, equals, value = word.partition("=")
            if not equals:
                raise InvalidValue(f"{word!r}: NAME=VALUE is accepted after {sequence[-1][0]}")
            if name in sequence[-1][1]:
                raise InvalidValue(f"{sequence[-1][0]}: {name} is given twice")
            sequence[-1][1][name] = value
    if expect_method and sequence:
        raise InvalidValue("--then needs a method after it")
    return sequence
