"""Lines a second of the MethodSCRIPT parser, beside the obvious line-by-line parser, in one run.

    .venv/bin/python benchmarks/parse_methodscript.py

Time, potential and current with status, range and noise, 1024 lines a block; best of several
rounds of each, alternating. Writes `benchmarks/results/parse_methodscript.json`.
"""

from __future__ import annotations

import json
import platform
import random
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from drivers.potentiostats.methodscript.stream import StreamParser
from drivers.potentiostats.methodscript.values import Packets
from tests.drivers.methodscript_oracle import parse

LINES_A_BLOCK = 1024
BLOCKS = 100
ROUNDS = 7


def stream(seed: int = 1) -> list[bytes]:
    """Blocks of a chronopotentiogram as an EmStat4 sends it."""
    numbers = random.Random(seed)
    blocks = []
    for _ in range(BLOCKS):
        lines = [
            f"Peb{numbers.getrandbits(28):07X}u;ab{numbers.getrandbits(28):07X}u;ba{numbers.getrandbits(28):07X}f,10,203,40\n"
            for _ in range(LINES_A_BLOCK)
        ]
        blocks.append("".join(lines).encode())
    return blocks


def main() -> None:
    blocks = stream()
    count = LINES_A_BLOCK * BLOCKS
    best_vectorised = best_obvious = float("inf")
    for _ in range(ROUNDS):
        parser = StreamParser()
        start = time.perf_counter()
        events = [event for block in blocks for event in parser.feed(block)]
        best_vectorised = min(best_vectorised, time.perf_counter() - start)
        start = time.perf_counter()
        rows = [row for block in blocks for row in parse(block.decode("ascii"))]
        best_obvious = min(best_obvious, time.perf_counter() - start)
    values = np.concatenate([event.values for event in events if isinstance(event, Packets)])
    expected = np.array([[variable[1] for variable in row] for row in rows])
    assert np.array_equal(values, expected), "the two parsers disagree"
    result = {
        "lines": count,
        "lines_per_block": LINES_A_BLOCK,
        "vectorised_lines_per_s": round(count / best_vectorised),
        "obvious_lines_per_s": round(count / best_obvious),
        "ratio": round(best_obvious / best_vectorised, 1),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    path = Path(__file__).parent / "results" / "parse_methodscript.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
