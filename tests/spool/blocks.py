"""Blocks and records for tests of the spool, and what a log holds of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bridge.transfer import codec
from bridge.transfer.spool.faults import FaultKind
from bridge.transfer.spool.files import Files
from bridge.transfer.spool.format import Kind, Record
from bridge.transfer.spool.log import SegmentLog
from bridge.transfer.spool.options import SpoolOptions
from drivers.samples import SAMPLE_COLUMNS, EndReason, SampleBlock

FOLDER = Path("/spool")


def block(stream: str, first_index: int, samples: int, end: EndReason | None = None) -> SampleBlock:
    """Samples that only this stream has at these indices."""
    index = np.arange(first_index, first_index + samples, dtype=np.float64)
    salt = sum(stream.encode())
    columns = {"time_s": index / 100, "voltage_v": index + salt, "current_a": np.sin(index + salt), "flags": index % 3}
    return SampleBlock.of(
        SAMPLE_COLUMNS,
        columns,
        stream=stream,
        first_index=first_index,
        start_time_ns=7,
        end=end,
        attributes={"range": 1},
    )


def record(stream: str, first_index: int, samples: int, wall_ns: int = 0) -> Record:
    payload = codec.encode(block(stream, first_index, samples))
    return Record(Kind.BLOCK, stream, first_index, first_index + samples, payload, wall_ns)


def opened(
    files: Files, folder: Path = FOLDER, told: list[tuple[FaultKind, str]] | None = None, **options: object
) -> SegmentLog:
    """A log in small segments."""
    values = {"segment_bytes": 4000, "reserve_bytes": 0, **options}
    faults = told if told is not None else []
    return SegmentLog(folder, SpoolOptions(**values), files, lambda kind, text: faults.append((kind, text)))  # type: ignore[arg-type]


def everything(log: SegmentLog, stream: str, limit_bytes: int = 1_000_000) -> list[tuple[int, int, bytes]]:
    """All that can be read of a stream, in several readings."""
    known = log.ranges().get(stream)
    found: list[tuple[int, int, bytes]] = []
    position = 0 if known is None else known.first_index
    while got := log.read(stream, position, limit_bytes):
        found += [each for each in got if each not in found[-1:]]
        if got[-1][1] == position:
            break
        position = got[-1][1]
    return found


def indices(stored: Sequence[tuple[int, int, bytes]]) -> list[int]:
    """Of every sample, checked to be what it was."""
    found: list[int] = []
    for first, after, payload in stored:
        decoded = codec.decode(payload)
        assert (decoded.first_index, decoded.next_index) == (first, after)
        expected = block(decoded.stream, first, after - first)
        for column in decoded.columns:
            assert decoded[column.name].tobytes() == expected[column.name].tobytes()
        found += range(first, after)
    return found
