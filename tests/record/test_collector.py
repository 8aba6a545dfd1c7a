"""A recorder elsewhere: the same folder as the daemon's, whenever it comes and whatever ends it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.client import connect
from bridge.record import Collector, Description, Recorder, RunRecord, manifest
from bridge.report import recorder as mqtt_recorder
from bridge.report.recorder import recording
from drivers.errors import InvalidValue
from drivers.samples import EndReason
from tests.bridge.conftest import Rig, RigMaker, eventually
from tests.bridge.fakes import ramp

from .blocks import START_NS, block
from .test_daemon_records import CHARGE

COLUMNS = ("time_s", "voltage_v", "current_a", "flags")


def same_samples(one: RunRecord, other: RunRecord) -> None:
    for mine, yours in zip(one.samples()["pstat"], other.samples()["pstat"], strict=True):
        assert (mine.first_index, mine.start_time_ns, mine.end) == (yours.first_index, yours.start_time_ns, yours.end)
        assert all(mine[name].tobytes() == yours[name].tobytes() for name in COLUMNS)


def same_record(remote: Path, daemons: Path) -> None:
    """Everything but how blocks were put together on disk, and who wrote it."""
    one, other = RunRecord.open(remote), RunRecord.open(daemons)
    assert one.complete
    assert one.problems() == other.problems() == []
    same_samples(one, other)
    own = {"recorder", "files", "manifest_sha256"}
    assert {k: v for k, v in one.manifest.items() if k not in own} == {
        k: v for k, v in other.manifest.items() if k not in own
    }
    for name in (manifest.RESULT, manifest.EVENTS):
        assert (remote / name).read_bytes() == (daemons / name).read_bytes()
    assert one.manifest["recorder"]["software"] == manifest.software()
    assert other.manifest["recorder"] is None


@asynccontextmanager
async def elsewhere(r: Rig, folder: Path, name: str = "") -> AsyncIterator[mqtt_recorder.Recorder]:
    async with (
        connect(str(r.daemon.broker), name="recorder", ask_devices=False) as lab,
        recording(lab, Collector(Recorder(folder), name), name=name) as recorder,
    ):
        yield recorder


async def recorded(folder: Path, run: str) -> Path:
    """Where a run is recorded, once it is."""
    path = folder / f"{run}_technique"
    await eventually(lambda: (path / manifest.NAME).exists() and RunRecord.open(path).complete)
    return path


async def test_a_folder_like_the_daemons(rig: RigMaker, tmp_path: Path) -> None:
    async with (
        rig(devices=("pstat",), data_dir=tmp_path / "runs", exports=False) as r,
        elsewhere(r, tmp_path / "elsewhere") as recorder,
    ):
        run = await r.run(**CHARGE)
        result = await r.result(run)
        folder = await recorded(tmp_path / "elsewhere", run)
        assert await recorder.all_ended(10.0)
        same_record(folder, Path(result["folder"]))


async def test_a_run_under_way_is_recorded_from_its_first_sample_on(rig: RigMaker, tmp_path: Path) -> None:
    go_on = asyncio.Event()
    async with rig(devices=("pstat",), data_dir=tmp_path / "runs", exports=False) as r:
        r.device("pstat").script = lambda technique: [*ramp(20, 5)[:2], go_on.wait, *ramp(20, 5)[2:]]
        run = await r.run(**CHARGE)
        await eventually(lambda: r.daemon.devices["pstat"].pump.next_index == 10)
        async with elsewhere(r, tmp_path / "elsewhere"):
            go_on.set()
            result = await r.result(run)
            same_record(await recorded(tmp_path / "elsewhere", run), Path(result["folder"]))


async def test_a_recorder_that_was_away_goes_on_with_the_same_folder(
    rig: RigMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_recorder, "_FLUSH_S", 0.01)
    go_on = asyncio.Event()
    async with rig(devices=("pstat",), data_dir=tmp_path / "runs", exports=False) as r:
        r.device("pstat").script = lambda technique: [*ramp(20, 5)[:2], go_on.wait, *ramp(20, 5)[2:]]
        async with elsewhere(r, tmp_path / "elsewhere", "archive") as first:
            run = await r.run(**CHARGE)
            assert await first.until(10, 10.0)
        left = RunRecord.open(tmp_path / "elsewhere" / f"{run}_technique")
        assert (left.complete, left.status) == (False, "unfinished")
        with (left.folder / "pstat.cborseq").open("ab") as file:  # as if it had been killed in the middle of a block
            file.write(b"\xa7\x61v\x01")
        with (left.folder / manifest.EVENTS).open("ab") as file:
            file.write(b'{"text": "cut')
        go_on.set()
        result = await r.result(run)
        async with elsewhere(r, tmp_path / "elsewhere", "archive"):
            same_record(await recorded(tmp_path / "elsewhere", run), Path(result["folder"]))
        assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == [f"{run}_technique"]
        # what is recorded is not recorded again
        async with elsewhere(r, tmp_path / "elsewhere", "archive") as again:
            assert await again.complete(10.0)
        assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == [f"{run}_technique"]


async def test_it_is_the_only_record_where_the_daemon_keeps_none(rig: RigMaker, tmp_path: Path) -> None:
    async with rig(devices=("pstat",)) as r, elsewhere(r, tmp_path / "elsewhere"):
        run = await r.run(**CHARGE)
        result = await r.result(run)
        record = RunRecord.open(await recorded(tmp_path / "elsewhere", run))
    assert result["folder"] is None
    assert record.result == result["result"]
    assert record.manifest["asked_by"] == "test"
    assert record.manifest["devices"]["pstat"]["identity"]["model"]
    assert record.problems() == []


# --- the writer alone: what comes in odd order, or never ------------------------------------------------------------


def said(run: str = "run-1", *, ended: bool = False, next_index: int = 10, **more: Any) -> dict[str, Any]:
    """A manifest as it is published."""
    description = Description(run, "cycle", START_NS, **more)
    if ended:
        streams = {"pstat": {"stream": "pstat-1", "first_index": 0, "next_index": next_index}}
        description.end("finished", START_NS + 10**9, None, streams=streams)
    content = {key: value for key, value in description.content.items() if key not in ("files", "complete")}
    plain: dict[str, Any] = json.loads(json.dumps(content))
    return plain


def collector(folder: Path, name: str = "") -> Collector:
    return Collector(Recorder(folder, free=lambda _: 10**12), name)


async def test_samples_before_their_manifest_find_their_folder(tmp_path: Path) -> None:
    writer = collector(tmp_path)
    await writer.take(block(0, 10, run="run-1", end=EndReason.DURATION))
    await writer.manifest(said(ended=True))
    await writer.reached({"pstat-1": 10}, everything=False)
    assert writer.under_way == ["run-1"]  # its result has not come
    writer.outcome("run-1", {"result": {"verdict": "pass"}})
    await writer.reached({"pstat-1": 10}, everything=False)
    record = RunRecord.open(tmp_path / "run-1_cycle")
    assert (record.verdict, record.procedure, record.problems()) == ("pass", "cycle", [])
    assert np.concatenate([b["current_a"] for b in record.samples()["pstat"]]).shape == (10,)


async def test_what_is_lost_for_good_is_told(tmp_path: Path) -> None:
    writer = collector(tmp_path)
    await writer.manifest(said(ended=True, next_index=30))
    writer.outcome("run-1", {"result": None})
    await writer.take(block(0, 10, run="run-1"))
    await writer.take(block(20, 5, run="run-1"))
    await writer.reached({"pstat-1": 25}, everything=False)
    assert writer.under_way == ["run-1"]
    await writer.reached({"pstat-1": 30}, everything=False)  # the rest is gone, says the daemon
    record = RunRecord.open(tmp_path / "run-1_cycle")
    assert not record.complete
    assert record.problems() == [
        "the record is not complete",
        "pstat.cborseq lacks samples 10 to 19: blocks are missing",
        "15 samples of pstat are missing",
    ]


async def test_a_run_whose_daemon_was_killed_ends_with_what_its_spool_had(tmp_path: Path) -> None:
    writer = collector(tmp_path)
    await writer.manifest(said())
    await writer.take(block(0, 10, run="run-1"))
    writer.state("run-1", {"status": "running"})
    await writer.reached({"pstat-1": 10}, everything=True)
    assert writer.under_way == ["run-1"]
    writer.state("run-1", {"status": "interrupted"})
    assert writer.interrupted
    await writer.reached({"pstat-1": 10}, everything=True)
    record = RunRecord.open(tmp_path / "run-1_cycle")
    assert (record.status, record.complete) == ("interrupted", False)
    assert record.problems() == ["the run did not end properly (status interrupted); this is what was saved"]


async def test_a_named_recorder_keeps_what_ended_without_a_sample(tmp_path: Path) -> None:
    for name, folders in (("archive", ["run-1_cycle"]), ("", [])):
        writer = collector(tmp_path / (name or "none"), name)
        await writer.manifest(said(ended=True, next_index=0))
        writer.outcome("run-1", {"result": {"position": 1}})
        await writer.reached({}, everything=False)
        assert [path.name for path in (tmp_path / (name or "none")).glob("*")] == folders


@pytest.mark.parametrize("change", [{"format": "x"}, {"streams": {"pstat": 1}}, {"ended_ns": "now"}, {"events": None}])
async def test_what_is_no_manifest_makes_no_folder(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        await collector(tmp_path).manifest({**said(), **change})
    assert os.listdir(tmp_path) == []
