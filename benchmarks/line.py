"""What a channel of 1000 samples a second costs daemon, broker and recorder, and so how many a core of each takes."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bridge.client import Lab, connect
from bridge.daemon.config import DeviceConfig
from bridge.record.merging import merge
from bridge.record.raw import RawReader

from . import daemon_process, line_instruments
from .broker import Broker, mosquitto
from .machine import cpu_s
from .processes import Part
from .results import Target
from .stream_instrument import CURRENT_A

RATE = 1000.0
#: Of a line: how often a channel is read.
READ_S = 0.1
#: Channels, how often each is read, and recorders that share them.
STEPS = ((8, READ_S, 1), (24, READ_S, 1), (8, 0.02, 1), (24, 0.5, 1), (32, READ_S, 1), (32, READ_S, 2))
QUICK_STEPS = ((4, READ_S, 1), (12, READ_S, 1), (4, 0.02, 1), (12, READ_S, 2))
MEASURED_S, QUICK_MEASURED_S = 15.0, 6.0
_SETTLE_S = 3.0
_LINE = 1000


def targets(result: dict[str, Any]) -> list[Target]:
    return [
        Target("samples of a line's channels missing after the merge", result["missing"], "<=", 0),
        Target("channels at 1 kS/s that a core of the daemon takes", result["channels_a_core"]["daemon"], ">=", 75),
        Target("channels at 1 kS/s that a core of Mosquitto takes", result["channels_a_core"]["broker"], ">=", 400),
        Target("channels at 1 kS/s that a core of a recorder takes", result["channels_a_core"]["recorder"], ">=", 150),
    ]


def run(quick: bool) -> dict[str, Any]:
    """What a block costs and what a channel costs beside its blocks, from steps with other numbers of both. Blocks are
    counted as they arrived: on a machine that is busy with something else they become longer and fewer."""
    steps = [
        _step(channels, read_s, recorders, QUICK_MEASURED_S if quick else MEASURED_S)
        for channels, read_s, recorders in (QUICK_STEPS if quick else STEPS)
    ]
    alone = [step for step in steps if len(step["shares"]) == 1]
    costs = {name: _costs(alone, name) for name in ("daemon", "broker", "recorder")}
    slopes = {name: cost["cpu_s_a_block"] / READ_S + cost["cores_a_channel"] for name, cost in costs.items()}
    return {
        "samples_per_s_a_channel": RATE,
        "blocks_per_s_a_channel": 1 / READ_S,
        "costs": costs,
        "channels_a_core": {name: 1 / slope for name, slope in slopes.items()},
        "cores_of_1000_channels": {name: _LINE * slope for name, slope in slopes.items()},
        "missing": sum(step["missing"] for step in steps),
        "shares_of_two": steps[-1]["shares"],
        "recorded_bytes_a_sample": alone[-1]["recorded_bytes_a_sample"],
        "steps": steps,
    }


def _costs(steps: Sequence[dict[str, Any]], name: str) -> dict[str, float]:
    """By least squares, with what it costs without channels aside."""
    blocks = [step["channels"] * RATE / step["samples_a_block"] for step in steps]
    known = np.array([[1.0, count, step["channels"]] for count, step in zip(blocks, steps, strict=True)])
    (idle, a_block, a_channel), *_ = np.linalg.lstsq(known, np.array([step["cores"][name] for step in steps]))
    return {"cores_idle": float(idle), "cpu_s_a_block": float(a_block), "cores_a_channel": float(a_channel)}


def _step(channels: int, read_s: float, recorders: int, measured_s: float) -> dict[str, Any]:
    with mosquitto() as broker, Part(line_instruments.serve, read_s) as instruments:
        devices = {
            name: DeviceConfig(name=name, driver="stream", address=f"tcp:127.0.0.1:{instruments.ready}")
            for name in (f"c{number:04}" for number in range(channels))
        }
        with (
            Part(daemon_process.run, broker.url, devices) as daemon,
            tempfile.TemporaryDirectory(prefix="picobridge-bench-") as folder,
        ):
            return asyncio.run(_measure(broker, daemon.pid, list(devices), recorders, measured_s, Path(folder)))


async def _measure(
    broker: Broker, daemon: int, devices: list[str], recorders: int, measured_s: float, folder: Path
) -> dict[str, Any]:
    members = [await _recorder(broker, folder, f"m{number}") for number in range(recorders)]
    count = round((_SETTLE_S + measured_s + 2.0) * RATE)
    technique = {
        "technique": "galvanostatic",
        "current_a": CURRENT_A,
        "duration_s": count / RATE,
        "interval_s": 1 / RATE,
    }
    async with connect(broker.url, bridge=daemon_process.BRIDGE, name="line") as lab:
        runs = await asyncio.gather(*(lab.start("technique", technique, {"potentiostat": name}) for name in devices))
        await asyncio.sleep(_SETTLE_S)
        meters = {"daemon": [daemon], "broker": [broker.pid], "recorder": [member.pid for member in members]}
        before, began_s = _used(meters), time.monotonic()
        await asyncio.sleep(measured_s)
        elapsed_s, after = time.monotonic() - began_s, _used(meters)
        await asyncio.gather(*(run.result() for run in runs))
        await _recorded(lab, count)
    for member in members:
        member.send_signal(signal.SIGTERM)
        await member.wait()
    return await asyncio.to_thread(_judged, folder, devices, count) | {
        "cores": {name: (after[name] - before[name]) / elapsed_s for name in meters},
    }


def _judged(folder: Path, devices: list[str], count: int) -> dict[str, Any]:
    """What was recorded, of `count` samples of each device."""
    parts = sorted(folder.glob("*_archive-*"))
    (merged,) = merge(parts, folder / "merged")
    files = list(merged.folder.glob("*.cborseq"))
    blocks = sum(1 for path in files for _ in RawReader(path))
    sizes = [sum(path.stat().st_size for path in part.glob("*.cborseq")) for part in parts]
    return {
        "channels": len(devices),
        "samples": merged.total.samples,
        "missing": count * len(devices) - merged.total.samples,
        "duplicated": merged.total.duplicated,
        "samples_a_block": merged.total.samples / blocks,
        "recorded_bytes_a_sample": sum(path.stat().st_size for path in files) / merged.total.samples,
        "shares": [size / sum(sizes) for size in sizes],
    }


def _used(meters: dict[str, list[int]]) -> dict[str, float]:
    return {name: sum(map(cpu_s, pids)) for name, pids in meters.items()}


async def _recorder(broker: Broker, folder: Path, name: str) -> asyncio.subprocess.Process:
    words = ("record", "--broker", broker.url, "--folder", str(folder), "--group", "archive", "--member", name)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-m", "bridge.cli.main", *words), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()  # which it says when it listens
    return process


async def _recorded(lab: Lab, count: int) -> None:
    """Until the group has acknowledged all of it."""
    async with asyncio.timeout(300):
        while True:
            streams = await lab.request("streams")
            if all(stream["recorded"].get("archive", 0) >= count for stream in streams):
                return
            await asyncio.sleep(1.0)
