"""`picobridge record`: everything that a bridge publishes, into a folder."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from pathlib import Path

from bridge.record import RunFolder
from bridge.report.recorder import recording
from drivers.errors import InvalidValue

from .broker_arguments import add_broker_arguments, lab_of
from .output import print_json


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    record = commands.add_parser(
        "record",
        help="record the samples of a running bridge until Ctrl-C",
        description="Record all samples into a new folder: exact blocks (a CBOR sequence) and BDF text.",
    )
    record.add_argument("--folder", type=Path, default=Path("runs"), help="where the new folder goes (default runs/)")
    record.add_argument("--duration", type=float, metavar="S", help="end after so many seconds")
    record.add_argument(
        "--name",
        default="",
        metavar="RECORDER",
        help="go on where the last recording of this name ended; the daemon keeps samples until it has them",
    )
    add_broker_arguments(record)
    record.set_defaults(function=run_record)


async def run_record(args: argparse.Namespace) -> int:
    if args.duration is not None and not args.duration > 0:
        raise InvalidValue(f"--duration is {args.duration}; a number of seconds greater than zero is accepted")
    recorder = None
    try:
        async with lab_of(args) as lab:  # without a bridge no folder is made
            folder = RunFolder.create(args.folder, "record")
            if not args.json:
                print(f"recording into {folder.path}; Ctrl-C ends it", flush=True)
            try:
                async with recording(lab, folder, recorder_name=args.name) as recorder:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(args.duration):
                            await recorder.ended.wait()
            except asyncio.CancelledError:  # Ctrl-C, which is how a recording ends
                folder.finish()
                raise
            folder.finish()
    finally:
        if recorder is not None:
            counts = recorder.counts
            fields = {
                "run_folder": str(recorder.folder.path),
                "received": counts.samples,
                "missing": counts.missing,
                "duplicated": counts.duplicated,
            }
            if args.json:
                print_json(fields)
            else:
                print(f"{counts.samples} samples, {counts.missing} missing, {counts.duplicated} delivered twice")
    return 0
