"""The sheet of ten thousand cells: every bin is the truth, every cell has one, and the time is the bound's."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from mocks.world.sheet import SheetWorld
from mocks.world.sheet_cells import Defects, SheetCells
from tests.near import near

from .memory import MemoryContext, comb, sheet_table

EXAMPLES = Path(__file__).parents[3] / "examples" / "sheet"

#: the bin that each kind of cell belongs in, by examples/sheet/bins.toml
SOFT = {"good": 1, "weak": 2, "short": 3, "soft short": 3, "open": 4, "leaky": 5, "outlier": 6, "streak": 4, "pitch": 4}

DEFECTS = Defects(
    shorts=50,
    soft_shorts=30,
    opens=25,
    leaky=25,
    outliers=25,
    weak=40,
    streaks=((37, 20, 18),),
    pitches=((71, 3, 12),),
)


async def test_ten_thousand_cells() -> None:
    # debug mode keeps a stack for each of 200 000 callbacks: the small sheets have it, here it would be half the time
    asyncio.get_running_loop().set_debug(False)
    cells = SheetCells(100, 100, seed=3, defects=DEFECTS)
    wires, sites = comb("prober", [f"p{number}" for number in range(8)])
    world = SheetWorld(cells, wires, {"prober": "stage"}, miss=0.004, seed=1)
    context = MemoryContext(world)
    head = {"device": "prober", "site": sites, "contact_z": 0, "travel_z": "0.5 mm"}
    result = await context.map(
        sheet=sheet_table(cells, [head]),
        bins=str(EXAMPLES / "bins.toml"),
        limits=str(EXAMPLES / "limits.toml"),
        ocv="1 s",
        ocv_interval="0.2 s",
        points_per_decade=4,
        retests=3,
    )
    assert result["verdict"] == "completed", result["reason"]
    mapped = result["cells"]
    found = dict(zip(zip(mapped["row"], mapped["column"], strict=True), mapped["soft"], strict=True))
    truth = cells.truth
    assert len(found) == 10_000
    wrong = {place: (truth[place], soft) for place, soft in found.items() if soft != SOFT[truth[place]]}
    assert wrong == {}
    assert None not in mapped["record"]
    assert Counter(truth.values())["short"] == 50
    # bad contacts were there, were touched again, and are kept
    assert result["retests"]["records"] > 20
    assert len(result["records"]["row"]) == 10_000 + result["retests"]["records"]
    assert all(entry["from_soft"] == 8 for entry in result["retests"]["audit"])
    # the yield of the truth, and within its own interval
    good = sum(kind in ("good", "weak") for kind in truth.values())
    assert result["passed"] == good
    assert result["yield"] == near(good / 10_000)
    assert result["yield_low"] < good / 10_000 < result["yield_high"]
    assert result["stacks"]["yield_unsorted"] == near((good / 10_000) ** 6)
    # what lies in lines is found as lines
    kinds = {(p["kind"], p.get("row", p.get("rows", [None])[0])) for p in result["patterns"]}
    assert ("streak along the web", 37) in kinds
    pitch = [p for p in result["patterns"] if p["kind"] == "repeated pitch"]
    assert [(p["row"], p["pitch_columns"], p["first_column"]) for p in pitch] == [(71, 12, 3)]
    # the pipeline: within a tenth of the bound, the head never waits
    time = result["time"]
    assert time["limited_by"] == "head prober"
    assert 0 <= time["over_bound"] < 0.01
    assert time["occupancy"]["prober"]["occupancy"] > 0.99
    assert time["cells_per_hour"] > 5_000
