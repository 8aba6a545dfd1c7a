"""`picobridge devices`, `monitor` and `stop`: look at a running bridge, and make it safe."""

from __future__ import annotations

import argparse
import getpass
import os
import re
import sys
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.live import Live
from rich.table import Table

from bridge.analysis.formatting import si
from bridge.client import Lab, connect
from bridge.transfer.messages import load_object
from drivers.calls import split_unit, to_json
from drivers.errors import InvalidValue

from .assignments import assignments
from .output import print_fields, print_json, waiting


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    devices = commands.add_parser("devices", help="the devices of a running bridge, and how they are")
    add_broker_arguments(devices)
    devices.set_defaults(function=run_devices)

    monitor = commands.add_parser("monitor", help="live values of the devices")
    monitor.add_argument("devices", nargs="*", metavar="DEVICE", help="only these (default: all)")
    monitor.add_argument("--count", type=int, metavar="N", help="end after N values")
    add_broker_arguments(monitor)
    monitor.set_defaults(function=run_monitor)

    call = commands.add_parser(
        "call",
        help="one method of a device of a running bridge",
        description="As `picobridge do`, through the daemon: picobridge call relays select route=open",
    )
    call.add_argument("device", metavar="DEVICE")
    call.add_argument("method", metavar="METHOD")
    call.add_argument("arguments", nargs="*", metavar="NAME=VALUE")
    add_broker_arguments(call)
    call.set_defaults(function=run_call, acts=True)

    stop = commands.add_parser("stop", help="everything to its safe state, now: runs, sources, motion")
    add_broker_arguments(stop)
    stop.set_defaults(function=run_stop)


def add_broker_arguments(parser: argparse.ArgumentParser) -> None:
    default = os.environ.get("PICOBRIDGE_BROKER", "mqtt://localhost")
    parser.add_argument(
        "--broker", default=default, metavar="URL", help="default $PICOBRIDGE_BROKER, else mqtt://localhost"
    )
    for option, metavar, help in (
        ("user", "NAME", "who asks, where the bridge has users; as in mqtts://NAME@host"),
        ("ca", "FILE", "certificate of who signed the broker's"),
        ("cert", "FILE", "your certificate"),
        ("key", "FILE", "the key of your certificate"),
        ("password-file", "FILE", "its first line is your password"),
    ):
        variable = f"PICOBRIDGE_{option.replace('-', '_').upper()}"
        parser.add_argument(
            f"--{option}", default=os.environ.get(variable, ""), metavar=metavar, help=f"{help}; default ${variable}"
        )
    parser.add_argument("--bridge", metavar="NAME", help="needed only where several bridges share a broker")
    parser.add_argument("--json", action="store_true", help="print JSON")


def lab_of(args: argparse.Namespace, *, ask_devices: bool = True) -> AbstractAsyncContextManager[Lab]:
    """The bridge that the command line names."""
    password = ""
    if args.password_file:
        password = Path(args.password_file).read_text(encoding="utf-8").partition("\n")[0].strip()
    return connect(
        _with_user(args.broker, args.user),
        bridge=args.bridge,
        name=_login(),
        ask_devices=ask_devices,
        ca=args.ca,
        cert=args.cert,
        key=args.key,
        password=password,
    )


def _login() -> str:
    """Who sits there, as the computer knows them: what the audit says where the broker proves nobody."""
    try:
        name = getpass.getuser().lower()
    except OSError:  # no such user, as in a container
        return "cli"
    return re.sub(r"[^a-z0-9_-]", "-", name)[:16] or "cli"


def _with_user(url: str, user: str) -> str:
    """The user of the option stands before one in the URL."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{quote(user, safe='')}@{rest.rpartition('@')[2]}" if user else url


async def run_devices(args: argparse.Namespace) -> int:
    async with lab_of(args) as lab:
        found = {name: device.info for name, device in lab.devices.items()}
    if args.json:
        print_json(found)
        return 0
    for name, info in found.items():
        identity = info.get("identity") or {}
        who = " ".join(str(identity[key]) for key in ("make", "model", "serial") if identity.get(key))
        print(f"{name:20} {info['interface']:13} {info.get('connection', ''):13} {who}  ({info['driver']})")
        if error := info.get("error"):
            print(f"{'':20} {error['message']}" + (f" ({error['hint']})" if error.get("hint") else ""))
    return 0


async def run_call(args: argparse.Namespace) -> int:
    async with lab_of(args) as lab:
        if args.device not in lab.devices:
            raise InvalidValue(f"device {args.device!r} is not known; accepted: {', '.join(lab.devices) or 'none'}")
        answer = await lab.call(args.device, args.method, assignments(args.arguments, "NAME=VALUE"))
    result = to_json(answer, method=args.method)
    if args.json:
        print_json(result)
    else:
        print_fields(result, indent="")
    return 0


async def run_stop(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:  # a daemon too busy for a question still stops
        with waiting("everything to its safe state"):
            outcome = await lab.stop()
    unsafe = [name for name, state in outcome["devices"].items() if state != "safe"]
    if args.json:
        print_json(outcome)
    else:
        print_fields(outcome, indent="")
        if unsafe:
            print(f"NOT proven safe: {', '.join(unsafe)}", file=sys.stderr)
    return 1 if unsafe else 0


async def run_monitor(args: argparse.Namespace) -> int:
    async with lab_of(args) as lab:
        for name in args.devices:
            if name not in lab.devices:
                raise InvalidValue(f"device {name!r} is not known; accepted: {', '.join(lab.devices)}")
        filters = [f"devices/{name}/latest" for name in args.devices or ["+"]]
        newest: dict[str, dict[str, Any]] = {}
        seen = 0
        live = Live(refresh_per_second=10) if sys.stdout.isatty() and not args.json else None
        if live is not None:
            live.start()
        try:
            async with lab.listen(*filters) as listener:
                while args.count is None or seen < args.count:
                    await listener.wait()
                    message = listener.take()
                    if message is None:
                        continue
                    device = message.topic.split("/")[-2]
                    newest[device] = load_object(message.payload)
                    seen += 1
                    if live is not None:
                        live.update(_table(newest))
                    elif args.json:
                        print_json({"device": device, **newest[device]})
                    else:
                        print(f"{device:20} {describe(newest[device])}", flush=True)
        finally:
            if live is not None:
                live.stop()
    return 0


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


def _table(newest: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table("device", "values", box=None)
    for device in sorted(newest):
        table.add_row(device, describe(newest[device]))
    return table
