"""Raw files: every bit, up to where a crash cut them."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.record import raw
from bridge.record.raw import RawFiles, RawReader, RawWriter, in_use
from drivers.samples import EndReason, SampleBlock

from .blocks import block


def written(path: Path, *blocks: SampleBlock) -> Path:
    writer = RawWriter(path)
    writer.write(blocks)
    writer.close()
    return path


def test_every_bit_comes_back(tmp_path: Path) -> None:
    odd = block(0, 4, cycle=1, step="charge")
    odd["current_a"][:] = [-0.0, 5e-324, float("inf"), np.frombuffer(b"\x01\0\0\0\0\0\xf8\x7f")[0]]
    end = block(4, 0, end=EndReason.VOLTAGE_MAX)
    read = list(RawReader(written(tmp_path / "a.cborseq", odd, end)))
    assert [(b.stream, b.first_index, b.start_time_ns, b.end, dict(b.attributes)) for b in read] == [
        ("pstat-1", 0, odd.start_time_ns, None, {"cycle": 1, "step": "charge"}),
        ("pstat-1", 4, odd.start_time_ns, EndReason.VOLTAGE_MAX, {}),
    ]
    for name in odd.data:
        assert read[0][name].tobytes() == odd[name].tobytes()


def test_a_file_cut_anywhere_gives_the_whole_blocks_before_the_cut(tmp_path: Path) -> None:
    path = written(tmp_path / "a.cborseq", block(0, 2), block(2, 3), block(5, 1))
    content = path.read_bytes()
    sizes = [len(written(tmp_path / f"{n}", each).read_bytes()) for n, each in enumerate(RawReader(path))]
    ends = np.cumsum(sizes)
    assert ends[-1] == len(content)
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        reader = RawReader(path)
        whole = int(np.searchsorted(ends, cut, side="right"))
        assert len(list(reader)) == whole
        assert reader.unread_bytes == cut - (ends[whole - 1] if whole else 0)


def test_what_a_full_disk_cut_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = RawWriter(tmp_path / "a.cborseq")
    writer.write([block(0, 2)])
    before = (tmp_path / "a.cborseq").read_bytes()
    real = os.write

    def full(descriptor: int, data: Any) -> int:
        real(descriptor, bytes(data)[:7])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        writer.write([block(2, 2)])
    monkeypatch.setattr(os, "write", real)
    assert (tmp_path / "a.cborseq").read_bytes() == before
    writer.write([block(2, 2)])
    writer.close()
    assert [b.first_index for b in RawReader(tmp_path / "a.cborseq")] == [0, 2]
    assert writer.sha256 == hashlib.sha256((tmp_path / "a.cborseq").read_bytes()).hexdigest()


def test_blocks_longer_than_what_is_read_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.cborseq", block(0, 3), block(3, 40), block(43, 1))
    content = path.read_bytes()
    path.write_bytes(content + content[:10])
    for piece in (1, 7, 100, len(content)):
        monkeypatch.setattr(raw, "_PIECE", piece)
        reader = RawReader(path)
        assert [(each.first_index, len(each)) for each in reader] == [(0, 3), (3, 40), (43, 1)]
        assert reader.unread_bytes == 10


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    """A second one would cut off what the first one wrote, and each would vouch for its own."""
    with RawFiles(tmp_path) as files:
        files.write("pstat-1", "pstat", [block(0, 3)])
        with pytest.raises(OSError, match="another recorder writes there"):
            RawFiles(tmp_path)
        assert in_use(tmp_path)
        files.write("pstat-1", "pstat", [block(3, 3)])
    assert not in_use(tmp_path)
    with RawFiles(tmp_path) as later:
        assert later.counts["pstat-1"].next_index == 6
