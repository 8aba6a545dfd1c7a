"""Each script of `examples/`, run as it stands."""

from __future__ import annotations

import asyncio
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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


async def test_stage_without_a_broker() -> None:
    async with serve(ZeissRemconMock(World(speed=1000, flows=True), "stage")) as served:
        before, after = await main_of("stage_without_a_broker.py")(served.address)
    assert before == after
