"""`make hil` against instruments of other processes: served by `picobridge mock`, as a lab's would be by its wires."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.errors import ConfigurationError, InvalidValue

from .limits import describe, load, parse
from .plugin import Outcome
from .report import Instrument, Report, alike, differences

ROOT = Path(__file__).resolve().parents[2]
PICOBRIDGE = str(Path(sys.executable).parent / "picobridge")


@asynccontextmanager
async def served(name: str, *options: str) -> AsyncIterator[str]:
    """A simulated instrument in a process of its own; yields its address."""
    process = await asyncio.create_subprocess_exec(
        PICOBRIDGE, "mock", name, "--json", *options, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        yield json.loads(line)["address"]
    finally:
        process.terminate()
        await process.wait()
        await process.stdout.read()


async def hil(arguments: Sequence[str], answer: str = "") -> tuple[int, str]:
    """Exit status and what was printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.hil",
        *arguments,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(answer.encode()), 100)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode()


def write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


@pytest.fixture
def rig_file(tmp_path: Path) -> Path:
    return tmp_path / "lab.toml"


@pytest.mark.timeout(120)
async def test_instruments_of_other_processes(tmp_path: Path, rig_file: Path) -> None:
    async with AsyncExitStack() as stack:
        names = ("modbus-relay", "pfeiffer-tpg", "zeiss-remcon")
        servers = [stack.enter_async_context(served(name, "--speed", "20")) for name in names]
        addresses = dict(zip(names, [await server for server in servers], strict=True))
        write(
            rig_file,
            f"""
[devices.relays]
driver = "modbus-relay"
address = "{addresses["modbus-relay"]}"
options = {{ routes = {{ feedthrough = [0], spare = [5] }} }}
[devices.gauge]
driver = "pfeiffer-tpg"
address = "{addresses["pfeiffer-tpg"]}"
[devices.stage]
driver = "zeiss-remcon"
address = "{addresses["zeiss-remcon"]}"
[devices.absent]
driver = "pfeiffer-tpg"
address = "serial:/dev/no-such-port"

[hil.relays]
routes = ["open", "spare"]
""",
        )
        status, printed = await hil([str(rig_file), "--yes", "--report", str(tmp_path / "report")])
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    failed = [o for o in report["outcomes"] if o["outcome"] != "passed"]
    assert failed == [], printed
    assert status == 1, "an instrument that was not there is not a pass"
    assert "selects the routes open, spare" in printed
    assert "moves NOTHING" in printed
    found = {i["name"]: i for i in report["instruments"]}
    assert "DeviceLost" in found["absent"]["problem"]
    assert found["stage"]["identity"]["firmware"].startswith("V06")
    assert all(found[name]["compared"] for name in ("relays", "gauge", "stage"))
    done = {(o["instrument"], o["test"]) for o in report["outcomes"]}
    assert ("relays", "test_every_route_is_selected_and_read_back") in done
    assert not [test for name, test in done if name == "stage" and "move" in test and "identify" not in test]
    assert any(name == "stage" and "no limits for moves" in why for name, _, why in report["left_out"])
    page = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "## stage: Zeiss SmartSEM Remote Control" in page
    assert "firmware V06.01, February 2016" in page
    assert "left out: no limits for moves are given" in page


@pytest.mark.timeout(120)
async def test_a_potentiostat_of_another_process(tmp_path: Path, rig_file: Path) -> None:
    """At the pace of real time, with a cell that is not connected: what flows is bounded by the window."""
    async with served("tdstat", "--speed", "1", "--option", "shunt=[1.0,1.0,1.0]") as address:
        write(rig_file, f'[devices.pstat]\ndriver = "tdstat"\naddress = "{address}"\n')
        status, printed = await hil([str(rig_file), "--yes", "--report", str(tmp_path / "report")])
    assert status == 0, printed
    assert "energises NOTHING" in printed
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert any("no limits for energy" in why for _, _, why in report["left_out"])
    assert "test_techniques_outside_the_capabilities" in {o["test"] for o in report["outcomes"]}


@pytest.mark.parametrize("answer", ["no\n", "y\n", ""])
async def test_without_a_yes_nothing_is_done(rig_file: Path, tmp_path: Path, answer: str) -> None:
    write(rig_file, '[devices.gauge]\ndriver = "pfeiffer-tpg"\naddress = "serial:/dev/no-such-port"\n')
    status, printed = await hil([str(rig_file), "--report", str(tmp_path / "report")], answer)
    assert status == 2
    assert "Nothing was done" in printed
    assert not (tmp_path / "report").exists()


def test_tables_that_are_wrong_are_named(rig_file: Path) -> None:
    device = '[devices.tip]\ndriver = "newfocus-8742"\naddress = "usb:104d:4000"\n'
    for table, words in {
        "[hil.arm]\nmove_m = 1": r"\[hil\.arm\] names no device.*accepted: tip",
        '[hil.tip]\ntilt_deg = "1 deg"': "hil.tip.tilt_deg is not known; accepted .*move_m, move_z_m",
        '[hil.tip]\nmove_m = "3 V"': "hil.tip.move_m is '3 V'",
        "hil = 3": "hil is 3",
    }.items():
        rig_file.write_text(f"{table}\n{device}" if table == "hil = 3" else f"{device}{table}\n", encoding="utf-8")
        with pytest.raises(ConfigurationError, match=words):
            load(rig_file)


@pytest.mark.parametrize(
    ("driver", "table", "words"),
    [
        ("tdstat", {"current_a": "-1 uA"}, "current_a is '-1 uA'; more than zero"),
        ("tdstat", {"voltage_min_v": 2, "voltage_max_v": 1}, "more than voltage_min_v"),
        ("modbus-relay", {"routes": "open"}, "a list of names"),
        ("pfeiffer-tpg", {"move_m": 1}, "accepted for pfeiffer-tpg: nothing"),
    ],
)
def test_limits_that_make_no_sense_are_refused(driver: str, table: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        parse("device", driver, table)


def test_nothing_is_allowed_unless_all_that_bounds_it_is_given() -> None:
    assert not parse("p", "tdstat", {"current_a": "1 uA", "voltage_max_v": 1}).may_energise
    whole = parse("p", "tdstat", {"current_a": "1 uA", "voltage_max_v": "1 V", "duration_s": "2 s"})
    assert whole.may_energise
    assert "up to +-1e-06 A, within 0 to 1 V, for at most 2 s" in describe("potentiostat", whole)
    assert parse("s", "zeiss-remcon", {"move_m": "-10 um"}).moves == {"x_m": -1e-5, "y_m": -1e-5}
    assert parse("s", "zeiss-remcon", {"move_z_m": "1 um", "tilt_deg": "1 deg"}).moves == {"z_m": 1e-6, "tilt_deg": 1.0}


def test_differences_from_the_mock_are_told() -> None:
    here = Outcome("p", "test_time", "passed", facts={"time.ratio": 1.2, "end": "duration", "only here": 1})
    mock = Outcome("p~mock", "test_time", "failed", facts={"time.ratio": 1.0, "end": "duration"})
    found = differences([here, mock])
    assert found == [("p", "test_time", "outcome", "passed", "failed"), ("p", "test_time", "time.ratio", 1.2, 1.0)]
    assert alike("current.ratio", 1e-12, 1.01e-12)
    assert not alike("current.ratio", 1e-12, 2e-12)
    assert alike("move.x_m.seconds", 1.9, 1.0)
    assert not alike("move.x_m.seconds", 9.0, 1.0)
    report = Report("now", "1", "lab.toml", [Instrument("p", "tdstat", "usb:", "x")], [here, mock], [], "", found)
    assert report.passed, "that its mock failed is no fault of the instrument"
    assert "time.ratio: 1.2 here, 1.0 in the mock" in report.page()
