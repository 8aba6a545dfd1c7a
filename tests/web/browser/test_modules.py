"""The page's modules without a daemon: numbers as people say them, text with units, few points out of many."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Page

from bridge.analysis import formatting
from bridge.web.assets import STATIC
from drivers.quantities import quantity
from tests.near import near

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """With the modules at hand, in a zone that has daylight saving."""
    app = web.Application()
    app.router.add_static("/static", STATIC)
    app.router.add_static("/cases", Path(__file__).parent)
    app.on_response_prepare.append(hang_up)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    context = await browser.new_context(timezone_id="Europe/Berlin")
    page = await context.new_page()
    await page.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/static/icon.svg")
    yield page
    await context.close()
    await runner.cleanup()


async def hang_up(request: web.Request, response: web.StreamResponse) -> None:
    """So that no test leaves a connection open that another one began."""
    response.force_close()


MINUS, DASH = "\u2212", "\u2013"


async def case(page: Page, function: str, *arguments: Any) -> Any:
    """Of cases.js."""
    return await page.evaluate(
        f"async (given) => (await import('/cases/cases.js')).{function}(...given)", list(arguments)
    )


async def call(page: Page, module: str, function: str, *arguments: Any) -> Any:
    return await page.evaluate(
        f"async (given) => (await import('/static/js/{module}.js')).{function}(...given)", list(arguments)
    )


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (1.02e-12, "A", "1.02 pA"),
        (-9.996e-13, "A", f"{MINUS}1 pA"),
        (0.5, "A/m**2", "50 µA/cm²"),
        (3.614, "V", "3.61 V"),
        (0, "V", "0 V"),
        (None, "V", f"{DASH} V"),
        (1.25e-12, "A*h", "1.25 pAh"),
        (1e9, "ohm", "1 GΩ"),
        (52.04, "deg", "52°"),
        (0.5, "1", "0.5"),
        (1e-30, "A", "0.000000000001 aA"),
    ],
)
async def test_numbers(page: Page, value: Any, unit: str, said: str) -> None:
    assert await call(page, "format", "si", value, unit) == said


@pytest.mark.parametrize(
    ("value", "uncertainty", "said"),
    [
        (1.0021e-12, 4.8e-15, "(1.0021 ± 0.0048) pA"),
        (-1.0021e-12, 4.8e-14, f"({MINUS}1.002 ± 0.048) pA"),
        (3e-14, 1.2e-12, "(0.0 ± 1.2) pA"),
        (1e-12, 0, "1 pA"),
    ],
)
async def test_only_the_digits_that_the_uncertainty_leaves(
    page: Page, value: float, uncertainty: float, said: str
) -> None:
    assert await call(page, "format", "withUncertainty", value, uncertainty, "A") == said
    theirs = formatting.with_uncertainty(value, uncertainty, "A")
    assert said.replace(MINUS, "-") == theirs


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.25, "0.25 s"),
        (303.5, "303.5 s"),
        (900, "15 min 0 s"),
        (7500, "2 h 5 min"),
        (3599.7, "60 min 0 s"),
        (273_600, "3 d 4 h"),
    ],
)
async def test_durations(page: Page, seconds: float, said: str) -> None:
    assert await call(page, "format", "duration", seconds) == said


async def test_instants_in_the_zone_of_the_reader_also_when_clocks_change(page: Page) -> None:
    for utc, local, zone in (
        (1_792_888_800, "2026-10-25 02:40:00", "GMT+2"),  # before the clocks go back
        (1_792_892_400, "2026-10-25 02:40:00", "GMT+1"),  # an hour later
        (1_774_745_999, "2026-03-29 01:59:59", "GMT+1"),
        (1_774_746_000, "2026-03-29 03:00:00", "GMT+2"),
    ):
        assert await call(page, "time", "dateTime", utc) == local
        assert await call(page, "time", "zone", utc) in (zone, {"GMT+1": "CET", "GMT+2": "CEST"}[zone])


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        *(("10 pA", "A"), ("1e-12A", "A"), ("50 uA/cm2", "A/m**2"), ("1.25 mA/cm^2", "A/m**2"), ("10 um2", "m**2")),
        *(("0.5 cm2", "m**2"), ("1.25 pAh", "A*h"), ("4.5 nC", "C"), ("1.25 pAh", "C"), ("30 s", "s"), ("2 h", "s")),
        *(("5 min", "s"), ("1e-5 mbar", "Pa"), ("52 deg", "deg"), ("1.5 mm", "m"), ("-3 µV", "V"), ("4.2", "V")),
        *(("12.5 uAh/cm2", "A*h/m**2"), ("1 Gohm", "ohm"), ("10 kHz", "Hz"), ("0.5", "1")),
    ],
)
async def test_text_with_a_unit_is_read_as_the_daemon_reads_it(page: Page, text: str, unit: str) -> None:
    ours = await call(page, "units", "parse", text, unit)
    assert ours["value"] == near(quantity(text, unit), rel=1e-12)


@pytest.mark.parametrize(("text", "unit"), [("ten", "A"), ("10", "A"), ("", "V"), ("--3 V", "V")])
async def test_what_is_no_quantity_is_told_with_an_example(page: Page, text: str, unit: str) -> None:
    said = await call(page, "units", "parse", text, unit)
    assert "accepted: such as" in said["error"]


async def test_what_only_the_daemon_knows_is_left_to_it(page: Page) -> None:
    assert await call(page, "units", "parse", "3 furlong", "m") == {}


async def test_a_ring_keeps_the_newest_and_finds_every_peak(page: Page) -> None:
    """Against numpy, over blocks of odd lengths, holes, and more than fits."""
    rng = np.random.default_rng(3)
    values = rng.standard_normal(20_000)
    cuts = np.unique(rng.integers(0, 20_000, 60)).tolist()
    ranges = [sorted(rng.integers(11_808, 20_001, 2).tolist()) for _ in range(200)]
    found = await case(page, "ringOverHoles", values.tolist(), cuts, ranges)
    assert found["ends"] == [20_000 - 8192, 20_000]
    assert found["same"]
    for (start, stop), extrema, at in zip(ranges, found["extrema"], found["times"], strict=True):
        if start < stop:
            assert extrema == [values[start:stop].min(), values[start:stop].max()]
            assert at == start


async def test_a_picture_has_every_peak_and_few_points(page: Page) -> None:
    found = await case(page, "pictureOfPeaks")
    assert found["points"] <= 2 * 500 + 4
    assert (found["greatest"], found["least"], found["rising"], found["exact"]) == (9, -9, True, 9)


async def test_charge_is_added_up_over_gaps_that_are_filled_later(page: Page) -> None:
    """A constant current; a technique that has ended adds nothing until the next one begins."""
    found = await case(page, "chargeOverGaps")
    assert found["before"] == {"asked": [["s", 10, 30]], "complete": False}
    assert found["pauses"] == [1060]  # no line is drawn from one technique to the next
    assert found["complete"]
    assert found["missing"] == []
    assert found["charge"] == near(59 + 9, rel=1e-12)


async def test_what_comes_twice_counts_once(page: Page) -> None:
    assert await case(page, "whatComesTwice") == [[index, index] for index in range(20)]
