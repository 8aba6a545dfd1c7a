"""`picobridge mock`: one simulated instrument on its real wire, for anybody's program to be tested against."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import stat
import sys
import tomllib
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

from drivers import registry
from drivers.errors import InvalidValue
from mocks.wires import Served, serve
from mocks.world import World

from .direct import parse_options
from .output import print_json

_EPILOG = """\
A script is TOML. [[fault]] tables are faults of the wire (fault = "drop", nth = 3; also split, merge, duplicate,
corrupt, late, silence, garbage, deaf), [[event]] tables what happens to the cell (kind = "open", at_s = 150.0,
for_s = 0.5; also resistance, short, chatter, vibration). At run time write lines to standard input: unplug, replug,
reboot, release, clear, or a fault or an event as one JSON object.
"""


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    mock = commands.add_parser(
        "mock",
        help="serve one simulated instrument on its real wire and print its address",
        description="Serve one simulated instrument until interrupted. The first line printed is its address.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    mock.add_argument("name", metavar="NAME", help="a name from `picobridge drivers`")
    mock.add_argument("--wire", choices=("pty", "tcp", "usb"), help="another wire than the instrument's usual one")
    mock.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default 0)")
    mock.add_argument("--speed", type=float, default=1.0, help="simulated seconds a second; inf: as fast as it can")
    mock.add_argument("--cell", default="good", help="the simulated cell's preset (default good)")
    mock.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="an option of the mock (TOML)")
    mock.add_argument("--script", type=Path, metavar="FILE.toml", help="faults and events, see below")
    mock.add_argument("--json", action="store_true", help="print the address as JSON")
    mock.set_defaults(function=run_mock)


async def run_mock(args: argparse.Namespace) -> int:
    entry = registry.find(args.name)
    if not args.speed > 0:
        raise InvalidValue(f"--speed is {args.speed}; a number greater than zero is accepted")
    script = _read_script(args.script)
    try:
        world = World(
            seed=args.seed,
            speed=args.speed,
            flows=not math.isinf(args.speed),
            cell=args.cell,
            events=script.get("event", ()),
        )
        instrument = registry.load(entry.mock)(world, args.name, **parse_options(args.option))
    except (TypeError, ValueError) as error:
        raise InvalidValue(f"mock {args.name}: {error}") from error
    async with serve(instrument, wire=args.wire, seed=args.seed) as served:
        _arm(served, script.get("fault", ()))
        if args.json:
            print_json({"mock": args.name, "address": served.address})
        else:
            print(served.address, flush=True)
        async with _lines_of_stdin() as lines:
            async for line in lines:
                try:
                    await obey(line, served, world)
                except InvalidValue as error:
                    print(error, file=sys.stderr, flush=True)
        await asyncio.Event().wait()
    return 0


async def obey(line: str, served: Served, world: World) -> None:
    """One line of standard input. Raises `InvalidValue` saying what is accepted."""
    words = {
        "unplug": served.unplug,
        "replug": served.replug,
        "reboot": served.instrument.power_cycle,
        "release": served.faults.release,
        "clear": served.faults.clear,
    }
    if line in words:
        done = words[line]()
        if asyncio.iscoroutine(done):
            await done
        return
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if not isinstance(entry, dict):
        raise InvalidValue(f"{line!r}; accepted: {', '.join(words)}, or a fault or an event as a JSON object")
    if "fault" in entry:
        _arm(served, [entry])
        return
    try:
        world.events.script([entry])
    except (TypeError, ValueError) as error:
        raise InvalidValue(f"event {line}: {error}") from error


def _arm(served: Served, faults: Iterable[Mapping[str, Any]]) -> None:
    try:
        served.faults.script(faults)
    except ValueError as error:
        raise InvalidValue(str(error)) from error


def _read_script(path: Path | None) -> Mapping[str, Any]:
    if path is None:
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidValue(f"--script {path}: {error}") from error
    for key, entries in content.items():
        if key not in ("fault", "event") or not isinstance(entries, list):
            raise InvalidValue(f"--script {path}: {key!r}; accepted: [[fault]] and [[event]] tables")
    return content


@contextlib.asynccontextmanager
async def _lines_of_stdin() -> AsyncIterator[AsyncIterator[str]]:
    """Lines as they come; none if standard input is a file, closed, or a terminal whose foreground is another job."""
    chunks: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    descriptor = _waitable_stdin()
    if descriptor is not None:

        def take() -> None:
            data = os.read(descriptor, 4096)
            chunks.put_nowait(data)
            if not data:
                loop.remove_reader(descriptor)

        loop.add_reader(descriptor, take)
    else:
        chunks.put_nowait(b"")
    try:
        yield _lines(chunks)
    finally:
        if descriptor is not None:
            loop.remove_reader(descriptor)


def _waitable_stdin() -> int | None:
    try:
        descriptor = sys.stdin.fileno()
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            return descriptor
        # reading the terminal from the background would stop the process
        in_front = os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()
    except (AttributeError, ValueError, OSError):
        return None
    return descriptor if in_front else None


async def _lines(chunks: asyncio.Queue[bytes]) -> AsyncIterator[str]:
    buffer = b""
    while data := await chunks.get():
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            if line.strip():
                yield line.decode("utf-8", "replace").strip()
