"""BDF files and run folders: every sample, to the bit, once."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.record import RunFolder, RunRecord
from bridge.record.bdf import BdfTables
from bridge.transfer.codec import decode, encode
from drivers.errors import InvalidValue
from drivers.samples import IMPEDANCE_COLUMNS, EndReason, SampleBlock

from .blocks import block


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def spectrum() -> SampleBlock:
    return SampleBlock.of(IMPEDANCE_COLUMNS, {c.name: [1.0] for c in IMPEDANCE_COLUMNS}, stream="pstat-1")


def test_bdf_takes_no_impedance() -> None:
    with pytest.raises(InvalidValue, match="no time series"):
        BdfTables(cycles=False).table(spectrum())


def test_a_folder_holds_blocks_to_the_bit_and_text_beside(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        for part in (block(0, 10), block(10, 5, time=1.0, end=EndReason.DURATION)):
            folder.add(part)
    raw = (tmp_path / "run" / "pstat-1.cborseq").read_bytes()
    assert raw == encode(block(0, 10)) + encode(block(10, 5, time=1.0, end=EndReason.DURATION))
    assert len(rows(tmp_path / "run" / "pstat-1.bdf.csv")) == 15
    assert (folder.counts["pstat-1"].samples, folder.counts["pstat-1"].missing) == (15, 0)


def test_a_block_delivered_twice_is_recorded_once(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        for part in (block(0, 10), block(0, 10), block(5, 10, time=0.5), block(15, 1, time=1.5)):
            folder.add(part)
    read = rows(tmp_path / "run" / "pstat-1.bdf.csv")
    assert [int(row["Sample Index / 1"]) for row in read] == list(range(16))
    assert {row["Step Count / 1"] for row in read} == {"1"}
    count = folder.counts["pstat-1"]
    assert (count.samples, count.duplicated, count.missing) == (16, 15, 0)


def test_a_block_that_never_came_is_counted(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        folder.add(block(0, 10))
        folder.add(block(25, 5))
    assert folder.counts["pstat-1"].missing == 15


def test_a_recorder_that_joins_late_misses_nothing_of_what_it_was_to_hear(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        folder.add(block(1000, 10))
    assert folder.counts["pstat-1"].missing == 0


def test_streams_with_odd_names_get_files_of_their_own(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        folder.add(block(0, 1, stream="a/b"))
        folder.add(block(0, 1, stream="a:b"))
        folder.add(block(0, 1, stream="../.."))
    names = sorted(path.name for path in (tmp_path / "run").glob("*.cborseq"))
    assert names == ["a-b.cborseq", "a-b_2.cborseq", "unnamed.cborseq"]


def test_impedance_is_kept_as_blocks_only(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        folder.add(spectrum())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["pstat-1.cborseq"]


def test_folders_of_the_same_second_do_not_meet(tmp_path: Path) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    paths = [RunFolder.create(tmp_path, "noise test", now).path.name for _ in range(2)]
    assert paths == ["2026-01-02T030405Z_noise-test", "2026-01-02T030405Z_noise-test_2"]
    with pytest.raises(FileExistsError):
        RunFolder(tmp_path / paths[0])


def test_flushed_samples_survive_a_killed_recorder(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        folder.add(block(0, 10))
        folder.flush()
        assert len(rows(tmp_path / "run" / "pstat-1.bdf.csv")) == 10
        assert decode((tmp_path / "run" / "pstat-1.cborseq").read_bytes()).next_index == 10


def test_results_are_written_as_json(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        path = folder.write_json("1-cycle", {"charge_ah": 1.25e-12})
    assert json.loads(path.read_text()) == {"charge_ah": 1.25e-12}


def test_a_recording_that_ended_has_a_manifest_like_a_run(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, "record") as folder:
        assert not RunRecord.open(folder.path).complete
        folder.add(block(0, 10))
    folder.finish({"verdict": "pass"})
    record = RunRecord.open(folder.path)
    assert (record.complete, record.verdict, record.problems()) == (True, "pass", [])
    assert record.manifest["streams"]["pstat-1"]["samples"] == 10
    assert [path.name for path in record.export(["parquet"])] == ["pstat-1.bdf.parquet"]
