"""A run being recorded: the queue, the thread that writes, and what is done when the disk gives out."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from bridge.record import Description, Recorder, Recording, RunRecord
from bridge.record.raw import RawReader, RawWriter
from bridge.record.recorder import check_writable
from drivers.errors import ConfigurationError, RunFailed
from drivers.samples import SampleBlock

from .blocks import START_NS, block

GB = 10**9


async def begin(folder: Path, *, free: int = GB, **options: Any) -> Recording:
    recorder = Recorder(folder, free=lambda _: free, **options)
    devices = {"pstat": {"role": "potentiostat", "driver": "fake"}}
    parameters = {"current_a": 1e-12}
    return await recorder.begin(
        Description(
            "run-1", "noise-test", START_NS, parameters=parameters, devices=devices, configuration={"bridge": "lab"}
        )
    )


async def end(recording: Recording, result: Any = None) -> RunRecord:
    recording.description.end("finished", START_NS + 5 * 10**9, None)
    await recording.end(result)
    return RunRecord.open(recording.folder)


async def test_blocks_result_events_and_manifest(tmp_path: Path) -> None:
    recording = await begin(tmp_path)
    assert json.loads((recording.folder / "manifest.json").read_text())["complete"] is False
    recording.add("pstat", block(7, 3))
    recording.event({"text": "contact was lost for 0.5 s"})
    recording.description.part("noise-test", "before", {"mean_a": 1e-12})
    recording.add("pstat", block(10, 2, time=0.3))
    record = await end(recording, {"verdict": "pass"})
    assert recording.folder.name == "run-1_noise-test"
    assert record.complete
    assert record.verdict == "pass"
    assert record.manifest["streams"] == {
        "pstat": {
            "stream": "pstat-1",
            "first_index": 7,
            "next_index": 12,
            "samples": 5,
            "missing": 0,
            "file": "pstat.cborseq",
        }
    }
    assert record.manifest["parts"] == [{"procedure": "noise-test", "title": "before", "result": {"mean_a": 1e-12}}]
    assert record.manifest["events"] == record.events == [{"text": "contact was lost for 0.5 s"}]
    assert record.manifest["ended_utc"] == "2026-01-01T00:00:05.000000Z"
    assert set(record.manifest["files"]) == {"pstat.cborseq", "events.jsonl", "result.json"}
    assert record.problems() == []
    assert [(b.first_index, len(b)) for b in record.samples()["pstat"]] == [(7, 5)]


async def test_what_was_changed_or_lost_is_found(tmp_path: Path) -> None:
    recording = await begin(tmp_path)
    recording.add("pstat", block(0, 3))
    recording.add("pstat", block(5, 1, time=0.5))
    record = await end(recording, {})
    (record.folder / "result.json").write_text("[]\n")
    (record.folder / "events.jsonl").unlink()
    assert record.problems() == [
        "the record is not complete",
        "events.jsonl is missing",
        "result.json is not what was written: its SHA-256 differs",
        "pstat.cborseq lacks samples 3 to 4: blocks are missing",
        "2 samples of pstat are missing",
    ]


async def test_exports_are_added_to_the_manifest(tmp_path: Path) -> None:
    recording = await begin(tmp_path)
    recording.add("pstat", block(0, 3))
    record = await end(recording)
    record.export()
    again = RunRecord.open(record.folder)
    assert {"pstat.bdf.csv", "pstat.bdf.parquet"} <= set(again.manifest["files"])
    assert again.problems() == []


async def test_a_second_run_of_the_name_does_not_write_over_the_first(tmp_path: Path) -> None:
    first, second = await begin(tmp_path), await begin(tmp_path)
    assert second.folder.name == "run-1_noise-test_2"
    for recording in (first, second):
        await end(recording)


async def test_a_run_that_was_not_started_leaves_nothing(tmp_path: Path) -> None:
    recording = await begin(tmp_path)
    await recording.discard()
    assert os.listdir(tmp_path) == []


async def test_too_little_space_to_begin(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="150 MB are free, 200 MB are needed") as caught:
        await begin(tmp_path, free=150_000_000)
    assert "data_dir" in caught.value.hint
    assert os.listdir(tmp_path) == []


async def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFailed, match=r"cannot be recorded in .*file/runs"):
        await begin(tmp_path / "file" / "runs")
    with pytest.raises(ConfigurationError, match="runs cannot be recorded in"):
        check_writable(tmp_path / "file" / "runs")


async def test_a_full_queue_says_so_and_is_emptied(tmp_path: Path) -> None:
    recording = await begin(tmp_path, limit_bytes=2000)
    recording.add("pstat", block(0, 100))
    assert recording.full
    assert await recording.room(10.0)
    await end(recording)


async def test_a_disk_that_runs_full_stops_the_run_and_nothing_queued_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.record.recording.SPACE_S", 0.0)
    free = [GB]
    recorder = Recorder(tmp_path, free=lambda _: free[0])
    recording = await recorder.begin(Description("run-1", "cycle", START_NS))
    free[0] = 99_000_000
    recording.add("pstat", block(0, 3))
    await recording.failed.wait()
    assert recording.error is not None
    assert "99 MB are free, 100 MB are kept free: the source is switched off" in recording.error.message
    recording.add("pstat", block(3, 2, time=0.3))  # what came while the source was being switched off
    record = await end(recording)
    assert record.complete
    assert record.manifest["streams"]["pstat"]["samples"] == 5


async def test_a_disk_that_takes_nothing_is_tried_again_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = await begin(tmp_path)
    real, full = RawWriter.write, [True]

    def write(self: RawWriter, blocks: list[SampleBlock]) -> None:
        if full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(self, blocks)

    monkeypatch.setattr(RawWriter, "write", write)
    recording.add("pstat", block(0, 3))
    await recording.failed.wait()
    assert recording.error is not None
    assert "No space left on device" in recording.error.message
    full[0] = False
    record = await end(recording)
    assert record.complete
    assert [len(b) for b in RawReader(record.folder / "pstat.cborseq")] == [3]


async def test_what_could_never_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = await begin(tmp_path)

    def write(self: RawWriter, blocks: list[SampleBlock]) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(RawWriter, "write", write)
    recording.add("pstat", block(0, 3))
    recording.description.end("failed", START_NS, None)
    with pytest.raises(RunFailed, match="3 samples are not on disk"):
        await recording.end(None)
    record = RunRecord.open(recording.folder)
    assert not record.complete
    assert record.status == "failed"


async def test_an_attempt_that_fails_while_the_run_ends_is_not_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = await begin(tmp_path)
    under_way, go_on, real = threading.Event(), threading.Event(), RawWriter.write

    def write(self: RawWriter, blocks: list[SampleBlock]) -> None:
        if not under_way.is_set():
            under_way.set()
            go_on.wait(10)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(self, blocks)

    monkeypatch.setattr(RawWriter, "write", write)
    recording.add("pstat", block(0, 3))
    await asyncio.to_thread(under_way.wait, 10)
    ending = asyncio.ensure_future(end(recording))
    await asyncio.sleep(0)
    go_on.set()
    assert (await ending).complete
