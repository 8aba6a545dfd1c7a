"""The pages of schedules and their procedures, from results on the world: numbers in words, pictures that are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridge.report import style
from bridge.report.registry import page_of
from mocks.world import World
from tests.procedures.bench import Bench

from .test_page import run

EXAMPLE = Path(__file__).parents[2] / "examples" / "schedules" / "nanobattery_fig8a.toml"


def on_cell(cell: str = "fig8a") -> Bench:
    world = World(cell=cell, noise=False, preset_events=False)
    world.tip.touch()
    return Bench(world)


async def page(name: str, bench: Bench, **values: Any) -> tuple[Any, dict[str, bytes]]:
    """The summary, and the pictures as PNG."""
    result, blocks = await run(bench, name, route="cell", **values)
    found = page_of(name)
    pictures = found.figures(result, {"smu": blocks})
    return found.summary(result), {title: style.render(figure) for title, figure in pictures}


async def charge(bench: Bench) -> None:
    limits = {"capacity_limit": "12.5 uAh/cm2", "interval": "5 s", "area": "10 um2"}
    await run(bench, "constant-current", route="cell", current_density="50 uA/cm2", **limits)


async def test_the_page_of_a_schedule_has_a_row_for_each_step() -> None:
    text = EXAMPLE.read_text().replace('interval = "1 s"', 'interval = "5 s"')
    summary, pictures = await page("schedule", on_cell(), schedule=text)
    assert summary.title == "nanobattery, 12.5 uAh/cm2 at 50 uA/cm2"
    assert (summary.verdict, summary.tone) == ("completed", "pass")
    assert ("Charged", "1.25 pAh") in summary.rows
    assert ("Safety limits", "1.8 V to 4.3 V") in summary.rows
    (steps,) = summary.tables
    assert [row[1] for row in steps.rows] == ["look", "charge", "relax", "discharge"]
    assert steps.rows[1][2:6] == ("capacity >= 12.5 uAh/cm2", "15 min 0 s", "1.25 pAh", "1.25 pAh")
    assert "µV/s" in steps.rows[2][7] or "uV/s" in steps.rows[2][7] or "nV/s" in steps.rows[2][7]
    assert list(pictures) == ["schedule"]
    assert pictures["schedule"].startswith(b"\x89PNG")


async def test_many_cycles_are_a_table_and_a_curve() -> None:
    text = (
        '[cell]\narea = "10 um2"\ncapacity = "115 uAh/cm2"\n[record]\ninterval = "20 s"\n'
        '[[step]]\nname = "in"\ndo = "charge"\ncurrent = "1C"\nuntil = { capacity = "5 uAh/cm2" }\n'
        '[[step]]\ndo = "discharge"\ncurrent = "1C"\nuntil = [{ voltage = "2 V" }, { time = "1 h" }]\n'
        '[[step]]\ndo = "loop"\nto = "in"\ntimes = 31\n'
    )
    summary, pictures = await page("schedule", on_cell("good"), schedule=text)
    cycles, steps = summary.tables
    assert len(cycles.rows) == 31
    assert len(steps.rows) == 61  # the first and the last thirty
    assert "2 rows, in the results" in steps.rows[30][1]
    assert pictures["schedule"].startswith(b"\x89PNG")


async def test_the_page_of_a_titration() -> None:
    bench = on_cell("good")
    await charge(bench)
    asked = {"pulse": "60 s", "rest": "600 s", "pulses": 3, "thickness": "2 um"}
    summary, pictures = await page("gitt", bench, current_density="50 uA/cm2", area="10 um2", **asked)
    (pulses,) = summary.tables
    assert [row[0] for row in pulses.rows] == ["1", "2", "3"]
    assert all("GOhm" in row[4] for row in pulses.rows)
    assert all(row[7].endswith("m²/s") for row in pulses.rows)
    assert sorted(pictures) == ["schedule", "titration"]


async def test_the_page_of_a_resistance_says_by_area() -> None:
    bench = on_cell()
    await charge(bench)
    asked = {"interval": "0.1 s", "delays": "10 ms, 3 s"}
    summary, pictures = await page("dc-resistance", bench, current="5 pA", area="10 um2", **asked)
    (by_delay,) = summary.tables
    assert summary.verdict == "measured"
    assert by_delay.rows[0][1] == ""
    assert "a shorter interval is needed" in by_delay.rows[0][4]
    assert by_delay.rows[1][2].endswith("Ohm cm²")
    assert list(pictures) == ["schedule"]


async def test_the_page_of_a_voltammetry_draws_it() -> None:
    bench = on_cell("good")
    await charge(bench)
    asked = {"vertex1": "3.9 V", "vertex2": "3.0 V", "current_limit": "200 pA"}
    summary, pictures = await page("cyclic-voltammetry", bench, **asked)
    (sweeps,) = summary.tables
    assert len(sweeps.rows) == 3
    assert sweeps.rows[1][1:3] == ("3.9 V", "3 V")
    assert list(pictures) == ["voltammogram"]


async def test_the_page_of_one_step() -> None:
    summary, _ = await page("rest", on_cell(), duration="1 h")
    assert summary.title == "Rest"
    assert summary.reason == "Ended by: time >= 3600 s"
    assert summary.tables[0].rows[0][3] == "1 h 0 min"
