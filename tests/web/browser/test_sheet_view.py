"""The sheet: each cell as its record says, filling in, thousands at no cost, to be walked over without a mouse."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.procedures.sheet.test_mapping import TABLES, small
from tests.web.conftest import SiteMaker

from .conftest import Visitor
from .own_results import begin, go_on, telling

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

ROWS, COLUMNS = 50, 100
BINS = [
    {"soft": 8, "hard": 8, "name": "contact fail", "when": "", "pass": False, "retest": True},
    {"soft": 3, "hard": 3, "name": "short", "when": "", "pass": False, "retest": False},
    {"soft": 1, "hard": 1, "name": "grade A", "when": "true", "pass": True, "retest": False},
    {"soft": 90, "hard": 9, "name": "not tested", "when": "true", "pass": False, "retest": False},
]
HEADER = {
    "kind": "sheet-map",
    "lot": "L1",
    "sheet": "S7",
    "web": "+x",
    "pitch_m": [5e-3, 5e-3],
    "cells": {
        "row": [n // COLUMNS for n in range(ROWS * COLUMNS)],
        "column": [n % COLUMNS for n in range(ROWS * COLUMNS)],
        "x_m": [n % COLUMNS * 5e-3 for n in range(ROWS * COLUMNS)],
        "y_m": [n // COLUMNS * 5e-3 for n in range(ROWS * COLUMNS)],
    },
    "skipped": [[0, 5]],
    "bin_table": BINS,
    "untested": 90,
    "limits": {"ocv_v": {"low": 0.3, "high": 0.4}},
}


def record(number: int, cell: int, soft: int, *, visit: int = 1, supersedes: int | None = None) -> dict[str, Any]:
    return {
        "record": number,
        "row": cell // COLUMNS,
        "column": cell % COLUMNS,
        "head": "prober",
        "site": cell % 4 + 1,
        "channel": f"p{cell % 4}",
        "visit": visit,
        "started_s": 2.0 * number,
        "duration_s": 2.0,
        "at_ns": 1_767_225_600_000_000_000 + number * 2_000_000_000,
        "soft": soft,
        "hard": soft,
        "supersedes": supersedes,
        "error": "",
        "values": {"ocv_v": 0.35 + 1e-5 * cell, "z_1khz_ohm": 1181.0 if soft == 1 else 10.0},
    }


#: Of the cells of a row that are not as empty as the first one: the colour of a corner, where no sign is.
_COLOURS = """
([row, first]) => {
    const map = document.querySelector(".sheet-map canvas");
    const [wide, high] = [(map.width - 41) / 100, (map.height - 27) / 50];
    const pixels = map.getContext("2d").getImageData(0, 0, map.width, map.height).data;
    const at = (column) => {
        const place = 4 * (map.width * Math.round(26 + (49 - row) * high) + Math.round(40 + column * wide));
        return "#" + [...pixels.slice(place, place + 3)].map((part) => part.toString(16).padStart(2, "0")).join("");
    };
    const found = Array.from({ length: 100 }, (_, column) => [row * 100 + column, at(column)]);
    return Object.fromEntries(found.filter(([, colour]) => colour !== found[0][1]));
}
"""


async def counts(page: Page) -> dict[str, int]:
    found = await page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('[data-bin]')]"
        ".map(({dataset}) => [dataset.bin, Number(dataset.count)]))"
    )
    return dict(found)


async def drawn(page: Page, filled: int) -> None:
    await expect(page.locator(".sheet-map canvas")).to_have_attribute("data-filled", str(filled))


async def test_five_thousand_cells_fill_in(site: SiteMaker, visit: Visitor) -> None:
    cells = [n for n in range(ROWS * COLUMNS) if n != 5]
    soft = {cell: 3 if cell % 50 == 0 else 8 if cell == 77 else 1 for cell in cells}
    records = [record(number, cell, soft[cell]) for number, cell in enumerate(cells)]
    again = record(len(records), 77, 1, visit=2, supersedes=76)
    reason = {
        "rule": "streak",
        "row": 3,
        "text": "6 cells in a row have failed along the web",
        "cells": [[3, 1], [3, 2]],
    }
    steps = [
        (
            {**HEADER, "progress": {"passed": 9, "judged": 10, "yield": 0.9, "yield_low": 0.55, "yield_high": 0.99}},
            records[:1200],
        ),
        (None, records[1200:]),
        ({**HEADER, "progress": {"stopped": reason}}, [again]),
    ]
    async with site(procedures=(telling("sheet-map", steps, {}),)) as s, visit(s) as v:
        await v.open("sheet")
        await v.shows(".empty", "No sheet has been mapped yet")
        run = await begin(s, "sheet-map")
        await drawn(v.page, 1200)
        assert await counts(v.page) == {"1": 1174, "3": 25, "8": 1, "90": 3800, "skipped": 1}
        await v.shows("[data-number=yield]", "90 %")
        await v.shows("[data-number=measured]", "1200 of 4999")
        await go_on(s, run, 1)
        await drawn(v.page, 4999)
        assert await counts(v.page) == {"1": 4898, "3": 100, "8": 1, "90": 1, "skipped": 1}
        await go_on(s, run, 2)
        await v.shows("[data-stop=streak]", reason["text"])
        await v.page.wait_for_function("document.querySelector('[data-bin=\"8\"]').dataset.count === '0'")
        assert int(await v.page.locator(".sheet-map canvas").get_attribute("data-paints") or 0) < 100
        await go_on(s, run, 3)


async def test_a_cell_is_told_by_press_by_keys_and_by_number(site: SiteMaker, visit: Visitor) -> None:
    first = record(0, 101, 8)
    steps = [(HEADER, [first, record(1, 102, 3), record(2, 101, 1, visit=2, supersedes=0), first])]
    async with site(procedures=(telling("sheet-map", steps, {}),)) as s, visit(s) as v:
        run = await begin(s, "sheet-map")
        await v.open("sheet", run)
        await drawn(v.page, 2)
        canvas = v.page.locator(".sheet-map canvas")
        assert await v.page.evaluate(_COLOURS, [1, 101]) == {"101": "#009e73", "102": "#d55e00"}
        await v.page.get_by_label("Row", exact=True).fill("1")
        await v.page.get_by_label("Column", exact=True).fill("1")
        await v.page.get_by_role("button", name="Show").click()
        await v.shows(".cell-bin", "Bin 1, grade A: passes")
        await v.shows(".cell-data [data-quantity=ocv_v]", "351 mV")
        assert await v.page.locator(".cell-data [data-record]").count() == 2
        await v.shows('.cell-data [data-record="0"]', "8 contact fail")
        await canvas.focus()
        await v.page.keyboard.press("ArrowRight")
        await expect(v.page.locator(".cell-data")).to_have_attribute("data-cell", "r1c2")
        await v.shows(".cell-bin", "Bin 3, short: fails")
        await v.page.keyboard.press("ArrowUp")  # rows go up, as y does
        await expect(v.page.locator(".cell-data")).to_have_attribute("data-cell", "r2c2")
        await v.shows(".cell-bin", "Not measured yet")
        place = await v.page.evaluate(
            "() => { const map = document.querySelector('.sheet-map canvas'); const box = map.getBoundingClientRect();"
            " return [box.left + 40 + 1.5 * (box.width - 41) / 100, box.bottom - 1 - 1.5 * (box.height - 27) / 50]; }"
        )
        await v.page.mouse.click(*place)
        await expect(v.page.locator(".cell-data")).to_have_attribute("data-cell", "r1c1")
        await s.rig.request("abort", run=run)


async def test_a_result_shows_the_same_map_as_the_run_did(site: SiteMaker, visit: Visitor) -> None:
    _, context, sheet = small(miss=0.1, seed=3)
    result = await context.map(sheet=sheet, **TABLES, retests=2, stop_site_after=0, pilot_cells=16)
    steps = [(context.headers[-1], context.shown)]
    look = "document.querySelector('.sheet-map canvas').toDataURL()"
    async with site(procedures=(telling("sheet-map", steps, result),)) as s, visit(s) as v:
        run = await begin(s, "sheet-map")
        await v.open("sheet", run)
        await drawn(v.page, 64)
        live, live_counts = await v.page.evaluate(look), await counts(v.page)
        await go_on(s, run, 1)
        await v.shows("[data-number=yield]", "100 %")
        assert await counts(v.page) == live_counts
        assert live_counts["1"] == sum(entry["cells"] for entry in result["bins"]["soft"] if entry["soft"] == 1)
        assert await v.page.evaluate(look) == live
        await v.page.get_by_label("Colours show").select_option("ocv_v")
        low, high = (result["limits"]["limits"]["ocv_v"][end] for end in ("low", "high"))
        assert float(await v.page.locator(".scale").get_attribute("data-low") or 0) == low
        assert float(await v.page.locator(".scale").get_attribute("data-high") or 0) == high
