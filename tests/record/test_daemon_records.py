"""The daemon's records: through a whole run, when the disk gives out, and after kill -9."""

from __future__ import annotations

import asyncio
import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.daemon.records import Records
from bridge.daemon.run import Run
from bridge.record import Description, Recorder, RunRecord
from bridge.record.run_record import find, records
from bridge.report.run_report import _samples, report
from bridge.transfer.codec import decode
from bridge.transfer.mqtt import BrokerAddress
from drivers.errors import ConfigurationError, InvalidValue, RunFailed
from mocks.instruments.keithley24xx import Keithley24xxMock
from mocks.wires import serve
from mocks.world import World
from tests.bridge.conftest import RigMaker, eventually, free_port
from tests.bridge.fakes import ramp
from tests.bridge.listener import listen
from tests.bridge.test_process import SAMPLES, daemon, energised, write_config

from .blocks import START_NS, block

CHARGE = {"technique": "galvanostatic", "current_a": "10 pA", "duration_s": "1 s"}


async def test_a_run_leaves_its_folder_before_its_result_is_told(rig: RigMaker, tmp_path: Path) -> None:
    async with rig(devices=("pstat",), data_dir=tmp_path / "runs", exports=False) as r:
        run = await r.run(**CHARGE)
        result = await r.result(run)
        record = RunRecord.open(Path(result["folder"]))
        assert record.complete
        assert record.folder == tmp_path / "runs" / f"{run}_technique"
        published = [decode(payload) for payload in r.listener.of(f"{r.prefix}/devices/pstat/samples")]
        recorded = record.samples()["pstat"]
        for name in ("time_s", "voltage_v", "current_a", "flags"):
            both = [np.concatenate([block[name] for block in blocks]).tobytes() for blocks in (published, recorded)]
            assert both[0] == both[1]
        assert record.result == result["result"]
        content = record.manifest
        assert content["parameters"]["current_a"] == 1e-11
        assert content["devices"]["pstat"]["role"] == "potentiostat"
        assert content["devices"]["pstat"]["identity"]["model"]
        assert content["devices"]["pstat"]["capabilities"]["techniques"] == ["galvanostatic", "open_circuit"]
        assert content["configuration"]["devices"]["pstat"]["driver"] == "fake"
        assert content["software"]["libraries"]["numpy"] == np.__version__
        assert [event["text"] for event in content["events"]] == [f"run {run} (technique) started, asked for by test"]
        streams = result["streams"]["pstat"]
        assert {key: content["streams"]["pstat"][key] for key in streams} == streams
        assert record.problems() == []


async def test_the_result_is_told_when_the_record_is_complete(
    rig: RigMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    record_end, publish_end = Records.end, Run.publish_end

    async def end(self: Records, run: Run) -> None:
        await record_end(self, run)
        order.append("recorded")

    def publish(self: Run) -> None:
        order.append("told")
        publish_end(self)

    monkeypatch.setattr(Records, "end", end)
    monkeypatch.setattr(Run, "publish_end", publish)
    async with rig(devices=("pstat",), data_dir=tmp_path / "runs", exports=False) as r:
        await r.result(await r.run(**CHARGE))
    assert order == ["recorded", "told"]


async def test_a_run_that_failed_is_recorded_with_its_error(rig: RigMaker, tmp_path: Path) -> None:
    def broken() -> None:
        raise RunFailed("the cell is gone", hint="Look for it.")

    async with rig(devices=("pstat",), data_dir=tmp_path / "runs", exports=False) as r:
        r.device("pstat").script = lambda technique: [*ramp(20, 5)[:2], broken]
        run = await r.run(**CHARGE)
        await r.result(run)
        record = find(run, [tmp_path / "runs"])
        assert (record.complete, record.status, record.result) == (True, "failed", None)
        assert record.manifest["error"]["message"] == "the cell is gone"
        assert record.manifest["streams"]["pstat"]["samples"] > 0
        page = await asyncio.to_thread(lambda: report(record).read_text())
        assert "FAILED" in page
        assert "the cell is gone. Look for it." in page
        assert "data:image/png;base64," in page  # the samples that there are


async def test_a_refused_run_leaves_nothing(rig: RigMaker, tmp_path: Path) -> None:
    async with rig(devices=("pstat",), data_dir=tmp_path / "runs", min_free_bytes=10**18) as r:
        with pytest.raises(RunFailed, match="is too full to begin a run"):
            await r.run(**CHARGE)
        assert r.device("pstat").done.count("run galvanostatic") == 0
        assert not r.daemon.devices["pstat"].run
        assert os.listdir(tmp_path / "runs") == []


async def test_a_folder_that_cannot_be_written_is_told_at_the_start(rig: RigMaker, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="runs cannot be recorded in"):
        async with rig(devices=("pstat",), data_dir=tmp_path / "file" / "runs"):
            pass


async def test_a_disk_that_fills_up_stops_the_run_with_the_source_off(
    rig: RigMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.record.recording.SPACE_S", 0.0)
    async with rig(devices=("pstat",), data_dir=tmp_path / "runs", exports=False) as r:

        async def filled_up() -> None:
            (kept,) = r.daemon._records._under_way.values()
            recording: Any = kept.recording
            recording._free = lambda folder: 1_000_000
            recording.event({"text": "the disk is filled up", "run": run, "device": ""})
            await recording.failed.wait()

        started = asyncio.Event()
        r.device("pstat").script = lambda technique: [*ramp(20, 5)[:2], started.wait, filled_up, *ramp(20, 5)]
        run = await r.run(**CHARGE)
        started.set()
        result = await r.result(run)
        assert result["status"] == "failed"
        assert "nearly full: 1 MB are free" in result["error"]["message"]
        assert not r.device("pstat").cell_on
        record = find(run, [tmp_path / "runs"])
        assert record.complete
        assert record.manifest["streams"]["pstat"]["missing"] == 0
        assert record.manifest["streams"]["pstat"]["next_index"] == result["streams"]["pstat"]["next_index"]


async def test_a_killed_daemon_leaves_what_it_had_measured(tmp_path: Path) -> None:
    port = free_port()
    async with serve(Keithley24xxMock(World(speed=50.0), "pstat", model="2400")) as served:
        config = write_config(tmp_path, served.address, port)
        address = BrokerAddress("127.0.0.1", port)
        async with daemon(config, port) as process, listen(address, "picobridge/lab/#") as listener:
            run = await energised(listener, served.instrument)
            folder = tmp_path / "state" / "runs" / f"{run}_technique"
            raw = folder / "pstat.cborseq"
            await eventually(lambda: raw.exists() and raw.stat().st_size > 0)
            process.kill()
            await process.wait()
            seen = [decode(payload) for payload in listener.of(SAMPLES)]
    record = find(run, [tmp_path / "state" / "runs"])
    assert (record.complete, record.status) == (False, "unfinished")
    assert record.manifest["parameters"]["current_a"] == 1e-6
    assert [event["text"] for event in record.events] == [f"run {run} (technique) started, asked for by test"]
    (blocks,) = record.samples().values()
    assert blocks[0].first_index == 0
    for recorded, published in zip(blocks, seen, strict=False):
        assert recorded["current_a"].tobytes() == published["current_a"].tobytes()
    made = record.export()
    with made[0].open(newline="") as file:
        assert len(list(csv.DictReader(file))) == sum(map(len, blocks))
    assert "did not end properly" in report(record).read_text()
    assert any("did not end properly" in line for line in record.problems())
    assert json.loads((folder / "manifest.json").read_text())["complete"] is False  # nobody pretends


async def test_exports_and_report_are_made_when_the_run_has_ended(rig: RigMaker, tmp_path: Path) -> None:
    async with rig(devices=("pstat",), data_dir=tmp_path / "runs", reports=True) as r:
        run = await r.run(**CHARGE)
        await r.result(run)
        told = await r.listener.json(f"{r.prefix}/events", lambda event: event["text"].startswith("report: "), 30)
    record = find(run, [tmp_path / "runs"])
    assert told["text"] == f"report: {record.folder / 'report.html'}"
    assert told["run"] == run
    assert {"pstat.bdf.csv", "pstat.bdf.parquet", "report.html", "1-pstat-samples.png"} <= set(record.manifest["files"])
    assert record.problems() == []


def test_runs_are_found_by_id_and_folder(tmp_path: Path) -> None:
    assert records([tmp_path]) == []
    with pytest.raises(InvalidValue, match=r"run 'x' is not recorded in .*; the newest there: none"):
        find("x", [tmp_path])
    with pytest.raises(InvalidValue, match="is no run folder"):
        find(str(tmp_path), [])


async def test_a_long_record_is_drawn_by_its_extremes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = await Recorder(tmp_path).begin(Description("run-1", "technique", START_NS))
    long = block(0, 20_000)
    long["current_a"][4321] = 7e-9
    recording.add("pstat", long)
    await recording.end({})
    monkeypatch.setattr("bridge.report.run_report._DRAWN_BYTES", 20_000)
    (drawn,) = _samples(RunRecord.open(recording.folder))["pstat"]
    assert len(drawn) < 1000
    assert 7e-9 in drawn["current_a"].tolist()
