"""The notebook, run by Jupyter's own client from its first cell to its last."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.client.conftest import BenchMaker
from tests.near import near

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"


async def executed(folder: Path, **environment: str) -> list[Any]:
    """The cells with their outputs. A cell that raises ends it, and the test."""
    programs, done = Path(sys.executable).parent, folder / "done.ipynb"
    process = await asyncio.create_subprocess_exec(
        *(str(programs / "jupyter-execute"), "--output", str(done), "--timeout", "120", str(NOTEBOOK)),
        cwd=folder,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", **environment},
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    return list(json.loads(done.read_text())["cells"])


def printed(cell: Any) -> str:
    return "".join("".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream")


def pictures(cell: Any) -> int:
    return sum("image/png" in output.get("data", {}) for output in cell["outputs"])


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("without_debug")
async def test_every_cell_does_what_it_says(bench: BenchMaker, tmp_path: Path) -> None:
    async with bench("pstat", "relays", data_dir=tmp_path / "runs", seed=1) as b:
        b.rig.world.tip.touch()
        cells = {cell["id"]: cell for cell in await executed(tmp_path, PICOBRIDGE_BROKER=b.url)}
        results = [run["result"] for run in map(_result, sorted((tmp_path / "runs").iterdir()))]
    assert "6430" in str(cells["connect"]["outputs"])
    assert printed(cells["noise"]).splitlines()[-1].startswith(f"{results[0]['verdict']} - ")
    assert pictures(cells["noise-plot"]) == pictures(cells["cycle-plot"]) == 1
    said = re.search(r"charged (\S+) Ah; by the samples (\S+) Ah", printed(cells["cycle"]))
    assert said is not None
    charge_ah, by_samples_ah = map(float, said.groups())
    assert charge_ah == near(results[1]["charge_ah"], rel=1e-4)
    assert by_samples_ah == near(charge_ah, rel=0.05)
    assert "'configuration_sha256'" in str(cells["manifest"]["outputs"])


def _result(folder: Path) -> Any:
    return {"result": json.loads((folder / "result.json").read_text())}


def test_it_is_kept_without_outputs() -> None:
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
