"""Impedance: points as they come, the result's own afterwards, and what the result says may be believed."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import numpy as np
import pytest
from playwright.async_api import Page, expect

from bridge.analysis.impedance.spectrum import Spectrum
from bridge.procedures.impedance.evaluation import Measured, Settings, evaluate
from bridge.procedures.impedance.sweep import shown_point, shown_sweep
from drivers.plain import to_plain
from drivers.samples import IMPEDANCE_COLUMNS, EndReason, SampleBlock
from tests.bridge.fakes import START_NS
from tests.near import near
from tests.web.conftest import SiteMaker

from .conftest import Visitor
from .own_results import begin, go_on, telling

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

FREQUENCY = np.logspace(5, 0, 41)
Z = 300 + 700 / (1 + 2j * np.pi * FREQUENCY * 700 * 2e-7) + 400 / np.sqrt(2j * np.pi * FREQUENCY)


def spectrum(z: Any = Z) -> Spectrum:
    return Spectrum(FREQUENCY, z, np.full(len(z), 1e-4), np.zeros(len(z), np.uint32))


def result(drift: float = 1.0) -> dict[str, Any]:
    """A real evaluation of a circuit's spectrum."""
    again = Spectrum(FREQUENCY[:1], Z[:1] * drift, np.array([1e-4]), np.zeros(1, np.uint32))
    measured = Measured(spectrum(), again, None, 3.6, 3.6, 0.01, None, "")
    found = evaluate(measured, Settings(1e-12, None, None, "R0-p(R1,C1)-W1", [250.0, 600.0, 1e-7, 300.0]))
    told = {"procedure": "impedance", "mode": "device", "amplitude_v": 0.01}
    plain: dict[str, Any] = to_plain(found | told)
    return plain


async def layers(page: Page, title: str) -> list[dict[str, Any]]:
    found = await page.evaluate(
        "(title) => [...document.querySelectorAll('.plot-figure')].map((each) => each.plot)"
        ".find((plot) => plot.title.startsWith(title)).picture.layers"
        ".map(({kind, name, x, y}) => ({kind, name, x: [...x], y: [...y]}))",
        title,
    )
    return list(found)


async def test_points_arrive_and_become_the_result(site: SiteMaker, visit: Visitor) -> None:
    told = result()
    points = [shown_point("spectrum", float(f), complex(z), math.nan, 0) for f, z in zip(FREQUENCY, Z, strict=True)]
    steps = [(shown_sweep("spectrum", 0.01, len(points)), points[:10]), (None, points[10:])]
    async with site(procedures=(telling("impedance", steps, told),)) as s, visit(s) as v:
        await v.open("impedance")
        run = await begin(s, "impedance")
        await v.shows(".result-verdict", "10 of 41 points")
        (live,) = await layers(v.page, "Nyquist")
        assert live["x"] == near(Z.real[:10])
        assert live["y"] == near(-Z.imag[:10])
        await go_on(s, run, 1)
        await v.shows(".result-verdict", "41 of 41 points")
        await go_on(s, run, 2)
        await expect(v.page.locator(".impedance-report")).to_have_attribute("data-verdict", told["verdict"])
        fit, measured = await layers(v.page, "Nyquist")
        assert measured["x"] == near(Z.real / 1e3)
        assert fit["kind"] == "line"
        assert fit["x"] == near(np.array(told["fit"]["predicted_real_ohm"]) / 1e3)
        modulus = (await layers(v.page, "Modulus"))[1]
        assert modulus["y"] == near(np.abs(Z) / 1e3)
        phase = (await layers(v.page, "Phase"))[1]
        assert phase["y"] == near(np.degrees(np.angle(Z)))
        residuals = await layers(v.page, "Kramers")
        assert residuals[0]["y"] == near(100 * np.array(told["kramers_kronig"]["residual_real"]))


async def test_nyquist_has_one_scale_on_both_axes(site: SiteMaker, visit: Visitor) -> None:
    async with site(procedures=(telling("impedance", [], result()),)) as s, visit(s) as v:
        run = await begin(s, "impedance")
        await v.open("impedance", run)
        await v.shows(".impedance-report h2", "Impedance by the device")
        for width in (390, 820, 1440):
            await v.page.set_viewport_size({"width": width, "height": 900})
            per_ohm = await v.page.wait_for_function(
                "() => { const plot = document.querySelector('.plot-figure').plot, f = plot._frame;"
                " return f && f.width <= innerWidth && [f.px(1) - f.px(0), f.py(0) - f.py(1)]; }"
            )
            across, up = await per_ohm.json_value()
            assert across == near(up, rel=1e-6)


async def test_what_may_be_believed_is_what_the_result_says(site: SiteMaker, visit: Visitor) -> None:
    told = result(drift=1.2)
    assert told["verdict"] == "fail"
    async with site(procedures=(telling("impedance", [], told),)) as s, visit(s) as v:
        run = await begin(s, "impedance")
        await v.open("impedance", run)
        await v.shows(".verdict-word", "FAIL")
        await expect(v.page.locator("[data-mark=Drift]")).to_have_attribute("data-verdict", "fail")
        await v.shows("[data-mark=Drift]", told["drift"]["text"])
        await expect(v.page.locator("[data-mark=Kramers-Kronig]")).to_have_attribute("data-verdict", "pass")
        await v.shows(".impedance-report", told["fit_reason"])


def sweep(first: int, last: int) -> SampleBlock:
    """Of a bare technique, as a driver gives it."""
    z = Z[first:last]
    values = {
        "time_s": np.arange(first, last) / 10,
        "frequency_hz": FREQUENCY[first:last],
        "z_real_ohm": z.real,
        "z_imag_ohm": z.imag,
        "flags": np.zeros(len(z)),
    }
    end = EndReason.FINISHED if last == len(Z) else None
    return SampleBlock.of(IMPEDANCE_COLUMNS, values, first_index=first, start_time_ns=START_NS, end=end)


async def test_a_bare_technique_shows_its_points_also_to_who_comes_late(site: SiteMaker, visit: Visitor) -> None:
    go = asyncio.Event()
    async with site() as s, visit(s) as v:
        s.rig.device("pstat").script = lambda technique: [sweep(0, 20), go.wait, sweep(20, len(Z))]
        run = await s.rig.run(technique="impedance", points=len(Z))
        await s.rig.listener.until(lambda: s.rig.listener.count(f"{s.rig.prefix}/devices/pstat/samples") >= 20)
        await v.open("impedance")
        await v.shows(".result-verdict", "20 of 41 points")
        go.set()
        await v.shows(".result-verdict", "41 of 41 points")
        (points,) = await layers(v.page, "Nyquist")
        assert points["x"] == near(Z.real / 1e3)
        assert points["y"] == near(-Z.imag / 1e3)
        await s.rig.result(run)
        await expect(v.page.locator(".verdict-word")).to_have_count(0)
