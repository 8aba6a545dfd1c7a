"""The noise test over several routes, on the world's noise paths."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.procedures.registry import find
from bridge.report.registry import page_of
from drivers.errors import InvalidValue
from mocks.world import World
from tests.near import near

from .bench import Bench
from .test_on_wires import rig

pytestmark = pytest.mark.usefixtures("without_debug")

PROCEDURE = find("noise-survey")


async def survey(bench: Bench, **values: Any) -> dict[str, Any]:
    return await PROCEDURE.run(bench, PROCEDURE.parse(values))


async def test_the_routes_of_the_paper() -> None:
    bench = Bench(World(seed=1))
    result = await survey(bench)
    assert result["verdict"] == "pass"
    shielded, unshielded = result["comparison"]
    assert (shielded["route"], shielded["set_current_a"]) == ("feedthrough", 1e-12)
    assert (unshielded["route"], unshielded["set_current_a"]) == ("manipulator-ground", 10e-12)
    assert unshielded["mains_a_rms"]["50 Hz"] == near(121e-12, rel=0.02)
    assert result["advice"] == []  # the mains of one route is not the others'
    assert [part["procedure"] for part in result["parts"]] == ["noise-test"] * 2
    routes = [entry for entry in bench.smu.record if entry.startswith("route")]
    assert routes == ["route feedthrough", "route manipulator-ground"]
    assert bench.smu.record[-1] == "off"
    json.dumps(result, allow_nan=False)
    page = page_of("noise-survey").summary(result)
    assert page.tables[0].rows[1][0] == "manipulator-ground"


async def test_mains_beyond_the_range_is_not_called_none() -> None:
    """A 6430 on its 10 pA range holds 1 pA with 150 pA of mains beside it while it integrates over whole cycles, and
    goes over range as soon as it does not."""
    async with rig(World(seed=1), "potentiostat", "feedthrough") as lab:
        part = await lab.do("noise-test", route="manipulator-ground", current="1 pA", duration=60, settle=5)
    assert part["burst"] == {"rate_hz": None, "lines": [], "overloaded": True}
    assert "pick-up beyond the range" in [advice["cause"] for advice in part["advice"]]


async def test_one_route_that_is_not_quiet_decides() -> None:
    result = await survey(Bench(World()), routes="feedthrough=1pA, manipulator-ground=1pA", duration=100, settle=10)
    assert result["verdict"] == "fail"
    assert result["reason"] == "quiet enough: feedthrough; not: manipulator-ground"


@pytest.mark.parametrize(
    ("routes", "message"),
    [
        ("feedthrough", "routes has 'feedthrough'; accepted: ROUTE=CURRENT"),
        ("feedthrough=1V", "the current of feedthrough is '1V'"),
        ("cell=1pA, cell=2pA", "routes has 'cell' twice"),
        ("feedthrough=1pA, moon=1pA", "route 'moon' is not known"),
    ],
)
async def test_a_survey_that_cannot_be(routes: str, message: str) -> None:
    bench = Bench(World())
    with pytest.raises(InvalidValue) as caught:
        await survey(bench, routes=routes)
    assert message in caught.value.message
    assert bench.smu.record == []
