"""Samples as Parquet: batches gathered to row groups of a useful size, compressed with zstd."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivers.samples import SampleBlock

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows of one row group: large enough to compress well, small enough to be read in part.
_ROWS = 1 << 20


class ParquetWriter:
    """One new file. `at_the_end` is asked for more of its metadata. Raises `OSError`."""

    def __init__(self, path: Path, schema: pa.Schema, at_the_end: Callable[[], Mapping[str, str]] = dict) -> None:
        from pyarrow import parquet

        self._writer = parquet.ParquetWriter(path, schema, compression="zstd")
        self._at_the_end = at_the_end
        self._batches: list[Any] = []
        self._rows = 0

    def write(self, table: pa.RecordBatch, block: SampleBlock | None = None) -> None:
        self._batches.append(table)
        self._rows += table.num_rows
        if self._rows >= _ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._batches:
            # one dictionary a row group: a file has one for each of its own
            whole = pa.Table.from_batches(self._batches).unify_dictionaries().combine_chunks()
            self._writer.write_table(whole)
        self._batches, self._rows = [], 0

    def close(self) -> None:
        self._flush()
        if more := self._at_the_end():
            self._writer.add_key_value_metadata(dict(more))
        self._writer.close()
