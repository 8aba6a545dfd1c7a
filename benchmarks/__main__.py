"""`python -m benchmarks [--quick] [NAME ...]`: measure, write `results/NAME.json`, renew the table of the README.

Exit status 1 if a target was missed or a measurement broke.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from . import export, idle, latency, libraries, line, memory, page, parsing, reaction, recording, sheet, throughput
from .machine import facts, load
from .processes import PartFailed
from .results import Target, update_readme, write


class Benchmark(NamedTuple):
    run: Callable[[bool], dict[str, Any]]
    targets: Callable[[dict[str, Any]], list[Target]]


BENCHMARKS = {
    "throughput": Benchmark(throughput.run, throughput.targets),
    "latency": Benchmark(latency.run, latency.targets),
    "reaction": Benchmark(reaction.run, reaction.targets),
    "parsing": Benchmark(parsing.run, parsing.targets),
    "memory": Benchmark(memory.run, memory.targets),
    "idle": Benchmark(idle.run, idle.targets),
    "recording": Benchmark(recording.run, recording.targets),
    "export": Benchmark(export.run, export.targets),
    "sheet": Benchmark(sheet.run, sheet.targets),
    "line": Benchmark(line.run, line.targets),
    "page": Benchmark(page.run, page.targets),
    "libraries": Benchmark(libraries.run, libraries.targets),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="a short version, for a first impression")
    parser.add_argument("-v", "--verbose", action="store_true", help="print all figures, not only the targets")
    options = parser.parse_args()
    for name in options.names:
        if name not in BENCHMARKS:
            parser.error(f"no benchmark {name!r}; accepted: {', '.join(BENCHMARKS)}")
    missed = 0
    for name in options.names or BENCHMARKS:
        print(f"{name}: measuring (load {load()[0]})", flush=True)
        missed += not _measure(name, options.quick, options.verbose)
    update_readme(list(BENCHMARKS))
    return 1 if missed else 0


def _measure(name: str, quick: bool, verbose: bool) -> bool:
    benchmark = BENCHMARKS[name]
    machine = facts()
    try:
        result = benchmark.run(quick)
    except (PartFailed, RuntimeError) as error:
        print(f"{name}: broke: {error}", file=sys.stderr)
        return False
    targets = benchmark.targets(result)
    write(name, quick, machine | {"load_after": load()}, result, targets)
    for target in targets:
        print(f"  {target.row}", flush=True)
    if verbose:
        print(json.dumps(result, indent=2))
    return all(target.met for target in targets)


if __name__ == "__main__":
    sys.exit(main())
