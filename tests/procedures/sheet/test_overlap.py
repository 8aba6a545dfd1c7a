"""Resources side by side: two heads on one channel, impedances one at a time, the bound, the occupancy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivers.errors import InvalidValue, Unsupported
from mocks.world.sheet import SheetWorld, Wire
from mocks.world.sheet_cells import SheetCells
from tests.near import near

from .memory import MemoryContext, comb, sheet_table

EXAMPLES = Path(__file__).parents[3] / "examples" / "sheet"
TABLES = {"bins": str(EXAMPLES / "bins.toml"), "limits": str(EXAMPLES / "limits.toml")}


def two_heads(coils: int = 1) -> tuple[SheetWorld, MemoryContext, dict[str, Any]]:
    """Two probers, each with one probe, and one channel that a relay gives to either."""
    cells = SheetCells(8, 20, seed=5)
    wires = {"p0": [Wire("left", coil=0), Wire("right", coil=1)]}
    world = SheetWorld(cells, wires, {"left": "stage", "right": "stage"}, seed=2)
    context = MemoryContext(world, {"a": [0], "b": [1]})
    heads = [
        {"device": name, "site": [{"channel": "p0", "route": route}]} for name, route in (("left", "a"), ("right", "b"))
    ]
    return world, context, sheet_table(cells, heads)


async def test_one_channel_under_two_heads_never_waits_for_motion() -> None:
    _, context, sheet = two_heads()
    result = await context.map(sheet=sheet, **TABLES)
    time = result["time"]
    assert result["verdict"] == "completed"
    assert result["passed"] == 160
    # measuring and switching is all that the slowest resource does
    assert time["limited_by"] == "multiplexer"
    assert time["over_bound"] < 0.02
    busy = time["occupancy"]["p0"]["busy_s"] + time["occupancy"]["board"]["busy_s"]
    assert busy / time["elapsed_s"] > 0.97
    # moves took their time, and none of the whole
    moving = sum(time["occupancy"][name]["busy_s"] for name in ("left", "right"))
    assert moving > 0.2 * time["elapsed_s"]
    assert context.board is not None
    assert len(context.board.selected) == 160


async def test_one_head_takes_what_the_plan_says() -> None:
    """No overlap is possible with one head: the time is the sum, and so is the bound."""
    cells = SheetCells(4, 5, seed=5)
    wires, sites = comb("prober", ["p0"])
    context = MemoryContext(SheetWorld(cells, wires, {"prober": "stage"}), start_s=1.0, speed_m_per_s=1e6)
    sheet = sheet_table(cells, [{"device": "prober", "site": sites}])
    result = await context.map(sheet=sheet, **TABLES, pilot_cells=20, settle=0, frequency_needed="1 kHz")
    sweep = sum(0.05 + 3 / 10 ** (5 - i / 6) for i in range(13))
    assert result["time"]["elapsed_s"] == near(20 * (1.0 + 2.0 + sweep), rel=1e-4)
    assert result["time"]["over_bound"] < 1e-6


def grounded(floating: bool, **more: Any) -> tuple[SheetWorld, MemoryContext, dict[str, Any]]:
    cells = SheetCells(6, 16, seed=5)
    wires, sites = comb("prober", ["p0", "p1", "p2", "p3"])
    world = SheetWorld(cells, wires, {"prober": "stage"}, floating=floating, **more)
    return world, MemoryContext(world), sheet_table(cells, [{"device": "prober", "site": sites}])


async def test_channels_that_hear_each_other_are_staggered() -> None:
    world, context, sheet = grounded(floating=False)
    result = await context.map(sheet=sheet, **TABLES)
    assert result["crosstalk"]["passed"] is False
    assert result["crosstalk"]["worst_v"] == near(2e-3 / 2**0.5, rel=0.2)
    assert result["staggered"] is True
    assert any("hear each other" in note for note in context.notes)
    assert world.clashes == 0
    assert result["passed"] == 96
    assert result["time"]["over_bound"] < 0.1


async def test_floating_channels_measure_at_once() -> None:
    world, context, sheet = grounded(floating=True)
    result = await context.map(sheet=sheet, **TABLES)
    assert result["crosstalk"]["passed"] is True
    assert result["staggered"] is False
    assert world.clashes > 0
    assert result["passed"] == 96


async def test_staggered_from_the_start_needs_no_check() -> None:
    world, context, sheet = grounded(floating=False)
    result = await context.map(sheet=sheet, **TABLES, shared_terminal="staggered", check_crosstalk=False)
    assert result["crosstalk"] is None
    assert world.clashes == 0
    assert result["passed"] == 96


async def test_one_channel_through_a_multiplexer_to_eight_probes() -> None:
    """One potentiostat and one relay board: the whole of a small rig."""
    cells = SheetCells(4, 16, seed=5)
    wires = {"p0": [Wire("prober", 0, column, coil=column) for column in range(8)]}
    world = SheetWorld(cells, wires, {"prober": "stage"})
    context = MemoryContext(world, {f"s{n}": [n] for n in range(8)})
    sites = [{"channel": "p0", "route": f"s{n}", "column": n} for n in range(8)]
    result = await context.map(sheet=sheet_table(cells, [{"device": "prober", "site": sites}]), **TABLES)
    assert result["passed"] == 64
    assert result["time"]["over_bound"] < 0.1
    assert {s["number"] for s in result["statistics"]["sites"]} == set(range(1, 9))


async def test_a_fixture_needs_no_motion() -> None:
    cells = SheetCells(1, 8, seed=5)
    wires = {"p0": [Wire("nest", 0, column, coil=column) for column in range(8)]}
    context = MemoryContext(SheetWorld(cells, wires, {"nest": "stage"}), {f"s{n}": [n] for n in range(8)})
    sites = [{"channel": "p0", "route": f"s{n}", "column": n} for n in range(8)]
    result = await context.map(sheet=sheet_table(cells, [{"site": sites}]), **TABLES, pilot_cells=8)
    assert result["passed"] == 8
    assert not context.stages["nest"].moves


async def test_refusals_name_what_is_missing_and_nothing_moves() -> None:
    _, context, sheet = two_heads()
    board, context.board = context.board, None
    with pytest.raises(InvalidValue, match=r"routes.*no feedthrough"):
        await context.map(sheet=sheet, **TABLES)
    context.board = board
    sheet["head"][0]["site"][0]["route"] = "z"
    with pytest.raises(InvalidValue, match="route 'z' is not known to board; accepted: open, a, b"):
        await context.map(sheet=sheet, **TABLES)
    sheet["head"][0]["site"][0] |= {"route": "a", "channel": "p9"}
    with pytest.raises(InvalidValue, match="'p9', which is no potentiostat of this run; accepted: p0"):
        await context.map(sheet=sheet, **TABLES)
    sheet["head"][0]["site"][0]["channel"] = "p0"
    sheet["head"][0]["device"] = "arm"
    with pytest.raises(InvalidValue, match="'arm', which is no stage or manipulator"):
        await context.map(sheet=sheet, **TABLES)
    sheet["head"][0]["device"] = "left"
    context.channels["p0"].techniques = frozenset({"open_circuit"})
    with pytest.raises(Unsupported, match="cannot do impedance"):
        await context.map(sheet=sheet, **TABLES)
    assert not any(stage.moves for stage in context.stages.values())
