"""Independent checks of the current, on wires: a 6430 that is true, and what its own reading does not show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bridge.analysis.current_check import Measured, into_capacitor, open_lead, through_resistor, two_points, within
from bridge.procedures.registry import find
from drivers.errors import InvalidValue, Refused
from mocks.world import World
from tests.near import near

from .bench import Bench
from .test_on_wires import rig

pytestmark = pytest.mark.usefixtures("without_debug")

QUICK: dict[str, Any] = {"duration": 12, "settle": 2, "interval": 0.2, "lead_is_open": True}


def by_name(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in result["checks"]}


async def test_a_picoampere_is_one() -> None:
    """1 pA through 1 GOhm is 1 mV, into 100 pF 10 mV/s (domain note 2.5)."""
    async with rig(World(seed=1), "potentiostat", "feedthrough") as lab:
        result = await lab.do(
            "current-check",
            **QUICK,
            resistance="1 Gohm",
            resistor_route="feedthrough",
            capacitance="100 pF",
            open_route="open",
            leak_voltage="4 V",
        )
        assert lab.source_is_off
    assert result["verdict"] == "pass", result["reason"]
    checks = by_name(result)
    assert list(checks) == [
        "known resistor",
        "two set points, resistor",
        "open lead",
        "known capacitance",
        "two set points, capacitance",
    ]
    assert checks["known resistor"]["current_a"] == near(1e-12, rel=0.05)
    assert checks["known capacitance"]["current_a"] == near(1e-12, rel=0.05)
    assert "10 mV/s of 10 mV/s" in checks["known capacitance"]["text"]
    assert checks["open lead"]["resistance_at_least_ohm"] > 1e13


async def test_what_leaks_beside_the_galvanostat() -> None:
    """A current of 0.4 pA into the lead, from outside the loop: its own reading says 1 pA, volts and seconds 1.4 pA."""
    world = World(noise=False)
    world.terminals("potentiostat", bias_current_a=0.4e-12)
    async with rig(world, "potentiostat", "feedthrough") as lab:
        noise = await lab.do("noise-test", route="feedthrough", current="1 pA", duration=30, settle=1)
        assert noise["mean_a"] == near(1e-12, rel=0.01)
        result = await lab.do(
            "current-check",
            **QUICK,
            resistance="1 Gohm",
            resistor_route="feedthrough",
            capacitance="100 pF",
            open_route="open",
        )
    checks = by_name(result)
    assert result["verdict"] == "fail"
    assert checks["known resistor"]["current_a"] == near(1.4e-12, rel=0.02)
    for name in ("two set points, resistor", "two set points, capacitance"):
        assert checks[name]["offset_a"]["value"] == near(0.4e-12, rel=0.05)
        assert checks[name]["gain"]["value"] == near(1.0, abs=0.02)


async def test_a_leaky_lead_fails() -> None:
    world = World(seed=3)
    world.terminals("potentiostat", input_resistance_ohm=1e12)
    async with rig(world, "potentiostat", "feedthrough") as lab:
        result = await lab.do("current-check", **QUICK, open_route="open", leak_voltage="4 V")
    lead = by_name(result)["open lead"]
    assert lead["verdict"] == "fail"
    assert lead["resistance_ohm"] == near(1e12, rel=0.02)
    assert "1e13 Ohm and more" in lead["text"]


async def test_a_cell_on_the_lead_is_not_driven() -> None:
    """0 V would short it."""
    world = World(noise=False)
    world.tip.touch()
    async with rig(world, "potentiostat", "feedthrough") as lab:
        with pytest.raises(Refused, match="with no current: a cell is on it"):
            await lab.do("current-check", **QUICK, open_route="cell", leak_voltage="4 V")
        assert lab.source_is_off


@pytest.mark.parametrize("cell", ["fig10", "good"])
async def test_no_voltage_is_no_proof_of_an_open_lead(cell: str) -> None:
    """A short, and a discharged cell held at no voltage, look open without current; neither is driven to 4 V."""
    world = World(cell=cell, noise=False)
    world.tip.touch()
    bench = Bench(world)
    if cell == "good":  # its voltage as it would be after a deep discharge
        bench.smu.change = lambda reading, index: reading._replace(voltage_v=0.01)
    procedure = find("current-check")
    with pytest.raises(Refused, match="a discharged cell, a short, or a closed relay is on it"):
        await procedure.run(
            bench, procedure.parse({"lead_is_open": True, "open_route": "cell", "leak_voltage": "4 V", "interval": 0.2})
        )
    assert [entry for entry in bench.smu.record if entry.startswith("on")] == ["on 0", "on 1e-11"]
    assert not bench.smu.on


async def test_the_operator_who_says_stop() -> None:
    bench = Bench(World())
    bench.answers.append("stop")
    procedure = find("current-check")
    with pytest.raises(Refused, match="the lead is not open"):
        await procedure.run(bench, procedure.parse({"capacitance": "100 pF"}))
    assert not any(entry.startswith("on") for entry in bench.smu.record)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "nothing to check against"),
        ({"capacitance": "0 F"}, "accepted: more than 0 F"),
        ({"resistance": "1 Gohm", "current": "-1 pA"}, "accepted: more than 0 A"),
    ],
)
def test_what_is_no_check(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        find("current-check").parse(values)
    assert message in caught.value.message


def test_arithmetic() -> None:
    time = np.arange(100) * 0.1
    assert into_capacitor(time, 0.2 + 0.01 * time, 100e-12).value == near(1e-12)
    assert through_resistor(np.full(50, 1e-3), 1e9).value == near(1e-12)
    both = two_points(Measured(1.2e-12, 3e-14), Measured(-0.8e-12, 4e-14), 1e-12)
    assert both.offset_a.value == near(0.2e-12)
    assert both.offset_a.half_width == near(2.5e-14)
    assert both.gain.value == near(1.0)
    lead = open_lead(np.full(50, 1e-14), np.full(50, 5e-14), 4.0)
    assert lead.resistance_ohm == near(1e14)
    assert within(Measured(1.0, 0.05), 1.0, 0.1) == "pass"
    assert within(Measured(1.2, 0.05), 1.0, 0.1) == "fail"
    assert within(Measured(1.08, 0.05), 1.0, 0.1) == "inconclusive"
