"""`picobridge procedures` and `start`: what can be run, and any of it started by the daemon's own description."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bridge.daemon import config
from bridge.daemon.catalogue import Catalogue
from bridge.daemon.watch_options import parse_assignments, parse_watch
from bridge.procedures import user_files
from bridge.procedures.description import Procedure
from drivers.calls import split_unit
from drivers.errors import InvalidValue

from .assignments import assignments
from .broker_arguments import add_broker_arguments, lab_of
from .experiments import file_text
from .following import add_detach, follow_or_leave
from .output import print_json
from .prompting import described
from .roles import assign_roles


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    procedures = commands.add_parser(
        "procedures",
        help="what can be run, with parameters, devices and results; or what a file of your own has",
        description="List procedures: all of picobridge's, or only those of the files that are named. Needs no daemon.",
    )
    procedures.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="a .py file, a configuration that names some, or a name"
    )
    procedures.add_argument("--json", action="store_true", help="print JSON, a procedure a line")
    procedures.set_defaults(function=run_procedures)

    start = commands.add_parser(
        "start",
        help="start any procedure that the daemon knows, also one of your own",
        description="Start a procedure in the daemon and follow it. Ctrl-C aborts the run, unless --detach.",
    )
    start.add_argument("procedure", metavar="PROCEDURE", help="from `picobridge procedures`, or a file of the daemon's")
    start.add_argument("parameters", nargs="*", metavar="NAME=VALUE", help="parameters, such as current=10pA")
    start.add_argument(
        "--set", action="append", default=[], dest="more", metavar="NAME=VALUE", help="another way to give a parameter"
    )
    start.add_argument(
        "--role", action="append", default=[], metavar="ROLE=DEVICE", help="who plays which role; several with commas"
    )
    start.add_argument("--watch", action="append", default=[], metavar="WHAT=REACTION", help="of the health watch")
    add_detach(start)
    add_broker_arguments(start)
    start.set_defaults(function=run_start, acts=True)


async def run_procedures(args: argparse.Namespace) -> int:
    known = {entry["name"] for entry in Catalogue().describe()}
    own = [procedure for path in args.files if str(path) not in known for procedure in _of(path)]
    wanted = known & {str(path) for path in args.files} | {procedure.name for procedure in own}
    listed = [entry for entry in Catalogue(own).describe() if not args.files or entry["name"] in wanted]
    for entry in listed:
        if args.json:
            print_json(entry)
        else:
            _print_procedure(entry)
    return 0


def _of(path: Path) -> Sequence[Procedure]:
    """Raises `ConfigurationError`."""
    return config.load(path).procedures if path.suffix == ".toml" else user_files.load_all([path])


def _print_procedure(entry: Mapping[str, Any]) -> None:
    can = [word for word, able in (("pausable", entry["pausable"]), ("resumable", entry["resumable"])) if able]
    print(f"{entry['name']}: {entry['summary']}" + (f" ({', '.join(can)})" if can else ""))
    for role, wanted in entry["roles"].items():
        words = [wanted["interface"], "" if wanted["required"] else "optional", "several" if wanted["several"] else ""]
        print(f"  device {role}: {', '.join(word for word in words if word)}")
    for field in entry["parameters"]:
        print(f"  {described(field)}")
    for name, text in entry["produces"].items():
        print(f"  -> {name}: {text}")
    print()


async def run_start(args: argparse.Namespace) -> int:
    given = assignments([*args.parameters, *args.more], "NAME=VALUE")
    named = assignments(args.role, "ROLE=DEVICE")
    watch = parse_assignments(args.watch)
    parse_watch(watch)
    async with lab_of(args) as lab:
        known = {entry["name"]: entry for entry in await lab.procedures()}
        if args.procedure not in known:
            raise InvalidValue(f"procedure is {args.procedure!r}; accepted: {', '.join(known)}")
        entry = known[args.procedure]
        files = {name for field in entry["parameters"] if field.get("file") for name in _names(field["name"])}
        parameters = {name: file_text(value) if name in files else value for name, value in given.items()}
        devices = assign_roles(lab, args.procedure, entry["roles"], named)
        run = await lab.start(args.procedure, parameters, devices, watch or None)
        return await follow_or_leave(args, run)


def _names(field: str) -> set[str]:
    return {field, split_unit(field)[0]}
