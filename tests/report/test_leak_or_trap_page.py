"""The page of leak-or-trap: what it says, and that its pictures are drawn."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.report.leak_or_trap_page import figures
from bridge.report.page import summary_of
from mocks.world import World
from tests.procedures.bench import Bench

from .test_page import run


async def leak_or_trap(preset: str, **values: Any) -> tuple[dict[str, Any], Any]:
    world = World(cell=preset, noise=False, preset_events=False, stray_f=1e-15)
    world.tip.touch()
    asked = {
        "route": "cell",
        "current_density": "60 uA/cm2",
        "area": "10 um2",
        "capacity_limit": "30 uAh/cm2",
        "interval": "6 s",
    }
    return await run(Bench(world), "leak-or-trap", **asked, **values)


@pytest.mark.parametrize("values", [{}, {"method": "rest"}], ids=["second-rate", "rest"])
async def test_a_leak_is_said_with_its_uncertainty(values: dict[str, Any]) -> None:
    result, blocks = await leak_or_trap("fig9_leak", **values)
    page = summary_of(result)
    assert (page.verdict, page.tone) == ("leak", "fail")
    said = {row[0]: row[1] for row in page.rows}
    assert "±" in said["Leak"]
    assert "TOhm" in said["As a resistance"]
    assert page.tables[0].rows[0][1] == "6 pA"
    ((name, figure),) = figures(result, {"smu": blocks})
    assert name == "leak-or-trap"
    voltage, decisive = figure.axes
    assert len(voltage.lines) >= len(result["steps"])
    assert decisive.has_data()


async def test_a_run_that_was_stopped_has_a_page_too() -> None:
    result, blocks = await leak_or_trap("fig9")
    unfinished = {**result, "verdict": "undecided", "evidence": None, "leak_a": None, "leak_resistance_ohm": None}
    unfinished |= {"returned_share": None, "cycles": [{"cycle": 1, "ratio": None}]}
    assert summary_of(unfinished).tone == "doubt"
    assert ("Leak", "not known") in list(summary_of(unfinished).rows)
    assert len(figures(unfinished, {"smu": blocks})) == 1
    assert figures(result, {}) == []
