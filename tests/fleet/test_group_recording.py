"""Recorders as processes that share the load, some killed in the middle: merged, each sample is there once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bridge.daemon import recorder_groups
from bridge.record.raw import RawReader
from tests.bridge.conftest import Mosquitto, eventually
from tests.bridge.fakes import ramp
from tests.bridge.listener import listen
from tests.cli.test_direct import run

from .conftest import DaemonMaker

pytestmark = pytest.mark.mosquitto

SAMPLES, PER_BLOCK = 4000, 10


class Members:
    """`picobridge record --group archive`, several times."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.processes: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str) -> None:
        words = ("record", "--broker", self.url, "--all-bridges", "--folder", str(self.folder))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bridge.cli.main", *words, "--group", "archive", "--member", name),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert process.stdout is not None
        self.processes[name] = process
        assert b"recording" in await process.stdout.readline()

    async def end(self, name: str, how: signal.Signals) -> None:
        process = self.processes.pop(name)
        process.send_signal(how)
        await process.communicate()

    async def close(self) -> None:
        for name in list(self.processes):
            await self.end(name, signal.SIGKILL)

    def parts(self, name: str = "") -> list[Path]:
        return sorted(self.folder.glob(f"*_archive-{name}*"))


def raw_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.cborseq"))


def indices(folders: list[Path]) -> Counter[int]:
    """Of whole blocks on disk."""
    return Counter(
        index
        for folder in folders
        for path in raw_files(folder)
        for block in RawReader(path)
        for index in range(block.first_index, block.next_index)
    )


async def test_each_sample_is_recorded_once_whoever_is_killed(
    daemon: DaemonMaker,
    mosquitto: Mosquitto,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recorder_groups, "GRACE_S", 0.5)
    monkeypatch.setattr(recorder_groups, "GIVEN_S", 2.0)
    members = Members(str(mosquitto.address), tmp_path / "parts")
    gates = [asyncio.Event() for _ in range(3)]
    blocks = ramp(SAMPLES, PER_BLOCK)
    quarter = len(blocks) // 4
    script: list[Any] = []
    for number, gate in enumerate(gates):
        script += [*blocks[number * quarter : (number + 1) * quarter], gate.wait]
    script += blocks[3 * quarter :]
    try:
        async with (
            daemon("lab", mosquitto.address, ("pstat",)) as bridge,
            listen(mosquitto.address, "picobridge/lab/#") as listener,
        ):
            fake: Any = bridge.devices["pstat"].device
            fake.script = lambda technique: script
            for name in "ab":
                await members.start(name)
            asked = {"technique": "galvanostatic", "current_a": 1e-9, "duration_s": 40.0, "interval_s": 0.01}
            await listener.request(
                "picobridge/lab",
                "run",
                {"procedure": "technique", "parameters": asked, "devices": {"potentiostat": "pstat"}},
            )
            pump: Any = bridge.devices["pstat"].pump
            await eventually(lambda: sum(indices(members.parts()).values()) >= SAMPLES // 4, 30)
            assert indices(members.parts("a")), "each has a part"
            assert indices(members.parts("b"))
            await members.end("a", signal.SIGKILL)
            gates[0].set()
            await eventually(lambda: pump.next_index == SAMPLES // 2)
            await members.start("c")
            gates[1].set()
            await eventually(lambda: pump.next_index == 3 * SAMPLES // 4)
            await members.end("b", signal.SIGKILL)
            gates[2].set()

            async def recorded() -> int:
                (stream,) = await listener.request("picobridge/lab", "streams", {})
                return int(stream["recorded"].get("archive", 0))

            async with asyncio.timeout(45):
                while await recorded() < SAMPLES:
                    await asyncio.sleep(0.2)
                    reached, there = await recorded(), indices(members.parts())
                    assert set(range(reached)) <= there.keys(), "only what is on a disk"
            await members.end("c", signal.SIGTERM)
        parts = [str(part) for part in members.parts()]
        assert len(parts) == 3
        assert await run("merge", *parts, "--folder", str(tmp_path / "runs"), "--json") == 0
        merged = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (merged["samples"], merged["missing"], merged["differing"]) == (SAMPLES, 0, [])
        folder = Path(merged["run_folder"])
        values = [value for path in raw_files(folder) for b in RawReader(path) for value in b["voltage_v"].tolist()]
        assert values == [float(index) for index in range(SAMPLES)]
        assert indices([folder]) == Counter(range(SAMPLES)), "each once"
        assert await run("verify", merged["run_folder"]) == 0
    finally:
        await members.close()
