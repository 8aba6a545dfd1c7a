"""The pages of an approach and of the stage's moves, from results of the real procedures."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.report.contact_figure import contact_figure
from bridge.report.contact_page import figures, summary
from bridge.report.stage_page import summary as stage_summary
from bridge.report.style import render
from tests.procedures.test_contact import above_pad, make_contact
from tests.procedures.test_contact_lead import charged
from tests.procedures.test_stage_on_wires import SEEN, bridged


async def test_an_approach_with_a_second_try() -> None:
    bench = charged(area_m2=1e-10)
    bench.world.tip.film_ohm = 1.5e9
    bench.world.tip.firm_press_m = 1.0

    def on_progress(step: str) -> None:
        if step == "back off":
            bench.world.tip.firm_press_m = 0.0

    bench.on_progress = on_progress
    result = await make_contact(
        bench, contact_voltage="3.5 V", tolerance="0.2 V", cell_resistance="130 Mohm", test="4 s"
    )
    page = summary(result)
    rows = dict(page.rows)
    assert (page.verdict, page.tone) == ("contact", "pass")
    assert "opens and closes" in page.reason
    assert rows["Past the first touch"] == "at most 50 nm, then pressed 50 nm"
    assert "ohmic: the voltage follows" in rows["Ohmic test"]
    assert "MOhm, with leads" in rows["Resistance"]
    assert "pre-charged" in rows["Lead before"]
    assert "no gauge in the run" in rows["Before it began"]
    ((name, figure),) = figures(result, {})
    assert name == "approach"
    assert len(render(figure)) > 20_000


async def test_one_that_found_nothing() -> None:
    result = await make_contact(above_pad(20e-6), max_travel="300 nm")
    page = summary(result)
    assert (page.verdict, page.tone) == ("not found", "fail")
    assert render(contact_figure(result)) == render(contact_figure(result))


async def test_the_moves_of_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICOBRIDGE_POSITIONS", str(tmp_path))
    async with bridged() as lab:
        saved = stage_summary(await lab.do("save-position", position="lamella"))
        assert ("Name", "lamella") in saved.rows
        page = stage_summary(await lab.do("stage-move", tilt="52 deg", height="100 um", **SEEN))
        assert page.tables[0].rows[-1] == ("tilt", "tilt 52 deg", "tilt 52 deg")
        assert any(name == "What was under the beam moved by" for name, _ in page.rows)
        assert stage_summary(await lab.do("go-to", position="lamella", **SEEN)).verdict == "arrived"
