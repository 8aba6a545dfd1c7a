"""Each script of `examples/`, run as it stands."""

from __future__ import annotations

import asyncio
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.procedures import user_files
from mocks.instruments.zeiss_remcon import ZeissRemconMock
from mocks.wires import serve
from mocks.world import World
from tests.client.conftest import BenchMaker
from tests.near import near

EXAMPLES = Path(__file__).parents[2] / "examples"


def main_of(name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = runpy.run_path(str(EXAMPLES / name))["main"]
    return function


def test_no_example_is_left_out() -> None:
    tested = {"watch_samples.py", "charge_and_discharge.py", "stage_without_a_broker.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested


async def test_watch_samples(bench: BenchMaker, capsys: pytest.CaptureFixture[str]) -> None:
    async with bench("pstat") as b:
        watching = asyncio.create_task(main_of("watch_samples.py")(b.url, "pstat", 20))
        async with b.lab.listen_to_samples("pstat"):
            while not watching.done():
                await b.lab.pstat.galvanostatic(current_a=5e-12, duration_s=2.0)
        assert abs(await watching - 5e-12) < 1e-12
    assert "0 samples missing, 0 delivered twice" in capsys.readouterr().out


async def test_charge_and_discharge(bench: BenchMaker, capsys: pytest.CaptureFixture[str]) -> None:
    async with bench("pstat", "relays") as b:
        b.rig.world.tip.touch()
        await b.lab.relays.select("cell")
        result = await main_of("charge_and_discharge.py")(
            b.url, capacity_limit_ah_per_m2="10 uAh/cm2", interval_s="0.5 s"
        )
    assert result["charge_ah_per_m2"] == near(0.1, rel=0.02)
    assert "coulombic efficiency" in capsys.readouterr().out


async def test_a_procedure_of_ones_own(bench: BenchMaker) -> None:
    """Through wire, daemon, broker and client; paused by nobody, asked twice, answered by the client."""
    own = tuple(user_files.load(EXAMPLES / "procedures" / "slow_discharge.py"))
    async with bench("pstat", "relays", procedures=own, seed=1) as b:
        b.rig.world.tip.touch()
        await b.lab.relays.select("cell")
        charge = {"current_a": "5 nA", "duration_s": "1 s", "technique": "galvanostatic", "voltage_max_v": "4 V"}
        await b.lab.run("technique", charge, {"potentiostat": "pstat"}, watch=False)
        parameters = {"first": "2 nA", "step": "1 s", "times": 3}
        run = await b.lab.start("slow-discharge", parameters, {"potentiostat": "pstat"}, watch=False)
        choices = iter(["go on", "enough"])
        asked = ""
        async for state in run.states():
            if (question := state["question"]) is not None and question["id"] != asked:
                asked = question["id"]
                await run.answer(next(choices))
        result = await run.result()
    assert [step["current_a"] for step in result["steps"]] == [near(2e-9), near(1e-9)]
    assert result["discharge_ah"] == near(sum(step["discharge_ah"] for step in result["steps"]))
    assert result["steps"][0]["discharge_ah"] > 0


def test_the_document_shows_the_example() -> None:
    text = (EXAMPLES.parent / "docs" / "adding-a-procedure.md").read_text(encoding="utf-8")
    code = text.partition("```python\n")[2].partition("```")[0]
    assert code == (EXAMPLES / "procedures" / "slow_discharge.py").read_text(encoding="utf-8")


async def test_stage_without_a_broker() -> None:
    async with serve(ZeissRemconMock(World(speed=1000, flows=True), "stage")) as served:
        before, after = await main_of("stage_without_a_broker.py")(served.address)
    assert before == after
