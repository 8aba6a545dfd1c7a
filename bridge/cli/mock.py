"""`picobridge mock`: simulated instruments on their real wires, for anybody's program to be tested against."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from drivers import registry, toml_text
from drivers.errors import InvalidValue
from mocks.wires import Served, serve
from mocks.world import World
from mocks.world.wiring import ROUTES

from .direct import parse_options
from .output import print_json
from .stdin_lines import lines_of_stdin

_EPILOG = """\
A script is TOML. [[fault]] tables are faults of the wire (fault = "drop", nth = 3; also split, merge, duplicate,
corrupt, late, silence, garbage, deaf), [[event]] tables what happens to the cell (kind = "open", at_s = 150.0,
for_s = 0.5; also resistance, short, chatter, vibration). At run time write lines to standard input: unplug, replug,
reboot, release, clear, or a fault or an event as one JSON object. Where there are several instruments, a fault or a
word is for one of them: "pstat unplug".

Several instruments share one world, as in the chamber: a current flows if the relays make a way to the cell and the
tip touches its pad. A lone potentiostat has nothing on its terminals unless --route says so.

  picobridge mock pstat=keithley-24xx relays=modbus-relay --touching --config lab.toml
  picobridge run lab.toml
"""

#: What a simulated board's coils are, as an option of the driver.
_ROUTES = "{ feedthrough = [0], stage-ground = [1], manipulator-ground = [2], cell = [3] }"


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    mock = commands.add_parser(
        "mock",
        help="serve simulated instruments on their real wires and print their addresses",
        description="Serve simulated instruments until interrupted. The first line printed is the address; of several, "
        "a line each with name and address.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    mock.add_argument("names", nargs="+", metavar="[NAME=]DRIVER", help="from `picobridge drivers`")
    mock.add_argument("--wire", choices=("pty", "tcp", "usb"), help="another wire than an instrument's usual one")
    mock.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default 0)")
    mock.add_argument("--speed", type=float, default=1.0, help="simulated seconds a second; inf: as fast as it can")
    mock.add_argument("--cell", default="good", help="the simulated cell's preset (default good)")
    mock.add_argument("--route", help="close this route's relay: feedthrough, stage-ground, manipulator-ground or cell")
    mock.add_argument("--touching", action="store_true", help="the tip is on the cell's pad")
    mock.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="an option of a lone mock (TOML)"
    )
    mock.add_argument("--script", type=Path, metavar="FILE.toml", help="faults and events, see below")
    mock.add_argument("--config", type=Path, metavar="FILE.toml", help="write a configuration for `picobridge run`")
    mock.add_argument("--json", action="store_true", help="print each address as a JSON object")
    mock.set_defaults(function=run_mock)


async def run_mock(args: argparse.Namespace) -> int:
    if not args.speed > 0:
        raise InvalidValue(f"--speed is {args.speed}; a number greater than zero is accepted")
    drivers = _named(args.names)
    if args.option and len(drivers) > 1:
        raise InvalidValue("--option is for one mock; several are asked for")
    script = _read_script(args.script)
    try:
        world = World(
            seed=args.seed,
            speed=args.speed,
            flows=not math.isinf(args.speed),
            cell=args.cell,
            events=script.get("event", ()),
        )
        _wire_up(world, args.route, args.touching)
        instruments = {
            name: registry.load(registry.find(driver).mock)(world, name, **parse_options(args.option))
            for name, driver in drivers.items()
        }
    except (TypeError, ValueError) as error:
        raise InvalidValue(f"mock {' '.join(args.names)}: {error}") from error
    async with AsyncExitStack() as stack:
        served = {
            name: await stack.enter_async_context(serve(instrument, wire=args.wire, seed=args.seed))
            for name, instrument in instruments.items()
        }
        for entry in script.get("fault", ()):
            _arm(served, entry)
        if args.config is not None:
            _write_config(args.config, drivers, served)
        _announce(drivers, served, as_json=args.json)
        async with lines_of_stdin() as lines:
            async for line in lines:
                try:
                    await obey(line, served, world)
                except InvalidValue as error:
                    print(error, file=sys.stderr, flush=True)
        await asyncio.Event().wait()
    return 0


def _named(words: Iterable[str]) -> dict[str, str]:
    """Drivers by device name; a device is called like its driver unless told otherwise. Raises `InvalidValue`."""
    drivers: dict[str, str] = {}
    for word in words:
        name, _, driver = word.rpartition("=")
        registry.find(driver)
        if (name or driver) in drivers:
            raise InvalidValue(f"two mocks are called {name or driver!r}; give them names: NAME={driver}")
        drivers[name or driver] = driver
    return drivers


def _wire_up(world: World, route: str | None, touching: bool) -> None:
    """Raises `ValueError` for a route that there is not."""
    if route is not None:
        coils = {name: coil for coil, name in ROUTES.items()}
        if route not in coils:
            raise ValueError(f"--route {route!r}; accepted: {', '.join(coils)}")
        world.wiring.set_relay(coils[route], True)
    if touching:
        world.tip.x_m, world.tip.y_m, world.tip.z_m = world.tip.pad_m


def _announce(drivers: Mapping[str, str], served: Mapping[str, Served], *, as_json: bool) -> None:
    for name, one in served.items():
        if as_json:
            print_json({"mock": drivers[name], "name": name, "address": one.address})
        else:
            print(one.address if len(served) == 1 else f"{name} {one.address}", flush=True)


def _write_config(path: Path, drivers: Mapping[str, str], served: Mapping[str, Served]) -> None:
    lines = []
    for name, one in served.items():
        address = one.address
        if drivers[name] == "keithley-24xx" and address.startswith("tcp:"):  # as the instrument is reached: by VISA
            _, host, port = address.split(":")
            address = f"visa:TCPIP::{host}::{port}::SOCKET"
        lines += [f"[devices.{name}]", f'driver = "{drivers[name]}"', f'address = "{address}"']
        if drivers[name] == "modbus-relay":
            lines.append(f"options = {{ routes = {_ROUTES} }}")
        lines.append("")
    try:
        path.write_text("\n".join(lines), encoding="utf-8")
    except OSError as error:
        raise InvalidValue(f"--config {path}: {error.strerror}") from error


async def obey(line: str, served: Mapping[str, Served], world: World) -> None:
    """One line of standard input. Raises `InvalidValue` saying what is accepted."""
    name, _, rest = line.partition(" ")
    if name in served:
        line = rest.strip()
    elif len(served) == 1:
        name = next(iter(served))
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if isinstance(entry, dict) and "fault" not in entry:
        try:
            # what is typed while the instrument runs is meant to happen now
            world.events.script([{"since": "now", **entry}])
        except (TypeError, ValueError) as error:
            raise InvalidValue(f"event {line}: {error}") from error
        return
    if name not in served:
        raise InvalidValue(f"{line!r}: say which instrument first: {', '.join(served)}")
    one = served[name]
    if isinstance(entry, dict):
        _arm(served, {"device": name, **entry})
        return
    words = {
        "unplug": one.unplug,
        "replug": one.replug,
        "reboot": one.instrument.power_cycle,
        "release": one.faults.release,
        "clear": one.faults.clear,
    }
    if line not in words:
        raise InvalidValue(f"{line!r}; accepted: {', '.join(words)}, or a fault or an event as a JSON object")
    try:
        done = words[line]()
        if asyncio.iscoroutine(done):
            await done
    except OSError as error:
        raise InvalidValue(f"{name} {line}: {error.strerror}; is it {line}ged already?") from error


def _arm(served: Mapping[str, Served], entry: Mapping[str, Any]) -> None:
    """A fault for the instrument that it names as `device`, or for the only one. Raises `InvalidValue`."""
    fault = dict(entry)
    name = fault.pop("device", next(iter(served)) if len(served) == 1 else None)
    if name not in served:
        raise InvalidValue(f"device of a fault is {name!r}; accepted: {', '.join(served)}")
    try:
        served[name].faults.script([fault])
    except ValueError as error:
        raise InvalidValue(str(error)) from error


def _read_script(path: Path | None) -> Mapping[str, Any]:
    if path is None:
        return {}
    try:
        content = toml_text.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidValue(f"--script {path}: {error}") from error
    for key, entries in content.items():
        if key not in ("fault", "event") or not isinstance(entries, list):
            raise InvalidValue(f"--script {path}: {key!r}; accepted: [[fault]] and [[event]] tables")
    return content
