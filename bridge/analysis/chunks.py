"""What is kept of every so many samples of a stream, so that a curve of a week is drawn without reading a week."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from drivers.samples import Column, SampleBlock

from .running_charge import CURRENT, TIME, RunningCharge
from .statistics import Floats

#: Samples of a chunk, which begins at a multiple of that: of a small one, and of a large one.
SMALL, LARGE = 64, 2048

FLAGS = "flags"

#: Records of consecutive chunks, see `dtype_of`.
Chunks = npt.NDArray[np.void]


def measured(columns: Sequence[Column]) -> list[Column]:
    """The columns that have bounds."""
    return [column for column in columns if column.name not in (TIME, FLAGS)]


def dtype_of(columns: int) -> np.dtype[np.void]:
    """Of a record with bounds of so many columns.

    `head_*` is the first sample with a current in the chunk's first technique, `tail_*` the last one in its last, NaN
    if there is none; `single` says that the two are one and the same. `charge_c` is counted within the chunk.
    """
    return np.dtype(
        [
            ("first", "<u8"),
            ("time_s", "<f8"),
            ("low", "<f8", (columns,)),
            ("high", "<f8", (columns,)),
            ("charge_c", "<f8"),
            ("head_ns", "<i8"),
            ("head_s", "<f8"),
            ("head_a", "<f8"),
            ("tail_ns", "<i8"),
            ("tail_s", "<f8"),
            ("tail_a", "<f8"),
            ("flags", "<u4"),
            ("single", "u1"),
        ]
    )


def chunk_of(blocks: Sequence[SampleBlock]) -> Chunks | None:
    """The record, shape (1,), of blocks that hold all samples of a chunk and no others, in order; None where they have
    different columns."""
    first = blocks[0]
    if any(block.columns != first.columns for block in blocks):
        return None
    columns = measured(first.columns)
    record = np.zeros(1, dtype_of(len(columns)))
    record["first"] = first.first_index
    record["time_s"] = first[TIME][0] if TIME in first.data else np.nan
    for number, column in enumerate(columns):
        values = np.concatenate([block[column.name] for block in blocks]).astype(np.float64)
        record["low"][0, number] = np.fmin.reduce(values)
        record["high"][0, number] = np.fmax.reduce(values)
    if FLAGS in first.data:
        record["flags"] = np.bitwise_or.reduce(np.concatenate([block[FLAGS] for block in blocks]).astype(np.uint32))
    charge = RunningCharge(first.first_index)
    for block in blocks:
        charge.add(block)
    record["charge_c"] = charge.total_c
    record["head_ns"], record["tail_ns"] = first.start_time_ns, blocks[-1].start_time_ns
    record["single"] = all(block.start_time_ns == first.start_time_ns for block in blocks)
    record["head_s"], record["head_a"] = _head(blocks)
    record["tail_s"], record["tail_a"] = charge.last or (np.nan, np.nan)
    return record


def _head(blocks: Sequence[SampleBlock]) -> tuple[float, float]:
    for block in blocks:
        if block.start_time_ns != blocks[0].start_time_ns or CURRENT not in block.data or TIME not in block.data:
            break
        time_s: Floats = block[TIME]
        good = np.flatnonzero(np.isfinite(block[CURRENT]) & np.isfinite(time_s))
        if len(good):
            return float(time_s[good[0]]), float(block[CURRENT][good[0]])
    return np.nan, np.nan
