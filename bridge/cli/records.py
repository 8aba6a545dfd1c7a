"""`picobridge runs`, `show`, `report`, `export` and `verify`: what was recorded. Needs no daemon, only the folders."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

from bridge.analysis.formatting import duration
from bridge.record.export import ALIASES, DEFAULT, FORMATS
from bridge.record.run_record import RunRecord, find, records

from .output import print_fields, print_json
from .state_dirs import state_dirs


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    runs = commands.add_parser("runs", help="the recorded runs, the newest last")
    runs.add_argument("--last", type=int, default=20, metavar="N", help="so many (default 20; 0: all)")
    _add_common(runs)
    runs.set_defaults(function=run_runs)

    show = commands.add_parser("show", help="a recorded run: verdict, numbers, devices, files")
    _add_run(show)
    show.set_defaults(function=run_show)

    report = commands.add_parser("report", help="make the page of a recorded run, with its pictures")
    _add_run(report)
    report.set_defaults(function=run_report)

    export = commands.add_parser("export", help="make files for other programs of a run's samples")
    export.add_argument(
        "--format",
        choices=(*FORMATS, *ALIASES),
        action="append",
        metavar="FORMAT",
        help=f"{', '.join(FORMATS)}; may be given more than once (default: {', '.join(DEFAULT)})",
    )
    _add_run(export)
    export.set_defaults(function=run_export)

    verify = commands.add_parser("verify", help="check that a recorded run is complete and unchanged")
    _add_run(verify)
    verify.set_defaults(function=run_verify)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN|FOLDER", help="the run's id, or its folder")
    _add_common(parser)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="DIRECTORY",
        help="where the runs are: the daemon's data_dir (default: the usual places, and runs/ here)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def data_dirs(args: argparse.Namespace) -> list[Path]:
    """Where runs are looked for: as told, or where daemons of this machine record by default."""
    if args.folder is not None:
        return [args.folder]
    return [path for path in (*(state / "runs" for state in state_dirs()), Path("runs")) if path.is_dir()]


async def _find(args: argparse.Namespace) -> RunRecord:
    return await asyncio.to_thread(find, args.run, data_dirs(args))


async def run_runs(args: argparse.Namespace) -> int:
    found = await asyncio.to_thread(records, data_dirs(args))
    shown = found[-args.last :] if args.last > 0 else found
    if args.json:
        for record in shown:
            print_json(_brief(record))
        return 0
    if not shown:
        where = ", ".join(str(path) for path in data_dirs(args)) or "any of the usual places"
        print(f"no run is recorded in {where}")
        return 0
    for record in shown:
        brief = _brief(record)
        took = "" if brief["duration_s"] is None else duration(brief["duration_s"])
        print(f"{brief['run']:22} {brief['procedure']:14} {brief['verdict']:14} {took:>12}  {brief['folder']}")
    return 0


def _brief(record: RunRecord) -> dict[str, Any]:
    content = record.manifest
    ended = content["ended_ns"]
    return {
        "run": record.run,
        "procedure": record.procedure,
        "status": record.status,
        "verdict": record.verdict,
        "complete": record.complete,
        "started_utc": content["started_utc"],
        "duration_s": None if ended is None else (ended - content["started_ns"]) / 1e9,
        "samples": {device: stream["samples"] for device, stream in content["streams"].items()},
        "folder": str(record.folder.resolve()),
    }


async def run_show(args: argparse.Namespace) -> int:
    record = await _find(args)
    if args.json:
        print_json({**record.manifest, "folder": str(record.folder.resolve()), "result": record.result})
        return 0
    from .summaries import print_result

    brief = _brief(record)
    error = record.manifest["error"]
    print_fields({**brief, "error": error["message"] if error else None}, indent="")
    if isinstance(record.result, dict):
        print()
        print_result({"procedure": record.procedure, **record.result})
    return 0


async def run_report(args: argparse.Namespace) -> int:
    from bridge.report.run_report import report

    record = await _find(args)
    page = await asyncio.to_thread(report, record)
    if args.json:
        print_json({"run": record.run, "report": str(page.resolve())})
    else:
        print(page.resolve())
    return 0


async def run_export(args: argparse.Namespace) -> int:
    record = await _find(args)
    made = await asyncio.to_thread(record.export, args.format or DEFAULT)
    if args.json:
        print_json({"run": record.run, "files": [str(path.resolve()) for path in made]})
        return 0
    for path in made:
        print(path.resolve())
    if not made:
        print(f"run {record.run} has no samples")
    return 0


async def run_verify(args: argparse.Namespace) -> int:
    """Exit status 1 if something is wrong."""
    record = await _find(args)
    problems = await asyncio.to_thread(record.problems)
    if args.json:
        print_json({"run": record.run, "folder": str(record.folder.resolve()), "problems": problems})
    elif not problems:
        print(f"run {record.run} is complete, and its {len(record.manifest['files'])} files are what was written")
    for line in [] if args.json else problems:
        print(line)
    return 1 if problems else 0
