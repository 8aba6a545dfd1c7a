"""Samples as JSON lines: an object a sample, keys with their unit as on MQTT, every number exact.

JSON has no NaN: such a number is null, an infinity the text "Infinity" or "-Infinity", as in `drivers.plain`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from drivers.samples import SampleBlock

from . import lines
from .keys import KEYS

if TYPE_CHECKING:
    import pyarrow as pa


class JsonLinesWriter:
    """One new file. Raises `FileExistsError`, `OSError`."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")

    def write(self, table: pa.RecordBatch, block: SampleBlock) -> None:
        for start in range(0, table.num_rows, lines.ROWS):
            some = table.slice(start, lines.ROWS)
            parts: list[object] = ["{"]
            for number, name in enumerate(some.schema.names):
                parts.append(f'{"," if number else ""}"{KEYS.get(name, name)}":')
                parts.append(lines.texts(some.column(number), nan="null", infinities=('"-Infinity"', '"Infinity"')))
            lines.write(self._file, [*parts, "}\n"])

    def close(self) -> None:
        self._file.close()
