"""`picobridge devices`, `monitor` and `stop`: look at a running bridge, and make it safe."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from rich.live import Live

from bridge.transfer.messages import load_object
from drivers.calls import to_json
from drivers.errors import InvalidValue

from .assignments import assignments
from .broker_arguments import add_broker_arguments, lab_of
from .every_bridge import devices_everywhere, monitor_everywhere, stop_everywhere
from .output import print_fields, print_json, waiting
from .values import describe, print_devices, table


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    devices = commands.add_parser("devices", help="the devices of a running bridge, and how they are")
    add_broker_arguments(devices, all_bridges=True)
    devices.set_defaults(function=run_devices)

    monitor = commands.add_parser("monitor", help="live values of the devices")
    monitor.add_argument("devices", nargs="*", metavar="DEVICE", help="only these (default: all)")
    monitor.add_argument("--count", type=int, metavar="N", help="end after N values")
    add_broker_arguments(monitor, all_bridges=True)
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
    add_broker_arguments(stop, all_bridges=True)
    stop.set_defaults(function=run_stop)


async def run_devices(args: argparse.Namespace) -> int:
    if args.all_bridges:
        return await devices_everywhere(args)
    async with lab_of(args) as lab:
        found = {name: device.info for name, device in lab.devices.items()}
    if args.json:
        print_json(found)
        return 0
    print_devices(found)
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
    if args.all_bridges:
        return await stop_everywhere(args)
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
    if args.all_bridges:
        return await monitor_everywhere(args)
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
                        live.update(table(newest))
                    elif args.json:
                        print_json({"device": device, **newest[device]})
                    else:
                        print(f"{device:20} {describe(newest[device])}", flush=True)
        finally:
            if live is not None:
                live.stop()
    return 0
