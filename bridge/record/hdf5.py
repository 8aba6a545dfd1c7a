"""Samples as HDF5: a dataset a column, with its unit and its label; what is known of the run as attributes of the file.

Chunked and compressed by what every HDF5 library has (shuffle, gzip). Numbers are exact, NaN included. A cycle that is
not known is -1, as the attribute `missing` of its dataset says.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drivers.samples import SampleBlock

from .keys import KEYS

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK = 1 << 16
_MISSING = -1


class Hdf5Writer:
    """One new file. Raises `FileExistsError`, `OSError`."""

    def __init__(self, path: Path, schema: pa.Schema, about: Mapping[str, str]) -> None:
        import h5py

        self._file = h5py.File(path, "x")
        self._file.attrs.update(about)
        for field in schema:
            dataset = self._file.create_dataset(
                KEYS.get(field.name, field.name),
                shape=(0,),
                maxshape=(None,),
                dtype=field.type.to_pandas_dtype(),
                chunks=(_CHUNK,),
                shuffle=True,
                compression="gzip",
                compression_opts=1,
            )
            label, _, unit = field.name.partition(" / ")
            dataset.attrs["units"] = unit or (field.metadata or {}).get(b"unit", b"").decode()
            dataset.attrs["long_name"] = label
            dataset.attrs["label"] = field.name

    def write(self, table: pa.RecordBatch, block: SampleBlock) -> None:
        import pyarrow.compute as pc

        for name, column in zip(table.schema.names, table.columns, strict=True):
            dataset = self._file[KEYS.get(name, name)]
            if column.null_count:
                dataset.attrs["missing"] = _MISSING
                column = pc.fill_null(column, _MISSING)
            before = len(dataset)
            dataset.resize((before + len(column),))
            dataset[before:] = np.asarray(column)

    def close(self) -> None:
        self._file.close()
