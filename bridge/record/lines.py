"""Columns of numbers as lines of text, many at once: every number the shortest that reads back as the same float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

#: Lines are made so many at once: text takes several times the memory of its numbers.
ROWS = 1 << 16


def texts(column: pa.Array, *, nan: str, infinities: tuple[str, str]) -> pa.Array:
    """Of numbers; what is no number, and null, becomes `nan`, an infinity one of `infinities` (below zero, above)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pc.cast(column, pa.string())
    if pa.types.is_floating(column.type):
        values = column.to_numpy(zero_copy_only=False)
        if not np.isfinite(values).all():
            cases = ((np.isnan(values), nan), (values == -np.inf, infinities[0]), (values == np.inf, infinities[1]))
            for where, instead in cases:
                text = pc.if_else(pa.array(where), instead, text)
    return pc.fill_null(text, nan)


def write(file: BinaryIO, parts: Sequence[Any]) -> None:
    """A line for each row: its parts, which are text or arrays of text, one after the other. Raises `OSError`."""
    import pyarrow.compute as pc

    joined = pc.binary_join_element_wise(*parts, "")
    offsets = np.frombuffer(joined.buffers()[1], np.int32)[joined.offset : joined.offset + len(joined) + 1]
    file.write(memoryview(joined.buffers()[2])[offsets[0] : offsets[-1]])
