"""Samples as Battery Data Format (Battery Data Alliance, as in `batterydf` 0.1.0): fixed labels and units.

Required columns `Test Time / s`, `Voltage / V`, `Current / A`; of the recommended ones `Unix Time / s`,
`Step Count / 1` and, where the run counts cycles, `Cycle Count / 1`. Two columns are ours and are allowed as extras:
the sample's index and its flags (`drivers.samples.Flag`). The format does not define the sign of a current; ours is its
practice: positive charges. In text every number is the shortest that reads back as the same float64: picoamperes do not
survive fixed decimals. BDF does not cover impedance: see `bridge.record.spectra`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drivers.errors import InvalidValue
from drivers.samples import SAMPLE_COLUMNS, SampleBlock

if TYPE_CHECKING:
    import pyarrow as pa

#: Whose labels these are: written into every file that can say so.
VERSION = "batterydf 0.1.0"
CYCLE = "Cycle Count / 1"
HEADER = (
    "Test Time / s",
    "Voltage / V",
    "Current / A",
    "Unix Time / s",
    CYCLE,
    "Step Count / 1",
    "Sample Index / 1",
    "Flags / 1",
)

#: The columns that a block must have, and their types.
_NEEDED = {(column.name, column.dtype) for column in SAMPLE_COLUMNS}


def is_time_series(block: SampleBlock) -> bool:
    """Has the block time, voltage, current and flags? An impedance spectrum has not."""
    return {(column.name, column.dtype) for column in block.columns} >= _NEEDED


def cycle_of(block: SampleBlock) -> int | None:
    """The cycle that a run was in when it took the block, if it counts them."""
    cycle = block.attributes.get("cycle")
    return cycle if isinstance(cycle, int) and not isinstance(cycle, bool) else None


class BdfTables:
    """Turns the blocks of one stream, in order, into tables of BDF columns.

    `Test Time` goes on from technique to technique, by the UTC time at which each started. A step is one technique.
    Without `cycles` there is no column for them.
    """

    def __init__(self, *, cycles: bool) -> None:
        self._cycles = cycles
        self._origin_ns: int | None = None
        self._step = 0
        self._start_ns: int | None = None
        self._ended = True

    def schema(self, about: dict[str, str] | None = None) -> pa.Schema:
        """`about` is kept in the file as its metadata."""
        import pyarrow as pa

        whole = {
            CYCLE: pa.int64(),
            "Step Count / 1": pa.int64(),
            "Sample Index / 1": pa.int64(),
            "Flags / 1": pa.uint32(),
        }
        names = [name for name in HEADER if self._cycles or name != CYCLE]
        fields = [
            pa.field(name, whole.get(name, pa.float64()), metadata={"unit": name.rpartition(" / ")[2]})
            for name in names
        ]
        return pa.schema(fields, metadata=about)

    def table(self, block: SampleBlock) -> pa.RecordBatch:
        """Raises `InvalidValue` for a block that is not a time series."""
        import pyarrow as pa

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
        count, time, cycle = len(block), block["time_s"], cycle_of(block)
        columns = {
            "Test Time / s": time + (block.start_time_ns - self._origin_ns) / 1e9,
            "Voltage / V": block["voltage_v"],
            "Current / A": block["current_a"],
            "Unix Time / s": time + block.start_time_ns / 1e9,
            CYCLE: pa.nulls(count, pa.int64()) if cycle is None else np.full(count, cycle),
            "Step Count / 1": np.full(count, self._step),
            "Sample Index / 1": np.arange(block.first_index, block.next_index),
            "Flags / 1": block["flags"],
        }
        schema = self.schema()
        return pa.record_batch([pa.array(columns[name], type=schema.field(name).type) for name in schema.names], schema)
