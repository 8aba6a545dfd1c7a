"""`python -m tests.soak [--days 30] [--seed 1] [--seconds MAX]`: a simulated month of cycling with faults."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from .report import as_json, judge_use, table
from .soak import Options, soak


def main(arguments: list[str] | None = None) -> int:
    """1 if anything is wrong."""
    known = Options()
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--days", type=float, default=known.days, help="simulated (default 30)")
    parser.add_argument("--seed", type=int, default=known.seed, help="of the dice (default 1)")
    parser.add_argument("--seconds", type=float, default=known.seconds, metavar="MAX", help="real; broken off then")
    parser.add_argument(
        "--speed",
        type=float,
        default=known.speed,
        help="simulated seconds in a real one (default 1440)",
    )
    parser.add_argument("--interval", type=float, default=known.interval_s, help="simulated s a sample (default 10)")
    parser.add_argument("--faults", type=float, default=known.faults_a_day, help="a simulated day (default 6)")
    parser.add_argument("--folder", type=Path, help="an empty folder for all files, which is kept (default: none is)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(arguments)
    logging.disable(logging.WARNING)  # a client tells each outage
    options = Options(args.days, args.seed, args.seconds, args.speed, args.interval, args.faults)
    with tempfile.TemporaryDirectory(prefix="picobridge-soak-") as temporary:
        folder = (args.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        outcome = asyncio.run(soak(options, folder, follow=follower(folder if args.folder else None, quiet=args.json)))
        outcome.problems.extend(judge_use(options, outcome))
        if args.folder:
            (folder / "soak.json").write_text(json.dumps(as_json(options, outcome), indent=1))
    print(json.dumps(as_json(options, outcome), indent=1) if args.json else table(options, outcome))
    return 1 if outcome.problems else 0


def follower(folder: Path | None, *, quiet: bool) -> Callable[[str], None]:
    """Where lines of the log go: to `soak.log` in a folder that is kept, and what is wrong to the terminal at once."""

    def follow(line: str) -> None:
        if folder is not None:
            with (folder / "soak.log").open("a") as log:
                print(line, file=log)
        if not quiet and (" PROBLEM " in line or " day " in line):
            print(line, file=sys.stderr, flush=True)

    return follow


if __name__ == "__main__":
    sys.exit(main())
