"""The commands that talk to a running bridge, and the daemon's own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import cbor2
import pytest

from bridge.client import connect
from bridge.record import RunRecord
from bridge.record.run_record import records as found
from drivers.errors import ConfigurationError, InvalidValue
from mocks.instruments.pfeiffer_tpg import PfeifferTpgMock
from mocks.wires import serve
from mocks.world import World
from tests.bridge.conftest import free_port
from tests.client.conftest import BenchMaker
from tests.near import near

from .test_direct import lines, run

PICOBRIDGE = (sys.executable, "-m", "bridge.cli.main")


def tables(folder: Path) -> list[Path]:
    """The BDF files in the run folders below `folder`."""
    return list(folder.glob("*/*.bdf.csv"))


async def test_devices_and_stop(bench: BenchMaker, capsys: pytest.CaptureFixture[str]) -> None:
    async with bench("stage", "gauge") as b:
        assert await run("devices", "--broker", b.url) == 0
        shown = capsys.readouterr().out
        assert "Pfeiffer Vacuum TPG 362" in shown
        assert shown.count("connected") == 2
        assert await run("stop", "--broker", b.url, "--json") == 0
        assert lines(capsys) == [{"runs": [], "devices": {"stage": "safe", "gauge": "safe"}}]


async def test_monitor_prints_values_as_people_say_them(bench: BenchMaker, capsys: pytest.CaptureFixture[str]) -> None:
    async with bench("gauge") as b:
        assert await run("monitor", "--broker", b.url, "--count", "1") == 0
        assert capsys.readouterr().out.split() == ["gauge", "pressure", "500", "uPa", "status", "ok"]
        with pytest.raises(InvalidValue, match="device 'stage' is not known; accepted: gauge"):
            await run("monitor", "--broker", b.url, "stage")


async def test_a_noise_test_is_one_command(bench: BenchMaker, capsys: pytest.CaptureFixture[str]) -> None:
    async with bench("pstat", "relays") as b:
        words = ["--current", "10pA", "--route", "feedthrough", "--duration", "30s", "--settle", "5s"]
        assert await run("noise-test", "--broker", b.url, "--json", *words) == 0
        (result,) = lines(capsys)
        assert result["verdict"] == "pass"
        assert abs(float(str(result["mean_a"])) - 1e-11) < 1e-12


async def test_a_test_that_does_not_pass_is_exit_status_1(
    bench: BenchMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    async with bench("pstat", "relays") as b:
        words = ["--current", "1pA", "--route", "manipulator-ground", "--duration", "30s", "--settle", "5s"]
        assert await run("noise-test", "--broker", b.url, "--json", *words) == 1
        assert lines(capsys)[0]["verdict"] == "fail"


async def test_a_cycle_is_one_command(bench: BenchMaker, capsys: pytest.CaptureFixture[str]) -> None:
    async with bench("pstat", "relays") as b:
        b.rig.world.tip.touch()
        words = [
            "--current-density",
            "1.25mA/cm2",
            "--area",
            "10um2",
            "--capacity-limit",
            "5uAh/cm2",
            "--interval",
            "0.5s",
        ]
        assert await run("cycle", "--broker", b.url, "--json", "--route", "cell", *words) == 0
        (result,) = lines(capsys)
        assert result["charge_ah_per_m2"] == near(0.05, rel=0.02)


async def test_a_wrong_parameter_is_told_before_anything_is_asked(bench: BenchMaker) -> None:
    async with bench("pstat", "tdstat") as b:
        for words, message in (
            (("--area", "10um2"), "no current given; exactly one of"),
            (("--current", "10 mV"), "current_a is '10 mV'; a quantity such as '10 pA'"),
            (("--current", "1pA", "--capacity-limit", "3"), "capacity_limit is '3'; a quantity in one of"),
            (("--current", "1pA"), "say which --potentiostat: pstat, tdstat"),
            (("--current", "1pA", "--potentiostat", "stage"), "potentiostat is 'stage'; accepted: pstat, tdstat"),
        ):
            with pytest.raises(InvalidValue) as caught:
                await run("cycle", "--broker", b.url, *words)
            assert message in str(caught.value)
        assert await b.lab.runs() == []


async def test_record_writes_what_was_published(
    bench: BenchMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with bench("pstat") as b:
        recording = asyncio.create_task(run("record", "--broker", b.url, "--folder", str(tmp_path), "--json"))
        while not tables(tmp_path):
            block = await b.lab.pstat.galvanostatic(current_a=1e-12, duration_s=1.0)
        recording.cancel()
        await asyncio.gather(recording, return_exceptions=True)
    (counts,) = lines(capsys)
    assert counts["missing"] == counts["duplicated"] == 0
    records = [RunRecord.open(Path(path)) for path in counts["runs"].values()]
    recorded = sum(stream["samples"] for r in records for stream in r.manifest["streams"].values())
    assert counts["received"] - recorded in (0, 10), "a run may have been cancelled on its way into a folder"
    table = min(tables(tmp_path))
    rows = table.read_text().splitlines()
    assert rows[0].startswith("Test Time / s,Voltage / V,Current / A")
    assert len(rows) - 1 == len(block)
    assert RunRecord.open(table.parent).problems() == []
    first = cbor2.loads(table.with_name(table.name.replace(".bdf.csv", ".cborseq")).read_bytes())
    assert first["columns"][2]["name"] == "current_a"
    assert len(block) == 10


async def test_check_and_run_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "lab.toml"
    port = free_port()
    async with serve(PfeifferTpgMock(World(), "gauge")) as served:
        config.write_text(
            f'[bridge]\nname = "bench"\nstate_dir = "{tmp_path}/state"\n[broker]\nport = {port}\n'
            f'[devices.gauge]\ndriver = "pfeiffer-tpg"\naddress = "{served.address}"\n'
        )
        assert await run("check", str(config)) == 0
        assert "is good: bridge 'bench'" in capsys.readouterr().out
        daemon = await asyncio.create_subprocess_exec(*PICOBRIDGE, "run", str(config), stderr=asyncio.subprocess.PIPE)
        assert daemon.stderr is not None
        log = b""
        while b"gauge: connected" not in log:
            line = await daemon.stderr.readline()
            assert line, log.decode()
            log += line
        async with connect(f"mqtt://127.0.0.1:{port}") as lab:
            assert lab.bridge == "picobridge/bench"
            assert (await lab.gauge.pressure()).valid
        daemon.send_signal(signal.SIGTERM)
        _, rest = await daemon.communicate()
        assert daemon.returncode == 0, rest.decode()
        assert b"Traceback" not in rest


async def test_check_names_file_key_value_and_what_is_accepted(tmp_path: Path) -> None:
    config = tmp_path / "lab.toml"
    config.write_text('[devices.gauge]\ndriver = "pfeifer-tpg"\naddress = "serial:/dev/ttyUSB0"\n')
    with pytest.raises(ConfigurationError) as caught:
        await run("check", str(config))
    for part in (str(config), "devices.gauge.driver", "'pfeifer-tpg'", "pfeiffer-tpg"):
        assert part in caught.value.message


@pytest.mark.timeout(240)
async def test_the_demo_does_the_main_job(tmp_path: Path) -> None:
    """The issue's own words: the two noise tests pass, the cell goes to 4.2 V and 2.0 V, no sample is missing."""
    demo = await asyncio.create_subprocess_exec(
        *(*PICOBRIDGE, "demo", "--json", "--speed", "inf", "--port", "0", "--folder", str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await demo.communicate()
    assert demo.returncode == 0, errors.decode()
    assert errors == b""
    outcome = json.loads(out)
    shielded, unshielded = outcome["noise"]["feedthrough"], outcome["noise"]["manipulator-ground"]
    assert shielded["passed"]
    assert abs(shielded["mean_a"] - 1e-12) < 1e-13 > shielded["std_a"]
    assert unshielded["passed"]
    assert abs(unshielded["mean_a"] - 1e-11) < 1e-12 > unshielded["std_a"]
    cycle = outcome["cycle"]
    assert 4.2 <= cycle["voltage_max_v"] < 4.21
    assert 1.95 < cycle["voltage_min_v"] <= 2.0
    assert cycle["charge_ah_per_m2"] == near(cycle["charge_ah"] / 1e-11)
    assert cycle["coulombic_efficiency"] == near(cycle["discharge_ah"] / cycle["charge_ah"])
    assert 0.9 < cycle["coulombic_efficiency"] < 0.96
    samples = outcome["samples"]
    assert samples["published"] == samples["received"] > 10_000
    assert samples["missing"] == samples["duplicated"] == 0
    assert outcome["run_folder"].startswith(str(tmp_path))
    records = found([Path(outcome["run_folder"])])
    assert [record.problems() for record in records] == [[]] * len(records)
    assert sum(len(b) for record in records for bs in record.samples().values() for b in bs) == samples["received"]
    assert {"report.html", "outcome.json", "3-cycle.png"} <= set(os.listdir(outcome["run_folder"]))
