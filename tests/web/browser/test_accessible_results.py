"""The views of results by axe-core, with a result in them: empty ones have nothing that could be wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.conftest import SiteMaker

from . import test_impedance_view, test_noise_view, test_sheet_view
from .conftest import Visitor
from .own_results import begin, go_on, telling
from .test_accessible import AXE, broken

pytestmark = [pytest.mark.browser, pytest.mark.node, pytest.mark.asyncio(loop_scope="module")]

THEMES: tuple[Any, ...] = ("dark", "light")


async def test_results_by_axe(site: SiteMaker, visit: Visitor) -> None:
    sheet = [(test_sheet_view.HEADER, [test_sheet_view.record(0, 101, 1), test_sheet_view.record(1, 102, 3)])]
    own = (
        telling("noise-test", [], test_noise_view.record(4000)),
        telling("impedance", [], test_impedance_view.result()),
        telling("sheet-map", sheet, {}),
    )
    async with site(procedures=own) as s, visit(s) as v:
        for name in ("noise-test", "impedance"):
            await s.rig.result(await begin(s, name))
        run = await begin(s, "sheet-map")
        found = []
        for view, there in (("noise", ".noise-report"), ("impedance", ".impedance-report"), ("sheet", ".sheet-report")):
            await v.open(view)
            await v.page.locator(there).wait_for()
            if view == "sheet":
                await v.page.get_by_label("Row", exact=True).fill("1")
                await v.page.get_by_label("Column", exact=True).fill("2")
                await v.page.get_by_role("button", name="Show").click()
                await v.shows(".cell-bin", "Bin 3")
            await v.page.evaluate(AXE.read_text())
            for theme in THEMES:
                await v.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
                await v.page.wait_for_function("(theme) => document.documentElement.dataset.theme === theme", arg=theme)
                found += await broken(v.page, f"{view}, {theme}")
        assert found == []
        await go_on(s, run, 1)
