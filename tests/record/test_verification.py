"""Each kind of damage to a record is found and named."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.record import Description, Recorder, RunRecord, manifest
from bridge.record.raw import RawReader
from bridge.report.run_report import report
from bridge.transfer.codec import encode
from drivers.errors import InvalidValue

from .blocks import START_NS, block

FILES = (
    *("manifest.json", "pstat.cborseq", "result.json", "events.jsonl", "report.html", "1-pstat-samples.png"),
    *("pstat.bdf.csv", "pstat.bdf.parquet", "pstat.raw.parquet", "pstat.h5", "pstat.mpt", "pstat.jsonl"),
)


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A record with three blocks, every export and a report."""
    recording = await Recorder(tmp_path, free=lambda _: 10**12).begin(Description("run-1", "rest", START_NS))
    for first in (0, 10, 20):
        recording.add("pstat", block(first, 10, step=f"step {first}"))  # blocks that cannot be put together
    recording.event({"text": "half a pair \ud800, and µ", "time_ns": START_NS, "severity": "info"})
    streams = {"pstat": {"stream": "pstat-1", "first_index": 0, "next_index": 30}}
    recording.description.end("finished", START_NS + 10**9, None, streams=streams)
    await recording.end({"procedure": "rest", "verdict": "pass"})
    record = RunRecord.open(recording.folder)
    record.export(["bdf-csv", "bdf-parquet", "raw-parquet", "hdf5", "ec-lab", "jsonl"])
    report(RunRecord.open(recording.folder))
    return recording.folder


def found(folder: Path) -> list[str]:
    """What `picobridge verify` would say."""
    try:
        return RunRecord.open(folder).problems()
    except InvalidValue as error:
        return [error.message]


def rewrite(folder: Path, change: Callable[[dict[str, object]], None]) -> None:
    """The manifest edited by hand, its own checksum left as it was."""
    path = folder / manifest.NAME
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content, indent=2) + "\n")


async def test_what_was_written_is_in_order(folder: Path) -> None:
    assert found(folder) == []
    assert {path.name for path in manifest.files_of(folder)} >= set(FILES[1:])


async def test_a_flipped_bit_is_found_in_every_file(folder: Path) -> None:
    chance = random.Random(5)
    for name in FILES:
        path = folder / name
        whole = path.read_bytes()
        for _ in range(40 if name == manifest.NAME else 3):
            damaged = bytearray(whole)
            damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
            path.write_bytes(damaged)
            lines = found(folder)
            assert lines, name
            assert any(name in line for line in lines), lines
        path.write_bytes(whole)
    assert found(folder) == []


@pytest.mark.parametrize("name", FILES[1:])
async def test_a_missing_a_cut_and_a_grown_file_are_named(folder: Path, name: str) -> None:
    path = folder / name
    whole = path.read_bytes()
    path.unlink()
    assert f"{name} is missing" in found(folder)
    path.write_bytes(whole[:-1])
    assert f"{name} is cut: {len(whole) - 1} bytes of {len(whole)} are there" in found(folder)
    path.write_bytes(whole + b"\n")
    assert f"{name} has grown: {len(whole) + 1} bytes are there, {len(whole)} were written" in found(folder)


async def test_a_file_that_is_not_of_the_record_is_named(folder: Path) -> None:
    (folder / "other.csv").write_text("1,2\n")
    assert found(folder) == ["other.csv is not of this record: it was not there when the manifest was written"]


async def test_a_missing_block_is_named_though_every_checksum_was_made_to_fit(folder: Path) -> None:
    path = folder / "pstat.cborseq"
    blocks = list(RawReader(path))
    path.write_bytes(encode(blocks[0]) + encode(blocks[2]))
    content = manifest.read(folder)
    content["files"] |= manifest.describe_files(folder, [path])
    manifest.write(folder, content)
    assert found(folder) == [
        "pstat.cborseq lacks samples 10 to 19: blocks are missing",
        "10 samples of pstat are missing",
    ]


async def test_a_tail_that_was_cut_off_is_named_though_every_checksum_was_made_to_fit(folder: Path) -> None:
    path = folder / "pstat.cborseq"
    path.write_bytes(path.read_bytes()[:-7])
    content = manifest.read(folder)
    content["files"] |= manifest.describe_files(folder, [path])
    manifest.write(folder, content)
    lines = found(folder)
    assert "bytes of pstat.cborseq cannot be read: the block ends too early" in lines[0]
    assert lines[1] == "10 samples of pstat are missing"


async def test_a_block_that_is_there_twice_is_named(folder: Path) -> None:
    path = folder / "pstat.cborseq"
    blocks = list(RawReader(path))
    path.write_bytes(b"".join(map(encode, [*blocks, blocks[1]])))
    assert "pstat.cborseq has samples 10 to 19 twice" in found(folder)


async def test_an_edited_manifest_is_named(folder: Path) -> None:
    edits: dict[str, Callable[[dict[str, object]], None]] = {
        "another user": lambda content: content.update(asked_by="somebody else"),
        "another number": lambda content: content.update(parameters={"current_a": 1e-12}),
        "no checksum": lambda content: content.pop("manifest_sha256", None),
        "one key more": lambda content: content.update(note="it went well"),
    }
    whole = (folder / manifest.NAME).read_bytes()
    for edit in edits.values():
        rewrite(folder, edit)
        assert found(folder) == ["manifest.json is not what was written: its SHA-256 differs"]
        (folder / manifest.NAME).write_bytes(whole)


async def test_a_record_of_the_first_version_can_be_read(folder: Path) -> None:
    def older(content: dict[str, object]) -> None:
        content["format_version"] = 1
        for key in ("manifest_sha256", "asked_by", "safety", "configuration_sha256", "recorder"):
            del content[key]

    rewrite(folder, older)
    assert found(folder) == []
    report(RunRecord.open(folder))
    assert found(folder) == []
