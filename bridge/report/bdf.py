"""Samples as Battery Data Format (Battery Data Alliance): one CSV, fixed labels and units.

Required columns `Test Time / s`, `Voltage / V`, `Current / A`; of the recommended ones `Unix Time / s` and
`Step Count / 1`. Two columns are ours and are allowed as extras: the sample's index and its flags
(`drivers.samples.Flag`). Numbers are written as the shortest text that reads back as the same float64: picoamperes do
not survive fixed decimals.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from drivers.errors import InvalidValue
from drivers.samples import SAMPLE_COLUMNS, SampleBlock

HEADER = (
    "Test Time / s",
    "Voltage / V",
    "Current / A",
    "Unix Time / s",
    "Step Count / 1",
    "Sample Index / 1",
    "Flags / 1",
)

#: The columns that a block must have.
_NEEDED = {column.name for column in SAMPLE_COLUMNS}


def is_time_series(block: SampleBlock) -> bool:
    """Has the block time, voltage, current and flags? An impedance spectrum has not: BDF does not cover it."""
    return {column.name for column in block.columns} >= _NEEDED


class BdfWriter:
    """Writes the blocks of one stream as they come. Sign of the current: positive charges.

    `Test Time` goes on from technique to technique, by the UTC time at which each started. A step is one technique.
    Blocks the caller while it writes; use a thread where that matters.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("x", encoding="utf-8", newline="\n")
        self._file.write(",".join(HEADER) + "\n")
        self._origin_ns: int | None = None
        self._step = 0
        self._start_ns: int | None = None
        self._ended = True

    def write(self, block: SampleBlock) -> None:
        """Raises `InvalidValue` for a block that is not a time series."""
        if not is_time_series(block):
            names = ", ".join(column.name for column in block.columns)
            raise InvalidValue(
                f"a block with columns {names} is no time series; time, voltage, current, flags are needed"
            )
        if self._ended or block.start_time_ns != self._start_ns:
            self._step += 1
            self._start_ns = block.start_time_ns
        self._ended = block.end is not None
        if self._origin_ns is None:
            self._origin_ns = block.start_time_ns
        time = block["time_s"]
        test_time = time + (block.start_time_ns - self._origin_ns) / 1e9
        unix_time = time + block.start_time_ns / 1e9
        index = np.arange(block.first_index, block.next_index)
        columns = (test_time, block["voltage_v"], block["current_a"], unix_time)
        rows = zip(
            *(map(repr, column.tolist()) for column in columns),
            *(map(str, column.tolist()) for column in (index, block["flags"])),
            strict=True,
        )
        step = str(self._step)
        self._file.writelines(f"{t},{v},{i},{u},{step},{n},{f}\n" for t, v, i, u, n, f in rows)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
