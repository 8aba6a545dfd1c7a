"""The page and the pictures, from results of real procedures on the world."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.procedures.registry import find
from bridge.report import write_report
from bridge.report.cycle_figure import cycle_figure
from bridge.report.noise_figure import noise_figure
from bridge.report.style import render, scale, thinned
from drivers.errors import InvalidValue
from drivers.samples import IMPEDANCE_COLUMNS, SAMPLE_COLUMNS, SampleBlock
from drivers.techniques import Technique
from mocks.world import World
from tests.procedures.bench import Bench

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


async def run(bench: Bench, name: str, **values: Any) -> tuple[dict[str, Any], list[SampleBlock]]:
    """A procedure's result, and the blocks that passed."""
    blocks: list[SampleBlock] = []
    original = bench.smu.run

    async def keeping(technique: Technique) -> AsyncGenerator[SampleBlock, None]:
        async with aclosing(original(technique)) as passing:
            async for block in passing:
                blocks.append(block)
                yield block

    bench.smu.run = keeping  # type: ignore[method-assign]
    procedure = find(name)
    return await procedure.run(bench, procedure.parse(values)), blocks


async def noise(**values: Any) -> dict[str, Any]:
    asked = {"route": "feedthrough", "duration": 60, "settle": 5, **values}
    return (await run(Bench(World()), "noise-test", **asked))[0]


async def cycle(**values: Any) -> tuple[dict[str, Any], list[SampleBlock]]:
    world = World(cell="fig8b", preset_events=False)
    world.tip.touch()
    asked = {"route": "cell", "area": "10 um2", "current_density": "1.25 mA/cm2", "interval": "2 s", **values}
    return await run(Bench(world), "cycle", **asked)


class Text(HTMLParser):
    """What a reader sees, and what the page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.loads: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def read(path: Path) -> Text:
    parser = Text()
    parser.feed(path.read_text(encoding="utf-8"))
    assert parser.open == []
    return parser


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_the_page_says_verdict_rule_numbers_and_instrument(tmp_path: Path) -> None:
    result = await noise()
    seen = read(write_report(tmp_path, [result], title="A7 <nanobattery>", now=NOW))
    for text in (
        "A7 <nanobattery>",
        "one-sided 95 % upper bound of s <= 100 fA",
        "the first 5 s of device time are discarded",
        "(90 % confidence)",
        "Bench 6430",
        "10 pA; specified within ± 12 fA",
        "2026-01-02 03:04:05 UTC",
        "fold onto the mean at 10 samples/s",
        "met (the rule here is stricter)",
    ):
        assert text in seen.text
    assert all(load.startswith("data:image/png;base64,") for load in seen.loads)
    assert names_in(tmp_path) == ["1-noise.png", "1-noise.svg", "report.html"]


async def test_the_page_of_a_cycle(tmp_path: Path) -> None:
    result, blocks = await cycle()
    seen = read(write_report(tmp_path, [result], [{"smu": blocks}], now=NOW))
    for text in ("Galvanostatic cycling at 125 pA (1.25 mA/cm2)", "uAh/cm2", "voltage max", "positive current charges"):
        assert text in seen.text
    assert "more than the anode's 65.3 uAh/cm2" in seen.text
    assert (tmp_path / "1-cycle.png").read_bytes().startswith(b"\x89PNG")


async def test_the_page_of_a_contact_and_of_a_result_that_it_does_not_know(tmp_path: Path) -> None:
    bench = Bench(World())
    bench.world.tip.retract(0.3e-6)
    result, blocks = await run(bench, "make-contact", route="cell")
    seen = read(write_report(tmp_path, [result, {"procedure": "new", "answer": 42}], [{"smu": blocks}], now=NOW))
    assert "CONTACT" in seen.text
    assert "counted steps, not measured" in seen.text
    assert "42" in seen.text
    assert all(load.startswith("data:") for load in seen.loads)


async def test_without_samples_a_cycle_has_a_table_but_no_picture(tmp_path: Path) -> None:
    result, _ = await cycle(time_limit="20 s", rest=0)
    seen = read(write_report(tmp_path, [result], now=NOW))
    assert "discharge" in seen.text
    assert seen.loads == []


@pytest.mark.parametrize("route", ["open", "manipulator-ground"])
async def test_every_verdict_can_be_drawn(route: str) -> None:
    result = await noise(route=route)
    assert render(noise_figure(result)).startswith(b"\x89PNG")


async def test_a_record_of_nothing_can_be_drawn(tmp_path: Path) -> None:
    bench = Bench(World())
    bench.smu.before_sample = lambda index: bench.smu._stop.set()
    result, _ = await run(bench, "noise-test", route="feedthrough")
    assert result["verdict"] == "inconclusive"
    write_report(tmp_path, [result], now=NOW)


async def test_the_noise_picture_names_the_mains_that_it_can_see() -> None:
    result = await noise(route="manipulator-ground", current="10 pA", interval="7 ms", duration=30, settle=0)
    figure = noise_figure(result)
    spectrum = next(axes for axes in figure.axes if axes.get_title(loc="left") == "Spectrum")
    names = [text.get_text().strip() for text in spectrum.texts]
    assert "50 Hz" in names
    assert "150 Hz" in names


async def test_the_cycle_picture_has_a_curve_for_each_step() -> None:
    result, blocks = await cycle(cycles=3, time_limit="60 s", rest=0)
    figure = cycle_figure(result, blocks)
    by_capacity = figure.axes[0]
    curves = [line for line in by_capacity.lines if len(line.get_xdata()) > 2]  # type: ignore[arg-type]
    assert len(curves) == 6
    assert [line.get_linestyle() for line in curves] == ["-", "--"] * 3
    assert any("efficiency" in axes.get_title(loc="left") for axes in figure.axes)


async def test_blocks_of_another_run_are_not_drawn() -> None:
    result, _ = await cycle(time_limit="20 s", rest=0)
    other = (await cycle(time_limit="20 s", rest="30 s", start_with="discharge"))[1]
    moved = [SampleBlock(b.stream, b.first_index, b.start_time_ns + 1, b.columns, b.data, b.end) for b in other]
    with pytest.raises(InvalidValue, match="start times do not agree"):
        cycle_figure(result, moved)


async def test_the_same_result_gives_the_same_picture() -> None:
    result = await noise(duration=30, settle=0)
    assert render(noise_figure(result), "svg") == render(noise_figure(result), "svg")


def test_scale_keeps_numbers_readable() -> None:
    assert scale([5e-12, 1e-13]) == (1e12, "p")
    assert scale([1.0]) == (1.0, "")
    assert scale([]) == (1.0, "")
    assert scale([999e-9])[1] == "n"


async def test_parts_have_sections_of_their_own_by_their_own_pages(tmp_path: Path) -> None:
    part = await noise(duration=30, settle=0)
    whole = {
        "procedure": "noise-survey-of-tomorrow",
        "verdict": "pass",
        "reason": "every route is quiet",
        "parts": [
            {"procedure": "noise-test", "title": "Route <a>", "result": part},
            {"procedure": "x", "result": None},
        ],
    }
    path = write_report(tmp_path, [whole], now=NOW)
    seen = read(path)
    for text in ("Noise survey of tomorrow", "every route is quiet", "Route <a>", "Bias instability"):
        assert text in seen.text
    assert "<h3>Route &lt;a&gt;</h3>" in path.read_text()
    assert names_in(tmp_path) == ["1.1-noise.png", "1.1-noise.svg", "report.html"]


def test_a_result_that_its_page_cannot_read_is_shown_as_it_is(tmp_path: Path) -> None:
    seen = read(write_report(tmp_path, [{"procedure": "noise-test", "verdict": "pass", "mean_a": 1e-12}], now=NOW))
    assert "cannot read the result (KeyError(" in seen.text
    assert "1 pA" in seen.text
    assert seen.loads == []


def test_a_procedure_without_a_page_has_rows_with_units_and_its_samples(tmp_path: Path) -> None:
    result = {
        "procedure": "leak-test",
        "verdict": "fail",
        "resistance_ohm": 1.2e12,
        "stopped": True,
        "settings": {"current_density_a_per_m2": 0.5, "area_m2": None},
        "trace_v": [1.0] * 20,
    }
    spectrum = SampleBlock.of(
        IMPEDANCE_COLUMNS,
        {
            "time_s": [1.0, 2.0],
            "frequency_hz": [1e3, 1.0],
            "z_real_ohm": [5.0, 50.0],
            "z_imag_ohm": [-1, -20],
            "flags": [0, 0],
        },
    )
    seen = read(write_report(tmp_path, [result], [{"pstat": [samples_block(), spectrum]}], now=NOW))
    for text in ("Leak test", "FAIL", "Resistance", "1.2 TOhm", "yes", "Settings, current density", "50 uA/cm2"):
        assert text in seen.text
    assert "(20 values, in the result's file)" in seen.text
    assert len(seen.loads) == 2
    assert names_in(tmp_path)[:4] == [
        "1-pstat-impedance.png",
        "1-pstat-impedance.svg",
        "1-pstat-samples.png",
        "1-pstat-samples.svg",
    ]


def samples_block() -> SampleBlock:
    data = {"time_s": [0.1, 0.2], "voltage_v": [3.6, 3.7], "current_a": [1e-12, math.nan], "flags": [0, 0]}
    return SampleBlock.of(SAMPLE_COLUMNS, data)


def test_thinning_keeps_a_spike_of_one_sample() -> None:
    values = np.zeros(100_000)
    values[31_415], values[27_182], values[5] = 1.0, -1.0, math.nan
    kept = thinned(values, 1000)
    assert {0, 27_182, 31_415, 99_999} <= set(kept.tolist())
    assert len(kept) <= 1002
    assert thinned([1.0, 2.0], 1000).tolist() == [0, 1]
