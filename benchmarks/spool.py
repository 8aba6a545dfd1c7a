"""The spool alone: recovery of 1 GB, what appending costs the event loop, processor time and latency at 100 x 200/s.

Also by itself: `python -m benchmarks.spool [--quick] [FOLDER]`. The folder decides which disk is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bridge.transfer import codec
from bridge.transfer.spool import Spool, SpoolOptions
from bridge.transfer.spool.files import OsFiles
from bridge.transfer.spool.format import Kind, Record
from bridge.transfer.spool.log import SegmentLog
from drivers.samples import SAMPLE_COLUMNS, SampleBlock

from .results import Target

BYTES, QUICK_BYTES = 1_000_000_000, 200_000_000
#: Blocks of so many samples, so many of them a second, on so many streams together.
SAMPLES, RATE, STREAMS = 100, 200, 8
SECONDS, QUICK_SECONDS = 20.0, 3.0


def targets(result: dict[str, Any]) -> list[Target]:
    return [
        Target("recovery of 1 GB of spool, all segments closed", result["recovery_closed_s"], "<", 5.0, "s"),
        Target("the same after a kill, the last segment open", result["recovery_open_s"], "<", 5.0, "s"),
        Target("the same with every footer gone", result["recovery_bare_s"], "<", 5.0, "s"),
        Target("appending a block, processor time of the event loop", result["append_us"], "<", 20.0, "us"),
        Target("the spool at 100 samples 200 times a second", result["cpu_percent"], "<", 10.0, "% of a core"),
    ]


def run(quick: bool, folder: Path | None = None) -> dict[str, Any]:
    size = QUICK_BYTES if quick else BYTES
    with tempfile.TemporaryDirectory(dir=folder) as name:
        root = Path(name)
        filled = _fill(root / "large", size)
        result: dict[str, Any] = {"bytes": filled, "recovery_open_s": _recovery_s(root / "large")}
        result["recovery_closed_s"] = _recovery_s(root / "large")
        result["read_mb_per_s"] = _read_mb_per_s(root / "large")
        _lose_footers(root / "large")
        result["recovery_bare_s"] = _recovery_s(root / "large")
        result |= asyncio.run(_live(root / "live", QUICK_SECONDS if quick else SECONDS))
    return result


def _block(stream: str, first_index: int) -> SampleBlock:
    index = np.arange(first_index, first_index + SAMPLES, dtype=np.float64)
    data = {"time_s": index, "voltage_v": index, "current_a": index, "flags": np.zeros(SAMPLES, np.uint32)}
    return SampleBlock(stream, first_index, 0, SAMPLE_COLUMNS, data, None, {"range": "1 mA"})


def _fill(folder: Path, size: int) -> int:
    """As a daemon leaves it that was killed: the last segment is open."""
    log = SegmentLog(folder, SpoolOptions(reserve_bytes=0), OsFiles(), lambda kind, text: print(kind, text))
    written = index = 0
    while written < size:
        records = []
        for number in range(STREAMS):
            block = _block(f"device{number}-1", index)
            payload = codec.encode(block)
            records.append(Record(Kind.BLOCK, block.stream, index, index + SAMPLES, payload, time.time_ns()))
        for _ in range(200):
            done = 0
            shifted = [
                Record(r.kind, r.stream, index, index + SAMPLES, r.payload, r.wall_ns) for r in records
            ]  # fmt: skip
            while done < len(shifted):
                done += log.commit(shifted[done:])[0]
            index += SAMPLES
            written += sum(map(len, records))
    return written


def _recovery_s(folder: Path) -> float:
    begun = time.perf_counter()
    Spool.open(folder)
    return time.perf_counter() - begun


def _lose_footers(folder: Path) -> None:
    for path in folder.glob("*.seg"):
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - 16)


def _read_mb_per_s(folder: Path) -> float:
    """One stream of those that lie interleaved, in pieces of 1 MB."""
    spool = Spool.open(folder)
    position = size = 0
    begun = time.perf_counter()
    while size < 20_000_000 and (stored := spool.read("device3-1", position, 1_000_000)):
        position = stored[-1][1]
        size += sum(len(payload) for _, _, payload in stored)
    return size / 1e6 / (time.perf_counter() - begun)


async def _live(folder: Path, seconds: float) -> dict[str, float]:
    spool = await asyncio.to_thread(Spool.open, folder, SpoolOptions(reserve_bytes=0))
    spool.start()
    blocks = [_block(f"device{number % STREAMS}-1", 0) for number in range(STREAMS)]
    costs, walls, latencies = list[float](), list[float](), list[float]()
    waiting: list[tuple[str, int, float]] = []

    def changed() -> None:
        now = time.perf_counter()
        while waiting and spool.durable(waiting[0][0]) >= waiting[0][1]:
            latencies.append(now - waiting.pop(0)[2])

    spool.changed = changed
    loop = asyncio.get_running_loop()
    begun, cpu = loop.time(), time.process_time()
    count = int(seconds * RATE)
    for number in range(count):
        await asyncio.sleep(max(0.0, begun + number / RATE - loop.time()))
        block = blocks[number % STREAMS]
        block = block.rebased(block.stream, number // STREAMS * SAMPLES)
        started, used = time.perf_counter(), time.thread_time_ns()
        spool.append(block)
        costs.append((time.thread_time_ns() - used) / 1e9)
        walls.append(time.perf_counter() - started)
        waiting.append((block.stream, block.next_index, started))
    with_spool = time.process_time() - cpu
    await spool.close()
    idle = await _processor_s(count, lambda number: blocks[number % STREAMS].rebased("s", number))
    metrics = spool.metrics
    ordered = sorted(latencies)
    return {
        "append_us": median(costs) * 1e6,
        "append_wall_p50_us": median(walls) * 1e6,
        "append_wall_p99_us": sorted(walls)[int(0.99 * len(walls))] * 1e6,
        "cpu_percent": 100 * (with_spool - idle) / seconds,
        "cpu_percent_of_the_loop_alone": 100 * idle / seconds,
        "durable_p50_ms": ordered[len(ordered) // 2] * 1e3,
        "durable_p99_ms": ordered[int(0.99 * len(ordered))] * 1e3,
        "commits_per_s": metrics.commits / seconds,
        "bytes_per_sample": metrics.bytes_written / (count * SAMPLES),
    }


async def _processor_s(count: int, work: Callable[[int], object]) -> float:
    """Of the same loop without a spool."""
    loop = asyncio.get_running_loop()
    begun, cpu = loop.time(), time.process_time()
    for number in range(count):
        await asyncio.sleep(max(0.0, begun + number / RATE - loop.time()))
        work(number)
    return time.process_time() - cpu


if __name__ == "__main__":
    arguments = [each for each in sys.argv[1:] if each != "--quick"]
    figures = run("--quick" in sys.argv, Path(arguments[0]) if arguments else None)
    print(json.dumps({key: float(f"{value:.4g}") for key, value in figures.items()}, indent=2))
    for target in targets(figures):
        print(target.row)
