"""The end of a report: who, with what, under which rules, and how to do the same again."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from bridge.procedures.registry import find
from bridge.record import Description, Recorder, RunRecord
from bridge.report.run_report import report
from drivers.plain import to_plain
from tests.record.blocks import START_NS, block

from .test_page import read

DEVICES = {
    "pstat": {
        "role": "potentiostat",
        "driver": "keithley-24xx",
        "address": "visa:GPIB0::24::INSTR",
        "identity": {"make": "Keithley", "model": "6430", "serial": "42", "firmware": "C27"},
        "calibration": "2026-03-01, certificate 4711",
    },
    "relays": {"role": "feedthrough", "driver": "modbus-relay", "address": "serial:/dev/relays", "calibration": None},
}
ASIDE = {"by": "eve", "role": "operator", "reason": "vented"}
SAFETY = {
    "rules": [
        {
            "text": "high vacuum only",
            "status": "set aside",
            "set_aside": {"by": "eve", "role": "operator", "reason": "vented"},
        },
        {"text": "no tilt", "status": "off", "off": "no stage here"},
    ],
    "statements": [{"input": "tip.contact", "value": False, "by": "adam"}],
    "judged": {
        "identity": {"text": "the configured device", "times": 3, "violated": 0, "first_violation": None},
        "vacuum": {
            "text": "in vacuum only",
            "times": 7,
            "violated": 2,
            "first_violation": {"act": "pstat.galvanostatic", "why": "gauge.pressure_pa is 1"},
        },
    },
}


@pytest.fixture
def parameters() -> dict[str, Any]:
    parsed = find("cycle").parse({"current_density": "1.25 mA/cm2", "area": "10 um2", "cycles": 3})
    plain: dict[str, Any] = to_plain({each.name: getattr(parsed, each.name) for each in dataclasses.fields(parsed)})
    return plain


@pytest.fixture
def page(tmp_path: Path, parameters: dict[str, Any]) -> Path:
    async def record() -> Path:
        description = Description(
            *("run-1", "cycle", START_NS),
            parameters=parameters,
            devices=DEVICES,
            configuration={"bridge": "lab"},
            asked_by="adam-script",
            user="adam",
            user_role="operator",
            safety=SAFETY,
        )
        recording = await Recorder(tmp_path, free=lambda _: 10**12).begin(description)
        recording.add("pstat", block(0, 50))
        recording.description.end("aborted", START_NS + 10**9, None)
        await recording.end(None)
        return recording.folder

    return report(RunRecord.open(asyncio.run(record())))


def test_who_with_what_and_under_which_rules(page: Path) -> None:
    text = read(page).text
    for fact in (
        *("adam-script (user adam, operator)", "Keithley 6430 42, firmware C27", "2026-03-01, certificate 4711"),
        *("none is known", "high vacuum only: set aside", "by eve (operator): vented", "no tilt: off", "no stage here"),
        *("tip.contact is False", "stated by adam", "3 times", "always", "not 2 times; first pstat.galvanostatic:"),
        *("1.25 mA/cm2", "10 um2", "48 h", "pstat.cborseq"),
    ):
        assert fact in text, fact
    assert re.search("SHA-256 [0-9a-f]{64}; in the manifest, without secrets", text)


def test_it_opens_anywhere(page: Path) -> None:
    parsed = read(page)
    assert parsed.loads
    assert all(each.startswith("data:image/png;base64,") for each in parsed.loads)
    source = page.read_text()
    assert "<script" not in source
    assert not re.search(r"url\(|@import|<link|https?:", source)


def test_pictures_are_told_in_words(page: Path) -> None:
    (words,) = re.findall('<img alt="([^"]*)"', page.read_text())
    assert words == "Pstat samples. Samples of pstat: voltage / V. current / pA over time / s."


def test_the_script_does_the_same_again(page: Path, parameters: dict[str, Any]) -> None:
    script = read(page).text.partition("import asyncio")[2]
    told: dict[str, Any] = {}
    exec(script[script.index("PARAMETERS") : script.index("async def main")], told)
    assert find("cycle").parse(told["PARAMETERS"]) == find("cycle").parse(
        {name: given for name, given in parameters.items() if given is not None}
    )
    assert told["DEVICES"] == {"potentiostat": "pstat", "feedthrough": "relays"}
    assert "lab.run('cycle', PARAMETERS, DEVICES)" in script
    compile(f"import asyncio{script}", "script", "exec")
