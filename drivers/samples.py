"""Blocks of samples: columns of numpy arrays with an index that has no gaps.

No step between the wire and the subscriber may round a value: what the instrument said is what arrives, to the bit of
its float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntFlag, StrEnum
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InvalidValue

Array = npt.NDArray[Any]


class Flag(IntFlag):
    """What the instrument said about a sample, beside its numbers (column `flags`, uint32)."""

    NONE = 0
    OVERLOAD = 1
    """Current or voltage beyond the measuring range: the number is clipped or NaN."""
    COMPLIANCE = 2
    """The source is at the limit that was set for it: the set point is not what flows."""
    RANGE_COMPLIANCE = 4
    """The source is held back by the measuring range, not by the cell."""
    UNDERLOAD = 8
    """The range is too large for this value: resolution is lost."""
    OVERLOAD_WARNING = 16
    TIMING = 32
    """The device could not keep the interval asked for."""
    INVALID = 64
    """The device sent its marker for "no value"; the number is NaN."""
    SETTLING = 128
    """Taken before range or source had settled."""
    GAP = 256
    """Samples are missing before this one."""
    HOST_TIME = 512
    """The device has no clock: `time_s` is the host's monotonic time."""


class EndReason(StrEnum):
    """Why a technique ended."""

    DURATION = "duration"
    VOLTAGE_MAX = "voltage_max"
    VOLTAGE_MIN = "voltage_min"
    CAPACITY = "capacity"
    TAPER = "taper"
    CURRENT_LIMIT = "current_limit"
    OVERLOAD = "overload"
    FINISHED = "finished"
    """The device came to the end of its program (a sweep, an impedance spectrum)."""
    STOPPED = "stopped"
    """`stop()` was called."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a block. `dtype` is a numpy dtype name: float64 for anything measured, uint32 for flags."""

    name: str
    unit: str
    dtype: str = "float64"


TIME = Column("time_s", "s")
VOLTAGE = Column("voltage_v", "V")
CURRENT = Column("current_a", "A")
FLAGS = Column("flags", "1", "uint32")
FREQUENCY = Column("frequency_hz", "Hz")
Z_REAL = Column("z_real_ohm", "Ohm")
Z_IMAG = Column("z_imag_ohm", "Ohm")

SAMPLE_COLUMNS = (TIME, VOLTAGE, CURRENT, FLAGS)
IMPEDANCE_COLUMNS = (TIME, FREQUENCY, Z_REAL, Z_IMAG, FLAGS)


@dataclass(frozen=True, slots=True)
class SampleBlock:
    """Consecutive samples of one stream.

    `data[name]` has shape `(n,)` for every column. `first_index` is the index of the first sample in the stream; the
    next block starts at `next_index`. `start_time_ns` is the UTC instant at which the column `time_s` is zero. `end` is
    set on the last block of a technique (which may be empty) and says why it ended. `attributes` holds what does not
    change within a block (range, technique), as JSON values.
    """

    stream: str
    first_index: int
    start_time_ns: int
    columns: tuple[Column, ...]
    data: Mapping[str, Array]
    end: EndReason | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        length = len(self)
        for column in self.columns:
            if len(self.data[column.name]) != length:
                lengths = {column.name: len(self.data[column.name]) for column in self.columns}
                raise InvalidValue(f"columns of one block differ in length: {lengths}")

    def __len__(self) -> int:
        return len(self.data[self.columns[0].name])

    @property
    def next_index(self) -> int:
        return self.first_index + len(self)

    def __getitem__(self, name: str) -> Array:
        return self.data[name]

    def rebased(self, stream: str, first_index: int, attributes: Mapping[str, Any] | None = None) -> SampleBlock:
        """The same samples as part of another stream, and with other attributes if some are given."""
        attributes = self.attributes if attributes is None else attributes
        return SampleBlock(stream, first_index, self.start_time_ns, self.columns, self.data, self.end, attributes)

    @staticmethod
    def of(
        columns: Sequence[Column],
        data: Mapping[str, Any],
        *,
        stream: str = "",
        first_index: int = 0,
        start_time_ns: int = 0,
        end: EndReason | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> SampleBlock:
        """Build a block from lists or arrays, converted to each column's dtype."""
        arrays = {column.name: np.asarray(data[column.name], dtype=column.dtype) for column in columns}
        return SampleBlock(stream, first_index, start_time_ns, tuple(columns), arrays, end, attributes or {})

    @staticmethod
    def concatenate(blocks: Sequence[SampleBlock]) -> SampleBlock:
        """One block out of consecutive ones of the same stream and columns.

        Raises `InvalidValue` if there are none, if columns differ, or if an index is missing.
        """
        if not blocks:
            raise InvalidValue("no blocks to put together")
        first, last = blocks[0], blocks[-1]
        for left, right in pairwise(blocks):
            if right.columns != first.columns or right.first_index != left.next_index:
                raise InvalidValue(f"block at index {right.first_index} does not follow index {left.next_index}")
        data = {c.name: np.concatenate([b.data[c.name] for b in blocks]) for c in first.columns}
        return replace(first, data=data, end=last.end)
