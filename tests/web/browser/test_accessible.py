"""Every view in both themes, by axe-core; and every pair of colours that is used for text, by the formula of WCAG."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.async_api import expect

from bridge.procedures.description import Procedure
from bridge.web.assets import STATIC
from tests.bridge.test_run_dialogue import Nothing, ask
from tests.web.conftest import SiteMaker

from .conftest import Script, Visitor

AXE = Path(__file__).parent.parent.parent / "node" / "node_modules" / "axe-core" / "axe.min.js"

GROUNDS = ("ground", "panel", "raised")
#: On every ground.
TEXTS = ("ink", "muted", "faint", "accent", "voltage", "current", "charge", "fourth", "fifth", "ok", "warn", "danger")
#: On one of their own.
PAIRS = [
    *(
        ("on-accent", "accent"),
        ("on-stop", "stop"),
        ("on-stop", "stop-pressed"),
        ("ground", "danger"),
        ("ground", "warn"),
    ),
    *(("ink", "warn-ground"), ("warn", "warn-ground"), ("ink", "danger-ground"), ("danger", "danger-ground")),
]
TEXT, GRAPHIC = 4.5, 3.0


@pytest.mark.browser
@pytest.mark.node
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_every_view_by_axe(site: SiteMaker, visit: Visitor, theme: Any) -> None:
    """With a run that asks, a fault that is latched, and a finger's width around every control."""
    own = (Procedure("ask-nobody", "asks, without a device", Nothing, {}, ask),)
    async with site(procedures=own) as s, visit(s, color_scheme=theme, reduced_motion="reduce") as v:
        script = Script(np.full(100, 1e-12), np.full(100, 3.6))
        script.allow(50)
        s.rig.device("pstat").script = script.blocks(10)
        run = await s.rig.run(technique="galvanostatic", current_a=1e-12, duration_s=1e6)
        await v.open()
        await v.until("series?.ring.next === 50")
        await v.page.evaluate(AXE.read_text())
        views = await v.page.evaluate(
            "[...document.querySelectorAll('.rail a')].map((link) => link.hash.split('/')[2])"
        )
        assert len(views) > 4
        found = [await broken(v.page, "overview")]
        await v.page.locator(".stop").click()
        await v.shows(".notice.loud", "is safe")
        asking = (await s.rig.request("run", procedure="ask-nobody", parameters={}, devices={}))["run"]
        for path in (*views, f"runs/{run}", f"runs/{asking}", "start/cycle"):
            await v.open(*path.split("/"))
            await expect(v.page.locator("main h1").first).to_be_visible()
            found.append(await broken(v.page, path))
        assert [each for each in found if each] == []


async def broken(page: Any, where: str) -> list[str]:
    result = await page.evaluate(
        "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})"
    )
    small = await page.evaluate(
        """() => [...document.querySelectorAll("button, select, input:not([type=checkbox]), .button, .rail a, summary")]
            .filter((element) => element.checkVisibility() && element.getBoundingClientRect().height < 43.9)
            .map((element) => `${element.outerHTML.slice(0, 80)} is too low`)"""
    )
    return [
        *(
            f"{where}: {it['id']}: {node['html'][:120]}: {node['failureSummary'][:200]}"
            for it in result["violations"]
            for node in it["nodes"]
        ),
        *(f"{where}: {text}" for text in small),
    ]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_contrast(theme: str) -> None:
    colours = palette(theme)
    for text, ground in [*product(TEXTS, GROUNDS), *PAIRS]:
        assert contrast(colours[text], colours[ground]) >= TEXT, f"{text} on {ground}"
    for edge, ground in product(("edge", "accent"), ("ground", "panel")):
        assert contrast(colours[edge], colours[ground]) >= GRAPHIC, f"{edge} on {ground}"


def test_the_formula_of_contrast() -> None:
    assert round(contrast("#000000", "#ffffff"), 2) == 21
    assert round(contrast("#767676", "#ffffff"), 2) == 4.54


def palette(theme: str) -> dict[str, str]:
    css = (STATIC / "css" / "tokens.css").read_text()
    blocks = re.findall(r":root(\[data-theme=\"(\w+)\"\])? \{(.*?)\}", css, re.DOTALL)
    wanted = "".join(text for _, name, text in blocks if name in ("", theme))
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", wanted))


def contrast(one: str, other: str) -> float:
    """Of WCAG 2: from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
