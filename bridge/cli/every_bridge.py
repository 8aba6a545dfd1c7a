"""`picobridge bridges`, and what other commands do with `--all-bridges`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

from bridge.client import Labs
from bridge.transfer.messages import load_object
from drivers.errors import InvalidValue, PicobridgeError

from .broker_arguments import add_broker_arguments, labs_of
from .output import print_fields, print_json, waiting
from .values import describe, print_devices


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    bridges = commands.add_parser("bridges", help="the bridges on a broker, and how they are")
    add_broker_arguments(bridges)
    bridges.set_defaults(function=run_bridges)


async def run_bridges(args: argparse.Namespace) -> int:
    """Also those that are offline, as long as the broker knows of them."""
    async with labs_of(args, ask_devices=False) as labs:
        statuses = {name: status for name, status in sorted(labs.statuses.items()) if args.bridge in (None, name)}
    if args.json:
        print_json(statuses)
        return 0
    for name, status in statuses.items():
        devices = ", ".join(status.get("devices") or ()) or "no devices"
        print(f"{name:20} {status.get('status', '?'):9} {status.get('version', ''):9} {devices}")
    if not statuses:
        print("no bridge is known on this broker")
    return 0


async def devices_everywhere(args: argparse.Namespace) -> int:
    """Exit status 1 if a bridge did not answer."""
    async with labs_of(args) as labs:
        found = {bridge: {name: device.info for name, device in labs[bridge].devices.items()} for bridge in labs}
        problems = dict(labs.problems)
    if args.json:
        print_json(found | {bridge: error.to_dict() for bridge, error in problems.items()})
    else:
        for bridge, devices in found.items():
            print(f"{bridge}:")
            print_devices(devices, indent="  ")
        _print_problems(problems)
    return 1 if problems else 0


async def stop_everywhere(args: argparse.Namespace) -> int:
    """Exit status 1 if something is not proven safe, or a bridge did not answer."""
    async with labs_of(args, ask_devices=False) as labs:
        with waiting("everything on every bridge to its safe state"):
            outcomes = await labs.stop()
    problems = {bridge: outcome for bridge, outcome in outcomes.items() if isinstance(outcome, PicobridgeError)}
    answers = {bridge: outcome for bridge, outcome in outcomes.items() if not isinstance(outcome, PicobridgeError)}
    unsafe = [
        f"{bridge} {name}"
        for bridge, answer in answers.items()
        for name, state in answer["devices"].items()
        if state != "safe"
    ]
    if args.json:
        print_json(answers | {bridge: error.to_dict() for bridge, error in problems.items()})
    else:
        print_fields(answers, indent="")
        _print_problems(problems)
        if unsafe:
            print(f"NOT proven safe: {', '.join(unsafe)}", file=sys.stderr)
    if not outcomes:
        raise InvalidValue("no bridge is online on this broker: nothing was stopped")
    return 1 if unsafe or problems else 0


async def monitor_everywhere(args: argparse.Namespace) -> int:
    """The values of all devices of all bridges, those that come meanwhile too."""
    if args.devices:
        raise InvalidValue("devices are named together with --all-bridges; accepted: one of the two")
    values: asyncio.Queue[tuple[str, str, dict[str, Any]]] = asyncio.Queue()
    async with labs_of(args) as labs:
        following = asyncio.create_task(_follow(labs, values))
        try:
            seen = 0
            while args.count is None or seen < args.count:
                bridge, device, newest = await values.get()
                seen += 1
                if args.json:
                    print_json({"bridge": bridge, "device": device, **newest})
                else:
                    print(f"{bridge:16} {device:20} {describe(newest)}", flush=True)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
    return 0


async def _follow(labs: Labs, values: asyncio.Queue[tuple[str, str, dict[str, Any]]]) -> None:
    async def of(bridge: str) -> None:
        async with labs[bridge].listen("devices/+/latest") as listener:
            while True:
                await listener.wait()
                if (message := listener.take()) is not None:
                    values.put_nowait((bridge, message.topic.split("/")[-2], load_object(message.payload)))

    followed: set[str] = set()
    async with asyncio.TaskGroup() as group:
        async for change in labs.changes():
            if change.bridge not in followed:
                followed.add(change.bridge)
                group.create_task(of(change.bridge))


def _print_problems(problems: dict[str, PicobridgeError]) -> None:
    for bridge, error in problems.items():
        print(f"{bridge}: {error}" + (f" ({error.hint})" if error.hint else ""), file=sys.stderr)
