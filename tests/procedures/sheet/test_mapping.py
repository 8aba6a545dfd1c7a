"""A map that meets trouble: bad probes, stops, pauses, resumes, marks, frozen limits."""

from __future__ import annotations

import asyncio
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bridge.analysis.sheet import bins, limits
from bridge.analysis.sheet.alignment import align
from bridge.daemon.config import load
from bridge.procedures.sheet.layout import parse_layout
from drivers.errors import DeviceLost, DeviceTimeout, InvalidValue, Refused, RunFailed
from drivers.techniques import Impedance, OpenCircuit
from mocks.world.sheet import Placement, SheetWorld, Wire
from mocks.world.sheet_cells import Defects, SheetCells
from tests.near import near

from .memory import MemoryContext, comb, sheet_table

EXAMPLES = Path(__file__).parents[3] / "examples" / "sheet"
TABLES = {"bins": str(EXAMPLES / "bins.toml"), "limits": str(EXAMPLES / "limits.toml")}


def small(
    rows: int = 8, columns: int = 8, channels: int = 4, defects: Defects | None = None, **world: Any
) -> tuple[SheetWorld, MemoryContext, dict[str, Any]]:
    cells = SheetCells(rows, columns, seed=4, defects=defects or Defects())
    wires, sites = comb("prober", [f"p{n}" for n in range(channels)])
    built = SheetWorld(cells, wires, {"prober": "stage"}, **world)
    head = {"device": "prober", "site": sites, "contact_z": 0, "travel_z": "0.5 mm"}
    return built, MemoryContext(built), sheet_table(cells, [head])


def soft_of(result: dict[str, Any]) -> dict[tuple[int, int], int]:
    cells = result["cells"]
    return dict(zip(zip(cells["row"], cells["column"], strict=True), cells["soft"], strict=True))


async def test_a_bad_contact_is_not_a_bad_cell_and_both_results_are_kept() -> None:
    _, context, sheet = small(miss=0.1, seed=3)
    result = await context.map(sheet=sheet, **TABLES, retests=4, stop_site_after=0)
    assert set(soft_of(result).values()) == {1}
    audit = result["retests"]["audit"]
    assert len(audit) > 3
    assert all(entry["from_soft"] == 8 and entry["from_site"] != entry["to_site"] for entry in audit)
    records = result["records"]
    superseded = [i for i in records["supersedes"] if i is not None]
    assert len(superseded) == len(audit)
    assert all(records["soft"][i] == 8 for i in superseded)
    assert result["yield"] == 1.0


async def test_a_bad_probe_stops_the_run_and_is_named() -> None:
    cells = SheetCells(8, 8, seed=4)
    wires, sites = comb("prober", ["p0", "p1", "p2", "p3"])
    wires["p2"] = [Wire("prober", 0, 2, bad=1.0)]
    context = MemoryContext(SheetWorld(cells, wires, {"prober": "stage"}))
    head = {"device": "prober", "site": sites, "contact_z": 0, "travel_z": "0.5 mm"}
    sheet = sheet_table(cells, [head])
    result = await context.map(sheet=sheet, **TABLES, pilot_cells=16)
    assert result["verdict"] == "stopped"
    assert result["completed"] is False
    assert result["stop"]["rule"] == "site"
    assert result["stop"]["site"] == 3
    assert "site 3 has failed 6 times in a row" in result["reason"]
    assert 24 <= result["cells_measured"] < 64
    assert context.stages["prober"].moves[-1].z_m == near(0.5e-3)
    # what was not measured is not tested, not bad
    assert 90 in soft_of(result).values()


async def test_the_operator_may_go_on_after_a_stop() -> None:
    _, context, sheet = small(defects=Defects(streaks=((3, 0, 8),)))
    context.answers = ["go on"]
    result = await context.map(sheet=sheet, **TABLES, stop_streak_after=6, on_stop="ask", stop_site_after=0)
    assert "cells in a row have failed along the web, at row 3" in context.asked[0].text
    assert result["verdict"] == "completed"
    assert [p for p, soft in soft_of(result).items() if soft == 4] == [(3, c) for c in range(8)]
    assert result["patterns"][0]["kind"] in ("streak along the web", "row")


async def test_aborted_in_the_middle_and_resumed() -> None:
    world, context, sheet = small()
    task = asyncio.ensure_future(context.map(sheet=sheet, **TABLES, pilot_cells=16))

    def count(number: int) -> None:
        if number == 25:
            task.cancel()

    context.stages["prober"].before_move = count
    with pytest.raises(asyncio.CancelledError):
        await task
    before = len(str(context.state["records"]).splitlines())
    assert 0 < before < 64
    again = MemoryContext(world)
    again.saved = context.state
    result = await again.map(sheet=sheet, **TABLES, pilot_cells=16)
    assert result["verdict"] == "completed"
    assert set(soft_of(result).values()) == {1}
    assert len(result["records"]["row"]) == 64
    assert result["limits"]["provenance"]["source"].startswith("pilot cells of sheet 'S1', run run-1")
    # the second run measured only what the first had not
    assert sum(len(channel.swept) for channel in again.channels.values()) <= 64 - before + 1
    again.saved = {**context.state, "sheet": "another"}
    with pytest.raises(Refused, match="measured the sheet 'another', and this is 'S1'"):
        await again.map(sheet=sheet, **TABLES)


async def test_a_lost_channel_ends_the_run_and_what_was_measured_is_kept() -> None:
    world, context, sheet = small()
    calls = 0

    def lose(technique: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 30:
            raise DeviceLost("the cable is out", device="p1")

    context.channels["p1"].before = lose
    with pytest.raises(DeviceLost):
        await context.map(sheet=sheet, **TABLES)
    again = MemoryContext(world)
    again.saved = context.state
    result = await again.map(sheet=sheet, **TABLES)
    assert len(result["records"]["row"]) == 64


async def test_a_spoilt_record_is_made_again_and_three_in_a_row_end_it() -> None:
    _, context, sheet = small()
    failing = {7, 8}
    calls = 0

    def spoil(technique: object) -> None:
        nonlocal calls
        if isinstance(technique, OpenCircuit):
            calls += 1
            if calls in failing:
                raise DeviceTimeout("no answer")

    context.channels["p1"].before = spoil
    result = await context.map(sheet=sheet, **TABLES)
    assert set(soft_of(result).values()) == {1}
    assert sum("could not be recorded" in note for note in context.notes) == 2
    assert [e for e in result["records"]["error"] if e] != []
    failing |= set(range(1000))
    calls = 0
    with pytest.raises(RunFailed, match="3 cells in a row could not be recorded by p1"):
        await context.map(sheet=sheet, **TABLES, check_crosstalk=False)


async def test_paused_at_a_landing_with_everything_off_and_up() -> None:
    _, context, sheet = small()
    stage = context.stages["prober"]

    def ask(number: int) -> None:
        context.pausing = context.pausing or number == 30

    stage.before_move = ask
    result = await context.map(sheet=sheet, **TABLES)
    assert context.pauses == 1
    assert result["verdict"] == "completed"
    assert len(result["records"]["row"]) == 64
    assert result["time"]["over_bound"] < 0.1


async def test_marks_turn_and_shift_the_sheet() -> None:
    placement = Placement(x_m=20e-3, y_m=-3e-3, rotation_deg=2.0, scale=1.0005)
    _, context, sheet = small(placement=placement)
    corners = [(0.0, 0.0), (35e-3, 0.0), (0.0, 35e-3)]
    sheet["mark"] = [{"design": list(c), "seen": list(placement.to_head(*c))} for c in corners]
    result = await context.map(sheet=sheet, **TABLES)
    assert set(soft_of(result).values()) == {1}
    assert result["alignment"]["rotation_deg"] == near(2.0, rel=1e-6)
    assert result["alignment"]["scale_x"] == near(1.0005, rel=1e-9)
    moved = context.stages["prober"].moves
    assert {round(m.z_m, 9) for m in moved} == {0.0, 0.5e-3}
    # never across while down
    for before, after in pairwise(moved):
        if (before.x_m, before.y_m) != (after.x_m, after.y_m):
            assert before.z_m == after.z_m == near(0.5e-3)


async def test_the_operator_finds_the_marks_and_a_mistaken_one_is_refused() -> None:
    world, context, sheet = small()
    corners = [(0.0, 0.0), (35e-3, 0.0), (0.0, 35e-3)]
    sheet["mark"] = [{"design": list(c)} for c in corners]
    context.answers = ["it is there"] * 3
    places = iter([(1e-3, 0.0), (36e-3, 0.0), (1e-3, 34e-3)])  # the last one is a millimetre off
    context.on_ask = lambda question: world.head("prober").chamber.set_stage(*next(places))
    with pytest.raises(Refused, match="um off a sheet that is only shifted, turned and scaled"):
        await context.map(sheet=sheet, **TABLES)
    assert not context.stages["prober"].moves
    assert "mark at x 35 mm, y 0 mm" in context.asked[1].text


async def test_skipped_cells_are_not_touched() -> None:
    _, context, sheet = small()
    sheet["skip"] = ["r0", "c3", "r6c6:r7c7"]
    result = await context.map(sheet=sheet, **TABLES)
    untested = {place for place, soft in soft_of(result).items() if soft == 90}
    assert len(untested) == 8 + 7 + 4 == result["cells_skipped"]
    assert result["cells_judged"] == 64 - 19
    records = result["records"]
    assert not untested & set(zip(records["row"], records["column"], strict=True))


async def test_limits_are_frozen_for_the_lot(tmp_path: Path) -> None:
    frozen = tmp_path / "L1.toml"
    _, context, sheet = small()
    first = await context.map(sheet=sheet, **TABLES, frozen_limits=str(frozen))
    written = frozen.read_text()
    assert 'lot = "L1"' in written
    _, context, sheet = small(seed=99)
    second = await context.map(sheet=sheet | {"sheet": "S2"}, **TABLES, frozen_limits=str(frozen))
    assert second["limits"]["limits"] == first["limits"]["limits"]
    assert "pilot cells" not in [step for step, *_ in context.steps]
    assert frozen.read_text() == written
    assert set(second["limits_drift_mad"]) == {"ocv_v", "ocv_std_v", "z_1khz_ohm"}
    with pytest.raises(InvalidValue, match="is of the lot 'L1'; this sheet is of 'L2'"):
        await context.map(sheet=sheet | {"lot": "L2"}, **TABLES, frozen_limits=str(frozen))


async def test_a_limit_that_is_nowhere_is_refused() -> None:
    _, context, sheet = small()
    with pytest.raises(InvalidValue, match=r"bin 3 \(short\) needs the limit ocv_v.low.*never from the program"):
        await context.map(sheet=sheet, bins=TABLES["bins"], limits="[constants]\nshort_ohm = 100\n"
                          "contact_ohm = 5e3\nkk_limit = 1\nrepeat_limit = 1\n")  # fmt: skip
    assert not context.stages["prober"].moves


async def test_impedance_only_where_and_as_far_as_it_tells_something() -> None:
    """Shorts and opens get two points; cells near a limit go down to the lowest frequency; the rest to the rules'."""
    world, context, sheet = small(defects=Defects(shorts=4, opens=2, weak=3))
    fixed = """
        [limits.ocv_v]
        low = 0.32
        high = 0.39
        [limits.ocv_std_v]
        high = 1e-3
        [limits.z_1khz_ohm]
        low = 0
        high = 1550
        [constants]
        contact_ohm = 5e3
        short_ohm = 700
        leak_drop_v = 2e-3
        z_grade_a_ohm = 1300
        kk_limit = 0.05
        repeat_limit = 0.05
    """
    result = await context.map(
        sheet=sheet, bins=TABLES["bins"], limits=fixed, frequency_min="0.1 Hz", check_crosstalk=False
    )
    records = result["records"]
    depth = {
        place: (records["values"]["points"][i], records["values"]["frequency_low_hz"][i])
        for i, place in enumerate(zip(records["row"], records["column"], strict=True))
    }
    for place, kind in world.sheet.truth.items():
        points, low = depth[place]
        if kind in ("short", "open"):
            assert (points, low) == (2, 1000.0)
        elif kind == "weak":
            assert (points, low) == (13 + 24, near(0.1))
        else:
            assert (points, low) == (13, 1000.0)
    weak = [place for place, kind in world.sheet.truth.items() if kind == "weak"]
    assert {soft_of(result)[place] for place in weak} == {2}
    first = next(iter(context.channels.values())).swept[0]
    assert isinstance(first, Impedance)
    assert first.bias_v == near(0.35, abs=0.02)


async def test_bins_by_a_fitted_quantity() -> None:
    world, context, sheet = small(rows=2, columns=4, defects=Defects(weak=2))
    rules = """
        [[bin]]
        soft = 2
        hard = 2
        when = "fit_r1 > 900"
        pass = true
        [[bin]]
        soft = 1
        hard = 1
        when = "true"
        pass = true
    """
    result = await context.map(
        sheet=sheet, bins=rules, limits="[constants]\nunused = 1\n", check_crosstalk=False, frequency_needed="10 Hz",
        frequency_max="1 MHz", fit_circuit="R0-p(R1,C1)-p(R2,C2)-W1", fit_guess="10, 700, 1e-9, 500, 1e-7, 300",
    )  # fmt: skip
    for place, kind in world.sheet.truth.items():
        assert soft_of(result)[place] == (2 if kind == "weak" else 1)
    r1 = [v for v, s in zip(result["records"]["values"]["fit_r1"], result["records"]["soft"], strict=True) if s == 1]
    assert sorted(r1)[3] == near(750, rel=0.05)


async def test_live_yield_is_told_while_it_runs() -> None:
    _, context, sheet = small(defects=Defects(shorts=6))
    seen: list[dict[str, Any]] = []
    context.on_progress = lambda values: seen.append(values)
    await context.map(sheet=sheet, **TABLES)
    told = [values for values in seen if values.get("judged")]
    assert told
    assert {"yield", "yield_low", "yield_high", "cells", "of", "cells_per_hour", "remaining_s"} <= set(told[-1])
    assert 0 < told[-1]["yield"] <= 1


async def test_whoever_looks_on_sees_what_the_result_says() -> None:
    """With pilot cells, whose bins come later, and with cells that are touched again."""
    _, context, sheet = small(miss=0.1, seed=3)
    result = await context.map(sheet=sheet, **TABLES, retests=4, stop_site_after=0, pilot_cells=16)
    header = context.headers[-1]
    for key in ("row", "column", "x_m", "y_m"):
        assert header["cells"][key] == result["cells"][key]
    assert header["bin_table"] == result["bin_table"]
    assert header["limits"] == result["limits"]["limits"]
    assert context.headers[0]["limits"] == {}, "the pilot cells were shown before there were limits"
    assert context.shown[0]["soft"] == header["untested"]
    newest = {item["record"]: item for item in context.shown}
    records = result["records"]
    assert sorted(newest) == list(range(len(records["row"])))
    for index, item in newest.items():
        for key in ("row", "column", "site", "visit", "soft", "hard", "supersedes", "error"):
            assert item[key] == records[key][index], (index, key)
        assert item["values"]["ocv_v"] == records["values"]["ocv_v"][index]


async def test_targets_beyond_the_stage_are_refused_before_it_moves() -> None:
    _, context, sheet = small()
    context.stages["prober"].limits["x_m"] = (0.0, 0.01)
    with pytest.raises(Refused, match="the sheet needs x_m"):
        await context.map(sheet=sheet, **TABLES)
    assert not context.stages["prober"].moves


async def test_a_probe_that_the_stage_cannot_bring_there_is_not_asked_for() -> None:
    """Another probe would be better for the second visit, but the stage ends before it."""
    _, context, sheet = small(miss=0.15, seed=3)
    context.stages["prober"].limits["x_m"] = (0.0, 0.0201)
    result = await context.map(sheet=sheet, **TABLES, retests=5, stop_site_after=0)
    assert set(soft_of(result).values()) == {1}
    assert result["retests"]["records"] > 3
    assert max(move.x_m for move in context.stages["prober"].moves) <= 0.0201


def test_the_examples_fit_together() -> None:
    layout = parse_layout(tomllib.loads((EXAMPLES / "sheet.toml").read_text()), EXAMPLES)
    assert len(layout.cells) == 10_000
    assert len(layout.skipped) == 104
    marks = align([m.design_m for m in layout.marks], [m.seen_m for m in layout.marks if m.seen_m])
    assert marks.rotation_deg == near(0.05, rel=1e-3)
    bins.loads((EXAMPLES / "bins.toml").read_text()).check(limits.loads((EXAMPLES / "limits.toml").read_text()))
    devices = load(EXAMPLES / "picobridge.toml").devices
    routes = devices["board"].options["routes"]
    for head in layout.heads:
        assert devices[head.device].driver == "zeiss-remcon"
        assert {site.route for site in head.sites} <= set(routes)
        assert all(devices[site.channel].driver == "methodscript" for site in head.sites)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"grid": {"rows": 2, "columns": 2}}, "grid has no pitch"),
        ({"positions": [[0, 0, 0, 0]]}, "grid and positions; accepted: one of"),
        ({"head": []}, r"no \[\[head\]\]"),
        ({"head": [{"device": "prober", "site": []}]}, r"no \[\[head.site\]\]"),
        ({"head": [{"device": "prober", "site": [{"channel": "p0"}], "contact_z": 0}]}, "contact_z or travel_z alone"),
        (
            {"head": [{"device": "prober", "site": [{"channel": "p0"}, {"channel": "p1"}]}]},
            "two sites are at one place",
        ),
        ({"mark": [{"design": [0, 0]}]}, "1 marks; accepted: none .* or three or more"),
        ({"skip": ["r99"]}, "'r99' is none of the sheet's cells"),
        ({"colour": "red"}, "'colour' is not known; accepted: lot, sheet"),
    ],
)
async def test_a_wrong_sheet_is_told(change: dict[str, Any], told: str) -> None:
    _, context, sheet = small()
    with pytest.raises(InvalidValue, match=told):
        await context.map(sheet=sheet | change, **TABLES)
    assert not context.stages["prober"].moves


async def test_wrong_parameters_are_told() -> None:
    _, context, sheet = small()
    for change, told in (
        ({"ocv": "0.2 s"}, "ocv_s is 0.2 s; at least four intervals"),
        ({"frequency_needed": "1 MHz"}, "frequency_needed_hz is 1e\\+06 Hz, above frequency_max_hz"),
        ({"fit_circuit": "R0"}, "fit_circuit and fit_guess go together"),
        ({"fit_circuit": "R0-p(R1,C1)", "fit_guess": "1, 2"}, "2 guesses"),
        ({"shared_terminal": "maybe"}, "accepted: floating, staggered"),
        ({"bins": "/nowhere/bins.toml"}, "bins: /nowhere/bins.toml cannot be read"),
        ({"limits": 7}, "limits is 7; accepted"),
    ):
        with pytest.raises(InvalidValue, match=told):
            await context.map(**{"sheet": sheet, **TABLES, **change})
    assert not context.stages["prober"].moves
