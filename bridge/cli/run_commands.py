"""`picobridge procedures`, `start`, `answer`, `pause`, `continue`, `resume` and `abort`: runs, by hand."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bridge.client import Lab, Run
from bridge.daemon.catalogue import Catalogue
from bridge.daemon.watch_options import parse_assignments, parse_watch
from bridge.procedures import user_files
from drivers.errors import InvalidValue

from .following import follow_to_result
from .lab_commands import add_broker_arguments, lab_of
from .output import print_json
from .roles import assign_roles


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    procedures = commands.add_parser(
        "procedures", help="what can be run, with parameters, devices and results; or what a file of one's own has"
    )
    procedures.add_argument("files", nargs="*", type=Path, metavar="FILE.py", help="only the procedures of these files")
    procedures.add_argument("--json", action="store_true", help="print JSON")
    procedures.set_defaults(function=run_procedures)

    start = commands.add_parser(
        "start",
        help="start any procedure that the daemon knows, also one of your own",
        description="Start a procedure in the daemon and follow it. Ctrl-C aborts the run, unless --detach.",
    )
    start.add_argument("procedure", metavar="PROCEDURE", help="from `picobridge procedures`, or a file of the daemon's")
    start.add_argument("parameters", nargs="*", metavar="NAME=VALUE", help="parameters, such as current=10pA")
    start.add_argument(
        "--role", action="append", default=[], metavar="ROLE=DEVICE", help="who plays which role; several with commas"
    )
    start.add_argument("--watch", action="append", default=[], metavar="WHAT=REACTION", help="of the health watch")
    start.add_argument("--detach", action="store_true", help="print the run's id and leave it to itself")
    add_broker_arguments(start)
    start.set_defaults(function=run_start, acts=True)

    answer = commands.add_parser("answer", help="answer what a run asks; without a choice: show the question")
    answer.add_argument("run", metavar="RUN")
    answer.add_argument("choice", nargs="?", metavar="CHOICE", help="one of the choices")
    answer.add_argument("values", nargs="*", metavar="NAME=VALUE", help="what is to be typed in, such as x=25um")
    add_broker_arguments(answer)
    answer.set_defaults(function=run_answer, acts=True)

    for name, help_text, function in (
        ("pause", "pause a run where its source is off", run_pause),
        ("continue", "end a pause", run_continue),
        ("abort", "end a run: source off, motion stopped", run_abort),
    ):
        parser = commands.add_parser(name, help=help_text)
        parser.add_argument("run", metavar="RUN")
        add_broker_arguments(parser)
        parser.set_defaults(function=function, acts=True)

    resume = commands.add_parser("resume", help="go on with a run that was interrupted, aborted or failed")
    resume.add_argument("run", metavar="RUN")
    resume.add_argument("--detach", action="store_true", help="print the new run's id and leave it to itself")
    add_broker_arguments(resume)
    resume.set_defaults(function=run_resume, acts=True)


async def run_procedures(args: argparse.Namespace) -> int:
    own = user_files.load_all(args.files)
    described = Catalogue(own).describe()
    if args.files:
        described = [entry for entry in described if entry["name"] in {procedure.name for procedure in own}]
    for entry in described:
        if args.json:
            print_json(entry)
        else:
            _print_procedure(entry)
    return 0


def _print_procedure(entry: Mapping[str, Any]) -> None:
    can = [word for word, able in (("pausable", entry["pausable"]), ("resumable", entry["resumable"])) if able]
    print(f"{entry['name']}: {entry['summary']}" + (f" ({', '.join(can)})" if can else ""))
    for role, wanted in entry["roles"].items():
        words = [wanted["interface"], "" if wanted["required"] else "optional", "several" if wanted["several"] else ""]
        print(f"  device {role:20} {', '.join(word for word in words if word)}")
    for field in entry["parameters"]:
        default = "required" if field["required"] else f"default {field['default']}"
        accepted = [
            f"{words} {field[limit]:g}"
            for limit, words in (("at_least", "at least"), ("above", "more than"), ("at_most", "at most"))
            if limit in field
        ]
        if field.get("choices"):
            accepted.append(" or ".join(field["choices"]))
        said = "; ".join([field["help"], " ".join([default, field["unit"]]).strip(), *accepted])
        print(f"  {field['name']:27} {said}")
    for name, text in entry["produces"].items():
        print(f"  -> {name:24} {text}")
    print()


async def run_start(args: argparse.Namespace) -> int:
    parameters = assignments(args.parameters, "NAME=VALUE")
    watch = parse_assignments(args.watch)
    parse_watch(watch)
    async with lab_of(args) as lab:
        known = {entry["name"]: entry for entry in await lab.procedures()}
        if args.procedure not in known:
            raise InvalidValue(f"procedure is {args.procedure!r}; accepted: {', '.join(known)}")
        named = assignments(args.role, "ROLE=DEVICE")
        devices = assign_roles(lab, args.procedure, known[args.procedure]["roles"], named)
        run = await lab.start(args.procedure, parameters, devices, watch or None)
        return await _follow_or_leave(args, run)


def assignments(words: Sequence[str], form: str) -> dict[str, str]:
    """`name=value` words. Raises `InvalidValue`."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise InvalidValue(f"{word!r} is no {form}")
        found[name.replace("-", "_")] = value
    return found


async def _follow_or_leave(args: argparse.Namespace, run: Run) -> int:
    if args.detach:
        if args.json:
            print_json({"run": run.id})
        else:
            print(run.id)
        return 0
    return await follow_to_result(run, as_json=args.json)


async def _run_named(lab: Lab, name: str) -> Run:
    """Raises `InvalidValue` for one that the daemon does not know."""
    runs = {run.id: run for run in await lab.runs()}
    if name not in runs:
        raise InvalidValue(f"run {name!r} is not known; accepted: {', '.join(runs) or 'none'}")
    return runs[name]


async def run_answer(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:
        run = await _run_named(lab, args.run)
        question = run.question
        if args.choice is not None:
            await run.answer(args.choice, assignments(args.values, "NAME=VALUE"))
            return 0
    if question is None:
        raise InvalidValue(f"run {args.run} asks nothing")
    if args.json:
        print_json(question)
        return 0
    print(question["text"])
    for field in question["fields"] or ():
        default = "needed" if field["required"] else f"{field['default']} {field['unit']}".strip()
        print(f"  {field['name']:20} {field['help']} ({default})")
    print(f"  choices: {', '.join(question['choices'])}")
    return 0


async def run_pause(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:
        await (await _run_named(lab, args.run)).pause()
    return 0


async def run_continue(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:
        await (await _run_named(lab, args.run)).go_on()
    return 0


async def run_abort(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:
        await (await _run_named(lab, args.run)).abort()
    return 0


async def run_resume(args: argparse.Namespace) -> int:
    async with lab_of(args, ask_devices=False) as lab:
        run = await lab.resume(args.run)
        return await _follow_or_leave(args, run)
