"""The noise test's pictures have the numbers of its result, and what is preliminary says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from playwright.async_api import Page, expect

from bridge.analysis.noise import NoiseSpec, assess_noise
from bridge.analysis.plain import noise_to_dict
from tests.near import near
from tests.web.conftest import SiteMaker

from .conftest import Visitor
from .own_results import begin, go_on, telling

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


def record(samples: int, mains_a: float = 0.0, seed: int = 3) -> dict[str, Any]:
    """Statistics of a record at 143 samples a second."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) * 0.007
    current = 1e-12 + 5e-14 * rng.standard_normal(samples) + mains_a * np.sin(2 * np.pi * 50 * time)
    spec = NoiseSpec(current_a=1e-12, tolerance_a=1e-13, duration_s=samples * 0.007, settle_s=0.0, averaging_s=0.1)
    result = noise_to_dict(assess_noise(time, current, np.zeros(samples, np.uint32), spec))
    told = {
        "route": "feedthrough",
        "advice": [],
        "range": "10 pA",
        "instrument_error_a": 1.2e-14,
        "procedure": "noise-test",
    }
    return result | told


#: Each picture as the view gave it, and as it came out.
_READ = """
() => Object.fromEntries([...document.querySelectorAll(".plot-figure")].map(({ plot }) => [plot.title, {
    layers: plot.picture.layers.map(({ kind, x, y }) => ({ kind, x: [...x], y: [...y] })),
    marks: plot.picture.marks ?? [],
    paths: [...plot.svg.querySelectorAll(".plot-bars, .plot-line, .plot-points")].map((path) => path.getAttribute("d")),
    text: plot.svg.getAttribute("aria-label"),
}]))
"""


async def pictures(page: Page) -> dict[str, Any]:
    return dict(await page.evaluate(_READ))


async def test_the_pictures_are_those_of_the_result(site: SiteMaker, visit: Visitor) -> None:
    part, whole = record(1000), record(4000, mains_a=1e-12)
    live = {key: value for key, value in part.items() if key not in ("verdict", "passed", "decided_by", "reason")}
    steps = [({"kind": "noise-test", "elapsed_s": 7.0, **live}, [])]
    async with site(procedures=(telling("noise-test", steps, whole),)) as s, visit(s) as v:
        await v.open("noise")
        await v.shows(".empty", "No noise test has been run yet")
        run = await begin(s, "noise-test")
        await v.shows(".verdict-word", "PRELIMINARY")
        await v.shows(".result-verdict", f"{part['n']} averages so far")
        assert (await pictures(v.page))["Distribution"]["layers"][0]["y"] == part["histogram"]["counts"]
        await go_on(s, run, 1)
        await expect(v.page.locator(".noise-report")).to_have_attribute("data-verdict", whole["verdict"])
        await v.shows(".result-verdict", whole["reason"])
        drawn = await pictures(v.page)
        bars, normal = drawn["Distribution"]["layers"]
        assert bars["y"] == whole["histogram"]["counts"]
        assert bars["x"] == near(np.array(whole["histogram"]["edges_a"]) * 1e12)
        assert drawn["Distribution"]["paths"][0].count("M") == np.count_nonzero(whole["histogram"]["counts"])
        assert normal["x"][int(np.argmax(normal["y"]))] == near(whole["mean_a"] * 1e12)
        area = np.trapezoid(normal["y"], normal["x"])
        assert area == near(sum(bars["y"]) * (bars["x"][1] - bars["x"][0]), rel=0.01)
        assert drawn["Spectrum"]["layers"][0]["x"] == whole["spectrum"]["frequency_hz"]
        seen = {mark["label"]: mark["x"] for mark in drawn["Spectrum"]["marks"]}
        lines = [line for line in whole["spectrum"]["lines"] if line["amplitude_a_rms"] is not None]
        assert seen == {f"{line['frequency_hz']:g} Hz": line["seen_at_hz"] for line in lines}
        assert seen["150 Hz"] == near(150 - 1 / 0.007), "folded by the sampling"
        assert "50 Hz" in drawn["Spectrum"]["text"]
        measured = drawn["Allan deviation"]["layers"][2]
        assert measured["x"] == whole["allan"]["tau_s"]
        ratio = np.array(measured["y"]) / np.array(whole["allan"]["deviation_a"])
        assert ratio == near(np.full(len(ratio), ratio[0]))


async def test_its_numbers_are_those_of_the_result(site: SiteMaker, visit: Visitor) -> None:
    whole = record(4000)
    async with site(procedures=(telling("noise-test", [], whole),)) as s, visit(s) as v:
        run = await begin(s, "noise-test")
        await v.open("noise", run)
        await v.shows(".noise-report .facts", "1 pA ± 100 fA")
        text = await v.page.locator(".noise-report .facts").inner_text()
        mean, half = whole["mean_a"] * 1e12, whole["mean_half_width_a"] * 1e12
        digits = max(0, 1 - int(np.floor(np.log10(half))))
        assert f"({mean:.{digits}f} ± {half:.{digits}f}) pA" in text
        assert "within ± 12 fA on 10 pA" in text
        assert whole["rule"] in await v.page.locator(".result-verdict").inner_text()


async def test_a_point_is_read_by_keyboard(site: SiteMaker, visit: Visitor) -> None:
    whole = record(4000)
    async with site(procedures=(telling("noise-test", [], whole),)) as s, visit(s) as v:
        run = await begin(s, "noise-test")
        await v.open("noise", run)
        allan = v.page.locator(".plot-figure", has_text="Allan deviation")
        await allan.locator("svg.plot").focus()
        await v.page.keyboard.press("Home")
        tau, deviation = whole["allan"]["tau_s"][0], whole["allan"]["deviation_a"][0]
        await expect(allan.locator(".plot-readout")).to_contain_text(f"over {tau:g} s: {deviation * 1e15:.3g} fA")
        await v.page.keyboard.press("Escape")
        await expect(allan.locator(".plot-readout")).to_have_text("")
