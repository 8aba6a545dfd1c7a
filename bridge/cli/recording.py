"""`picobridge record`: everything that a bridge publishes, into a folder a run, on any computer."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from pathlib import Path
from typing import Any

from bridge.client import Lab
from bridge.daemon.finishing import Finisher
from bridge.record import Collector, Recorder
from bridge.report.recorder import recording
from drivers.errors import InvalidValue

from .broker_arguments import add_broker_arguments, lab_of, labs_of
from .group_recording import add_merge, record_in_group
from .output import print_json


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    record = commands.add_parser(
        "record",
        help="record the runs of a bridge, from anywhere, until Ctrl-C",
        description="Record every run of a bridge into a folder of its own, the same as the daemon's: docs/record.md. "
        "A run that is under way is recorded from its first sample on; a folder that is not complete is gone on with.",
    )
    record.add_argument("--folder", type=Path, default=Path("runs"), help="where the folders go (default runs/)")
    record.add_argument("--duration", type=float, metavar="S", help="end after so many seconds")
    record.add_argument(
        "--name",
        default="",
        metavar="RECORDER",
        help="go on where the last recording of this name ended; the daemon keeps samples until it has them",
    )
    record.add_argument(
        "--only-samples", action="store_true", help="no CSV, Parquet and report when a run has ended: only what came"
    )
    record.add_argument(
        "--group", metavar="GROUP", help="share the load with other recorders of this group; picobridge merge after it"
    )
    record.add_argument("--member", metavar="NAME", help="this one's name in the group, such as its computer's")
    add_broker_arguments(record, all_bridges=True)
    record.set_defaults(function=run_record)
    add_merge(commands)


async def run_record(args: argparse.Namespace) -> int:
    """Exit status 1 if a sample is missing."""
    if args.duration is not None and not args.duration > 0:
        raise InvalidValue(f"--duration is {args.duration}; a number of seconds greater than zero is accepted")
    if (args.group is None) != (args.member is None) or (args.group and args.name):
        raise InvalidValue("accepted: --group together with --member, and then no --name")
    if args.group:
        return await record_in_group(args)
    if args.all_bridges:
        return await _record_all(args)
    async with lab_of(args) as lab:
        return await _record(lab, args, args.folder)


async def _record_all(args: argparse.Namespace) -> int:
    """Every bridge that is there, and those that come, each into a folder of its own."""
    tasks: dict[str, asyncio.Task[int]] = {}
    async with labs_of(args) as labs, asyncio.TaskGroup() as group:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(args.duration):
                async for change in labs.changes():
                    if change.bridge not in tasks:
                        work = _record(change.lab, args, args.folder / change.bridge)
                        tasks[change.bridge] = group.create_task(work)
    return max((task.result() for task in tasks.values()), default=0)


async def _record(lab: Lab, args: argparse.Namespace, folder: Path) -> int:
    said = _Said(args.json)
    finisher = Finisher(Path.home() / ".cache" / "picobridge" / "matplotlib", said.finished)
    recorder = None

    def ended(run_folder: Path) -> None:
        said.ended(run_folder)
        if not args.only_samples:
            finisher.add(run_folder, "bridge.report")

    collector = Collector(Recorder(folder), args.name, ended)
    try:
        async with recording(lab, collector, name=args.name) as recorder:
            if not args.json:
                print(f"recording the runs of {lab.bridge} into {folder}; Ctrl-C ends it", flush=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(args.duration):
                    await recorder.ended.wait()
    finally:
        if recorder is not None:
            counts = recorder.counts
            said.counts(
                {
                    "folder": str(folder),
                    "runs": {run: str(path) for run, path in collector.folders.items()},
                    "received": counts.samples,
                    "missing": counts.missing,
                    "duplicated": counts.duplicated,
                }
            )
        await finisher.close()
    return 1 if recorder.counts.missing else 0


class _Said:
    """What the command prints."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json

    def ended(self, folder: Path) -> None:
        if not self._json:
            print(f"recorded {folder}", flush=True)

    def finished(self, folder: Path, made: Any) -> None:
        if not self._json and made.get("report"):
            print(f"report   {made['report']}", flush=True)

    def counts(self, counts: dict[str, Any]) -> None:
        if self._json:
            print_json(counts)
        else:
            print(
                f"{len(counts['runs'])} runs, {counts['received']} samples, {counts['missing']} missing, "
                f"{counts['duplicated']} delivered twice"
            )
