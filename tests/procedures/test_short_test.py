"""A short is told from a cell by two levels of current (domain note, section 4)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.procedures.registry import find
from bridge.procedures.short_test import Level, judge
from drivers.errors import InvalidValue, Refused
from drivers.samples import EndReason
from mocks.world import World
from tests.near import near

from .bench import KEITHLEY_2450, Bench

PROCEDURE = find("short-test")


async def short_test(world: World, **values: Any) -> dict[str, Any]:
    bench = Bench(world)
    world.tip.touch()
    result = await PROCEDURE.run(bench, PROCEDURE.parse({"route": "cell", **values}))
    assert bench.smu.record[-1] == "off"
    json.dumps(result, allow_nan=False)
    return result


async def test_fig10_is_a_short_of_10_gohm() -> None:
    """5 pA into 10 GOhm are 50 mV, 10 pA 100 mV, none nothing."""
    result = await short_test(World(cell="fig10", seed=4), current_density="50 uA/cm2", area="10 um2")
    assert result["verdict"] == "short", result["reason"]
    assert result["resistance_ohm"] == near(10e9, rel=0.02)
    zero, one, two = (level["voltage_v"] for level in result["levels"])
    assert (zero, one, two) == (near(0.0, abs=2e-3), near(0.05, abs=2e-3), near(0.1, abs=2e-3))


@pytest.mark.parametrize("cell", ["good", "fig8a_nominal", "fig9", "fig9_leak"])
async def test_a_living_cell_is_no_short(cell: str) -> None:
    result = await short_test(World(cell=cell, seed=4), current="5 pA")
    assert result["verdict"] == "no short", result["reason"]


async def test_an_open_lead_is_no_proof_of_a_cell() -> None:
    """Without a cell the lead's capacitance ramps to the limit: 5 pA into 100 pF is 50 mV/s."""
    bench = Bench(World())
    result = await PROCEDURE.run(bench, PROCEDURE.parse({"current": "50 pA", "pulse": "10 s", "route": "cell"}))
    assert result["verdict"] == "undecided"
    assert "no cell was seen" in result["reason"]
    assert not bench.smu.on


async def test_relays_that_are_all_open_are_not_driven() -> None:
    bench = Bench(World())
    with pytest.raises(Refused, match="every route of relays is open"):
        await PROCEDURE.run(bench, PROCEDURE.parse({"current": "5 pA"}))
    assert not any(entry.startswith("on") for entry in bench.smu.record)


async def test_an_instrument_that_cannot_is_refused() -> None:
    with pytest.raises(Refused, match="a short test at 5 pA"):
        await PROCEDURE.run(Bench(World(), KEITHLEY_2450), PROCEDURE.parse({"current": "5 pA", "route": "cell"}))


def level(current_a: float, voltage_v: float, *, error_v: float = 1e-5, change_v: float = 0.0) -> Level:
    return Level(current_a, voltage_v, error_v, change_v, EndReason.DURATION)


@pytest.mark.parametrize(
    ("levels", "verdict", "words"),
    [
        ([level(0, 0.001), level(1e-12, 0.01), level(2e-12, 0.02)], "short", "10 GOhm in parallel"),
        ([level(0, 0.5), level(1e-12, 0.51), level(2e-12, 0.52)], "no short", "a voltage of its own"),
        ([level(0, 0.0), level(1e-12, 0.01), level(2e-12, 0.03)], "no short", "3 times as high"),
        ([level(0, 0.0), level(1e-12, 0.01), level(2e-12, 0.02, change_v=0.01)], "no short", "rises with the charge"),
        ([level(0, 0.0), level(1e-12, 1e-6), level(2e-12, 2e-6)], "short", "less than 25 MOhm"),
        ([level(0, 0.0), level(1e-12, -0.01), level(2e-12, -0.02)], "undecided", "against the current"),
    ],
)
def test_verdicts(levels: list[Level], verdict: str, words: str) -> None:
    found, reason, _ = judge(levels)
    assert found == verdict
    assert words in reason


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "exactly one of current_a and current_density"),
        ({"current_density": "50 uA/cm2"}, "needs area_m2"),
        ({"current": "1 pA", "pulse": "0.5 s"}, "at least ten intervals"),
        ({"current": "0 pA"}, "accepted: more than 0 A"),
    ],
)
def test_what_is_no_test(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        PROCEDURE.parse(values)
    assert message in caught.value.message
