"""Schedules the whole way: from a client over a broker and the daemon to instruments on their wires, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivers.errors import InvalidValue
from mocks.world import OpenDrive
from tests.cli.test_direct import lines
from tests.cli.test_direct import run as run_command
from tests.client.conftest import BenchMaker, bench
from tests.near import near

pytestmark = pytest.mark.usefixtures("without_debug")

__all__ = ["bench"]

EXAMPLES = Path(__file__).parents[2] / "examples" / "schedules"
ON_KEITHLEY = {"potentiostat": "pstat", "feedthrough": "relays"}
ON_EMSTAT = {"potentiostat": "emstat", "feedthrough": "relays"}


async def run(b: Any, procedure: str, parameters: dict[str, Any], devices: dict[str, str]) -> dict[str, Any]:
    b.rig.world.tip.touch()
    started = await b.lab.start(procedure, {"route": "cell", **parameters}, devices)
    result: dict[str, Any] = await started.result()
    assert result["sign"] == "positive current charges"
    return result


async def test_fig8a_by_its_example_file_on_a_6430(bench: BenchMaker) -> None:
    """50 uA/cm2 on 10 um2 are 5 pA: 12.5 uAh/cm2 after 900 s. Fewer samples than the example asks, to be quick."""
    text = (EXAMPLES / "nanobattery_fig8a.toml").read_text()
    text = text.replace('interval = "1 s"', 'interval = "6 s"').replace('interval = "10 s"', 'interval = "30 s"')
    text = text.replace('time = "2 h"', 'time = "20 min"')
    async with bench("pstat", "relays", cell="fig8a", noise=False, preset_events=False) as b:
        result = await run(b, "schedule", {"schedule": text}, ON_KEITHLEY)
    assert (result["completed"], result["end"]) == (True, "the end of the schedule")
    look, charge, relax, discharge = result["steps"]
    assert look["samples"] == near(10, abs=1)
    assert charge["end"] == "capacity >= 12.5 uAh/cm2"
    assert charge["duration_interpolated_s"] == near(900, rel=5e-3)
    assert charge["capacity_interpolated_ah"] == near(1.25e-12, rel=5e-3)
    assert charge["voltage_end_v"] == near(3.643, abs=0.02)
    assert relax["end"] in ("dv_dt < 20 mV/h", "time >= 20 min")
    assert discharge["end"] == "voltage <= 2.0 V"
    assert result["instrument"]["model"] == "6430"


async def test_a_charge_paused_then_aborted_and_resumed_passes_its_charge_once(bench: BenchMaker) -> None:
    text = (EXAMPLES / "nanobattery_fig8a.toml").read_text().replace('interval = "1 s"', 'interval = "4 s"')
    text = text[: text.index('[[step]]\nname = "relax"')].replace("goto discharge", "stop")
    # at a pace at which a client can say stop in the middle, on any machine
    async with bench("pstat", "relays", cell="fig8a", noise=False, preset_events=False, speed=250.0) as b:
        b.rig.world.tip.touch()
        started = await b.lab.start("schedule", {"schedule": text, "route": "cell"}, ON_KEITHLEY)
        async for state in started.states():
            if state["step"] == "charge" and state["values"].get("capacity_ah", 0.0) > 0.1e-12:
                break
        await started.pause()
        async for state in started.states():
            if state["pause"] == "paused":
                break
        assert not drives(b)
        await started.go_on()
        async for state in started.states():
            if state["pause"] != "paused" and state["values"].get("capacity_ah", 0.0) > 0.5e-12:
                break
        await started.abort()
        assert not drives(b)
        result = await (await b.lab.resume(started.id)).result()
    charge = result["steps"][-1]
    assert charge["end"] == "capacity >= 12.5 uAh/cm2"
    assert charge["pauses"] == 1
    assert charge["capacity_interpolated_ah"] == near(1.25e-12, rel=5e-3)
    assert charge["voltage_end_v"] == near(3.643, abs=0.02)


def drives(b: Any) -> bool:
    """Whether the 6430 has its output on, by what it does to the circuit."""
    drive = b.rig.world.terminals("pstat").drive
    return not isinstance(drive, OpenDrive) or drive.connected


async def test_cc_cv_and_discharge_on_an_emstat(bench: BenchMaker) -> None:
    """A sheet's cell of 0.1 cm2: the constant current leaves off j R below 4.1 V, the constant voltage fills that."""
    schedule = """
name = "sheet cell"
[cell]
area = "0.1 cm2"
capacity = "69 uAh"
[record]
interval = "20 s"
[[step]]
name = "charge"
do = "cc-cv"
current = "1C"
voltage = "4.1 V"
until = [{ current = "C/20" }, { time = "3 h", then = "fault" }]
[[step]]
name = "discharge"
do = "discharge"
current = "1C"
until = [{ voltage = "3.5 V" }, { time = "2 h", then = "fault" }]
[[step]]
do = "loop"
to = "charge"
times = 2
"""
    async with bench("emstat", "relays", cell="sheet", area_m2=1e-5, noise=False) as b:
        result = await run(b, "schedule", {"schedule": schedule}, ON_EMSTAT)
    assert result["completed"] is True
    charge, discharge = result["steps"][:2]
    assert charge["handovers"][0]["voltage_before_v"] == near(4.1, abs=0.01)
    assert charge["handovers"][0]["gap_s"] >= 0
    assert charge["end"] == "current <= C/20"
    assert charge["current_end_a"] <= 69e-6 / 20
    assert discharge["end"] == "voltage <= 3.5 V"
    assert result["cycles"][1]["coulombic_efficiency"] == near(1.0, abs=0.02)


async def test_a_file_on_the_command_line_is_read_there(
    bench: BenchMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rest.toml"
    path.write_text('name = "a rest"\n[[step]]\ndo = "rest"\nuntil = { time = "1 h" }\n')
    async with bench("pstat", "relays") as b:
        words = ["schedule", "--broker", b.url, "--potentiostat", "pstat", "--json"]
        assert await run_command(*words, "--schedule", str(path)) == 0
        (result,) = lines(capsys)
        assert (result["schedule"], result["duration_s"]) == ("a rest", near(3600.0))
        with pytest.raises(InvalidValue, match=r"nowhere.toml' cannot be read"):
            await run_command(*words, "--schedule", "nowhere.toml")
        path.write_text('[[step]]\ndo = "rest"\nuntil = { time = "1 V" }\n')
        with pytest.raises(InvalidValue, match=r"step 1: until: time is '1 V'; a quantity such as '30 s' is accepted"):
            await run_command(*words, "--schedule", str(path))


@pytest.mark.parametrize("devices", [ON_KEITHLEY, ON_EMSTAT], ids=["keithley", "emstat"])
async def test_cyclic_voltammetry_on_both_wires(bench: BenchMaker, devices: dict[str, str]) -> None:
    parameters = {
        "vertex1": "4.0 V",
        "vertex2": "3.7 V",
        "begin": "3.8 V",
        "rate": "10 mV/s",
        "step": "10 mV",
        "current_limit": "1 mA",
    }
    async with bench(*devices.values(), cell="sheet", area_m2=1e-5, noise=False) as b:
        result = await run(b, "cyclic-voltammetry", parameters, devices)
    assert [(leg["from_v"], leg["to_v"]) for leg in result["sweeps"]] == [(3.8, 4.0), (4.0, 3.7), (3.7, 3.8)]
    assert result["duration_s"] == near(0.6 / 10e-3, rel=0.05)
    assert result["sweeps"][0]["charge_ah"] > result["sweeps"][0]["discharge_ah"]
    assert result["sweeps"][1]["discharge_ah"] > 0
