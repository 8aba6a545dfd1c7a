"""docs/how-to-read-a-record.md, run as it stands; cellpy and PyProBE in environments of their own."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from bridge.cli.main import main
from bridge.record import Description, Recorder, RunRecord
from drivers.samples import EndReason
from tests.conftest import READERS
from tests.near import near

from .blocks import START_NS, block

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to-read-a-record.md").read_text()
CODE = [code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "pyprobe" not in code]
COMMANDS = [line[2:] for line in PAGE.splitlines() if line.startswith("$ picobridge")]
#: A coulombic efficiency that no reader invents.
EFFICIENCY = 0.75
N = 50


@pytest.fixture(scope="module", autouse=True)
def polars_runtime() -> None:
    """Polars makes threads and descriptors the first time, which stay."""
    pl.read_csv(b"a\n1\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two cycles at a picoampere, a technique each way."""

    async def record() -> Path:
        recording = await Recorder(tmp_path, free=lambda _: 10**12).begin(Description("run-1", "cycle", START_NS))
        for step, (cycle, sign) in enumerate(((1, 1), (1, -1), (2, 1), (2, -1))):
            start_ns, index = START_NS + step * 10 * 10**9, step * N
            own = block(index, N, start_ns=start_ns, end=EndReason.CAPACITY, cycle=cycle, technique="galvanostatic")
            own["current_a"][:] = sign * 1e-12 * (1 if sign > 0 else EFFICIENCY)
            own["voltage_v"][:] = 3.0 + np.arange(N)[::sign] * 0.02
            recording.add("pstat", own)
        recording.description.end("finished", START_NS + 40 * 10**9, None)
        await recording.end({"verdict": "pass"})
        return recording.folder

    folder = asyncio.run(record())
    RunRecord.open(folder).export()
    return folder


def test_the_page_does_what_it_says(folder: Path) -> None:
    for command in COMMANDS:
        assert main(command.replace("FOLDER", str(folder)).split()[1:]) == 0
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for code in CODE:
            exec(compile(code.replace("FOLDER", str(folder)), "how-to-read-a-record.md", "exec"), {})
    told = printed.getvalue()
    assert (len(CODE), len(COMMANDS)) == (4, 2)
    for fact in ("3.98 {'verdict': 'pass'}", "'Current / A': 'A'", "batterydf 0.1.0", "run-1", "-7.5e-13"):
        assert fact in told
    assert RunRecord.open(folder).problems() == []


def told_by(folder: Path, name: str, *words: str | Path) -> Any:
    """What an example prints last, run in the environment of a reader."""
    program = READERS / name / "bin" / "python"
    places = {"TMPDIR": str(folder), "HOME": str(folder)}  # where it leaves what it leaves
    done = subprocess.run(
        [program, *words], capture_output=True, text=True, timeout=110, env=os.environ | places, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


CHARGE_AH = 1e-12 * (N - 1) * 0.1 / 3600


@pytest.mark.readers
@pytest.mark.timeout(120)
def test_pyprobe_reads_a_run(folder: Path) -> None:
    assert main(["export", str(folder), "--format", "ec-lab"]) == 0
    told = told_by(folder.parent, "pyprobe", ROOT / "examples" / "readers" / "with_pyprobe.py", folder / "pstat.mpt")
    assert told["samples"] == 4 * N
    assert told["last_time_s"] == near(30.0 + (N - 1) * 0.1)
    assert told["current_a"] == [near(1e-12)] * 3
    assert told["voltage_v"] == [3.0, 3.02, 3.04]
    assert told["charged_ah"] == near(CHARGE_AH)
    assert told["discharged_ah"] == near(CHARGE_AH * EFFICIENCY)


@pytest.mark.readers
@pytest.mark.timeout(120)
def test_cellpy_reads_a_run(folder: Path) -> None:
    told = told_by(
        folder.parent, "cellpy", ROOT / "examples" / "readers" / "with_cellpy.py", folder / "pstat.bdf.parquet"
    )
    assert told["samples"] == 4 * N
    assert told["last_time_s"] == near(30.0 + (N - 1) * 0.1)
    assert told["current_a"] == ([1e-12] * N + [-0.75e-12] * N) * 2
    assert told["potential_v"][:3] == [3.0, 3.02, 3.04]
    assert told["cycles"] == [1, 2]
    assert told["charged_mah"] == [near(CHARGE_AH * 1e3)] * 2
    assert told["discharged_mah"] == [near(CHARGE_AH * EFFICIENCY * 1e3)] * 2
