"""Follow a run until it ends: progress in a terminal, and its result."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from bridge.client import Run

from .output import print_json
from .prompting import Prompts
from .summaries import print_result
from .values import describe

#: Verdicts after which the next command may follow.
_GOOD = ("pass", "contact", "go", "no short", "completed", "leak", "trap", "arrived", "saved")


def add_detach(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detach", action="store_true", help="print the run's id and leave it to itself")


async def follow_or_leave(args: argparse.Namespace, run: Run) -> int:
    """What a command does with the run that it has started; returns the exit status."""
    if not args.detach:
        return await follow_to_result(run, as_json=args.json)
    if args.json:
        print_json({"run": run.id})
    else:
        print(run.id)
    return 0


async def follow_to_result(run: Run, *, as_json: bool, ours: bool = True) -> int:
    """Follow, print the result, and return the exit status. A run of `ours` is aborted if this is cancelled."""
    try:
        await follow(run, quiet=as_json)
        result = await run.result()
    finally:
        if ours:
            await run.abort()
    if as_json:
        print_json({"run": run.id, **result})
    else:
        print_result({"procedure": run.state.get("procedure", ""), **result})
        print(f"run {run.id}")
    return 0 if succeeded(result) else 1


def succeeded(result: Mapping[str, Any]) -> bool:
    """So that `picobridge noise-test ... && picobridge cycle ...` does what it says."""
    return result.get("verdict", "pass") in _GOOD and bool(result.get("completed", True))


async def follow(run: Run, *, quiet: bool = False) -> None:
    """Show a run's steps and progress until it ends: a bar in a terminal, nothing elsewhere; ask what it asks.

    Quiet, there is no bar and no prompt; how to answer is said on stderr all the same, for else nobody knows.
    """
    console = Console(stderr=True)  # stdout is the result's
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[values]}"),
        disable=quiet or not sys.stderr.isatty(),
        console=console,
        transient=False,
    )
    prompts = Prompts(run, console, progress)
    with progress:
        bar = progress.add_task(run.id, total=1.0, values="")
        async with prompts.served(prompting=not quiet):
            async for state in run.states():
                paused = {"asked": " (will pause)", "paused": " (paused)"}.get(str(state.get("pause")), "")
                progress.update(
                    bar,
                    description=escape(str(state.get("step") or state.get("procedure") or run.id) + paused),
                    completed=state.get("fraction") or 0.0,
                    values=escape(describe(state.get("values") or {})),
                )
                prompts.look()
