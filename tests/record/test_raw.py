"""Raw files: every bit, up to where a crash cut them."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.record.raw import RawReader, RawWriter
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
