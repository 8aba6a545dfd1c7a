"""`python -m tests.fuzz [--seconds N] [--target NAME]`: fuzz all targets, or some, and tell what was found."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import engine
from .target import CORPUS
from .targets import TARGETS


def main(arguments: list[str] | None = None) -> int:
    """1 if there are findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target (default 60)")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=1, help="of the dice (default 1)")
    parser.add_argument("--keep-in", type=Path, default=engine.default_folder(), help="folder for what is found")
    parser.add_argument("--child", choices=sorted(TARGETS), help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.child:
        return engine.child(args.child, args.seconds, args.keep_in, args.seed)
    how = "with coverage, by atheris" if engine.has_atheris() else "by changes of the stored inputs (no atheris here)"
    names = list(dict.fromkeys(args.target or TARGETS))
    print(f"{len(names)} targets, {args.seconds:g} s each, {how}")
    outcomes = []
    for name in names:
        outcome = engine.run(name, args.seconds, args.keep_in, args.seed)
        outcomes.append(outcome)
        print(outcome.line(), flush=True)
        for file, text in outcome.findings.items():
            print(f"    {args.keep_in / name / file}\n        {text}")
    found = sum(len(outcome.findings) for outcome in outcomes)
    print(f"{sum(outcome.executions for outcome in outcomes)} executions, {found} findings")
    if found:
        print(
            "To keep one: mend the parser, shorten the input, and copy it to\n"
            f"    {CORPUS}/TARGET/found-WHAT-IT-SHOWED\n"
            "where the tests will hold it from then on."
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
