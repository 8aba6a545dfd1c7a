"""Parts of a recording put together: each sample once, whatever the parts have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.record import merging
from bridge.record.part_folder import Part, part_folder
from bridge.record.raw import RawReader
from bridge.record.run_record import RunRecord
from drivers.errors import InvalidValue
from drivers.samples import SampleBlock
from tests.bridge.fakes import ramp
from tests.cli.test_direct import run


def blocks_of(samples: int, per_block: int) -> list[SampleBlock]:
    return [block.rebased("pstat-1", block.first_index) for block in ramp(samples, per_block)]


def part(parent: Path, member: str, blocks: list[SampleBlock], bridge: str = "lab", group: str = "archive") -> Path:
    with part_folder(parent, Part(group, member, bridge)) as folder:
        for block in blocks:
            folder.add(block)
        folder.finish(complete=False)
    return folder.path


def values(folder: Path) -> list[float]:
    (path,) = folder.glob("*.cborseq")
    return [value for block in RawReader(path) for value in block["voltage_v"].tolist()]


@given(st.lists(st.sets(st.integers(0, 2), max_size=3), min_size=8, max_size=8), st.integers(0, 2**31))
def test_each_sample_once_in_order_and_what_no_part_has_is_missing(
    tmp_path_factory: pytest.TempPathFactory, who: list[set[int]], seed: int
) -> None:
    """Each part in an order of its own, cut in blocks of other lengths."""
    folder = tmp_path_factory.mktemp("parts")
    cuts = [blocks_of(80, size) for size in (10, 5, 10)]
    shuffle = np.random.default_rng(seed).permutation
    parts = []
    for member, blocks in enumerate(cuts):
        mine = [block for block in blocks if member in who[block.first_index // 10]]
        parts.append(part(folder, f"m{member}", [mine[i] for i in shuffle(len(mine))]))
    there = [index for index in range(80) if who[index // 10]]
    if not there:
        return
    (merged,) = merging.merge(parts, folder / "runs")
    assert values(merged.folder) == [float(index) for index in there]
    assert merged.total.missing == there[-1] - there[0] + 1 - len(there)
    assert merged.total.duplicated == sum(10 * (len(members) - 1) for members in who if members)
    assert merged.differing == ()


def test_a_part_that_was_cut_off_gives_its_whole_blocks(tmp_path: Path) -> None:
    blocks = blocks_of(40, 10)
    cut = part(tmp_path, "a", blocks[:3])
    (path,) = cut.glob("*.cborseq")
    path.write_bytes(path.read_bytes()[:-5])
    (merged,) = merging.merge([cut, part(tmp_path, "b", blocks[2:])], tmp_path / "runs")
    assert values(merged.folder) == [float(index) for index in range(40)]
    assert merged.torn > 0
    assert RunRecord.open(merged.folder).problems() == []


def test_an_end_without_samples_stands_once_behind_its_samples(tmp_path: Path) -> None:
    (first, last) = blocks_of(20, 10)
    empty = replace(last, first_index=20, data={name: array[:0] for name, array in last.data.items()})
    unended = replace(last, end=None)
    parts = [part(tmp_path, "a", [first, empty]), part(tmp_path, "b", [empty, unended])]
    (merged,) = merging.merge(parts, tmp_path / "runs")
    (path,) = merged.folder.glob("*.cborseq")
    assert [(len(block), block.end) for block in RawReader(path)] == [(10, None), (10, None), (0, last.end)]


async def test_parts_that_differ_and_samples_that_are_missing_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = blocks_of(40, 10)
    other = replace(blocks[1], data={**blocks[1].data, "voltage_v": blocks[1]["voltage_v"] + 1.0})
    parts = [part(tmp_path, "a", blocks[:2]), part(tmp_path, "b", [other])]
    assert await run("merge", *map(str, parts), "--folder", str(tmp_path / "runs")) == 1
    assert "parts differ in pstat-1" in capsys.readouterr().out
    gap = [part(tmp_path, "c", [blocks[0], blocks[3]])]
    assert await run("merge", *map(str, gap), "--folder", str(tmp_path / "runs")) == 1
    assert "lab: 20 samples, 20 missing, 0 had twice" in capsys.readouterr().out
    with pytest.raises(InvalidValue, match="of the groups archive, other; accepted: parts of one group"):
        merging.merge([*gap, part(tmp_path, "d", blocks, group="other")], tmp_path / "runs")
    (merged,) = merging.merge([part(tmp_path, "e", blocks)], tmp_path / "runs")
    with pytest.raises(InvalidValue, match="is no part of a recording"):
        merging.merge([merged.folder], tmp_path / "runs")


def test_each_bridge_has_a_recording_of_its_own(tmp_path: Path) -> None:
    blocks = blocks_of(20, 10)
    parts = [part(tmp_path, "a", blocks, "lab-a"), part(tmp_path, "a", blocks[:1], "lab-b")]
    merged = merging.merge(parts, tmp_path / "runs")
    assert [(one.bridge, one.total.samples) for one in merged] == [("lab-a", 20), ("lab-b", 10)]


async def test_a_group_needs_a_member_and_a_name_of_its_own() -> None:
    for words in (("--group", "g"), ("--member", "a"), ("--group", "g", "--member", "a", "--name", "x")):
        with pytest.raises(InvalidValue, match="--group together with --member, and then no --name"):
            await run("record", *words)
