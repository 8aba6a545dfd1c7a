"""Impedance spectra as files: for each a CSV as EC-Lab exports it, for all of a stream one Parquet with the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from drivers.samples import IMPEDANCE_COLUMNS, SampleBlock

if TYPE_CHECKING:
    import pyarrow as pa

#: Of the CSV. The imaginary part has its sign turned, as the field plots it.
HEADER = ("freq/Hz", "Re(Z)/Ohm", "-Im(Z)/Ohm")
_NEEDED = {(column.name, column.dtype) for column in IMPEDANCE_COLUMNS}


def is_spectrum(block: SampleBlock) -> bool:
    return {(column.name, column.dtype) for column in block.columns} >= _NEEDED


def spectra(blocks: Iterable[SampleBlock]) -> Iterator[list[SampleBlock]]:
    """Blocks sweep by sweep; blocks of other kinds are passed over, and so are sweeps without a point."""
    having = (block for block in blocks if is_spectrum(block) and len(block))
    for _, group in groupby(having, key=lambda block: block.start_time_ns):
        yield list(group)


def points(sweep: list[SampleBlock]) -> pa.RecordBatch:
    """Of one sweep, for the CSV."""
    import pyarrow as pa

    frequency, real, imaginary = (
        np.concatenate([block[name] for block in sweep]) for name in ("frequency_hz", "z_real_ohm", "z_imag_ohm")
    )
    return pa.record_batch([pa.array(frequency), pa.array(real), pa.array(-imaginary)], names=list(HEADER))


def table(number: int, sweep: list[SampleBlock], about: Mapping[str, str]) -> pa.RecordBatch:
    """Of one sweep: every column of its blocks as it came, with the sweep's number and the UTC time. `about` and the
    units are in its metadata."""
    import pyarrow as pa

    names = [column.name for column in sweep[0].columns]
    columns = {name: np.concatenate([block[name] for block in sweep]) for name in names}
    count = len(columns["time_s"])
    index = np.concatenate([np.arange(block.first_index, block.next_index) for block in sweep])
    unix = columns["time_s"] + sweep[0].start_time_ns / 1e9
    data = {"spectrum": np.full(count, number), "sample_index": index, "unix_time_s": unix, **columns}
    units = {"unix_time_s": "s"} | {column.name: column.unit for column in sweep[0].columns}
    fields = [
        pa.field(name, pa.from_numpy_dtype(values.dtype), metadata={"unit": units.get(name, "1")})
        for name, values in data.items()
    ]
    return pa.record_batch(list(data.values()), schema=pa.schema(fields, metadata=dict(about)))
