"""Blocks as a table that loses nothing of them: every column as the instrument gave it, flags beside, and the rest.

Beside the columns of the blocks (`time_s` since `start_time_ns`, units in each field's metadata): `sample_index`,
`start_time_ns` (UTC in ns since 1970) and `attributes`, JSON, what held for the whole block. How techniques ended is in
the file's metadata, `ends`: a block that says so may have no sample.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from drivers.samples import Column, SampleBlock

if TYPE_CHECKING:
    import pyarrow as pa

_OWN_UNITS = {"sample_index": "1", "start_time_ns": "ns", "attributes": ""}


class RawTables:
    """`columns` are those that any of the blocks has; where a block has not, there is null."""

    def __init__(self, columns: Iterable[Column]) -> None:
        self._columns = tuple(columns)
        #: how techniques ended, so far
        self.ends: list[dict[str, Any]] = []

    def schema(self, about: Mapping[str, str]) -> pa.Schema:
        import pyarrow as pa

        own: dict[str, Any] = {
            "sample_index": pa.int64(),
            "start_time_ns": pa.int64(),
            "attributes": pa.dictionary(pa.int32(), pa.string()),
        }
        fields = [pa.field(name, kind, metadata={"unit": _OWN_UNITS[name]}) for name, kind in own.items()]
        fields += [
            pa.field(column.name, pa.from_numpy_dtype(column.dtype), metadata={"unit": column.unit})
            for column in self._columns
        ]
        return pa.schema(fields, metadata=dict(about))

    def table(self, block: SampleBlock) -> pa.RecordBatch:
        import pyarrow as pa

        if block.end is not None:
            self.ends.append(
                {"next_index": block.next_index, "start_time_ns": block.start_time_ns, "end": block.end.value}
            )
        count, schema = len(block), self.schema({})
        attributes = json.dumps(dict(block.attributes), sort_keys=True)
        columns: dict[str, Any] = {
            "sample_index": np.arange(block.first_index, block.next_index),
            "start_time_ns": np.full(count, block.start_time_ns),
            "attributes": pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), pa.array([attributes])),
        }
        for column in self._columns:
            kind = schema.field(column.name).type
            columns[column.name] = block[column.name] if column.name in block.data else pa.nulls(count, kind)
        arrays = [
            value if isinstance(value, pa.Array) else pa.array(value, type=schema.field(name).type)
            for name, value in columns.items()
        ]
        return pa.record_batch(arrays, schema=schema)
