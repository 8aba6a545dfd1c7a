"""Tables as CSV, as they come: one header, LF, UTF-8, numbers that read back as they were."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from drivers.samples import SampleBlock

if TYPE_CHECKING:
    import pyarrow as pa


class CsvWriter:
    """One new file. Raises `FileExistsError`, `OSError`."""

    def __init__(self, path: Path, header: list[str]) -> None:
        self._file = path.open("xb")
        # by hand: Arrow would put it into quotation marks, which not every reader of such files expects
        self._file.write((",".join(header) + "\n").encode())

    def write(self, table: pa.RecordBatch, block: SampleBlock | None = None) -> None:
        import pyarrow as pa
        from pyarrow import csv

        csv.write_csv(pa.Table.from_batches([table]), self._file, csv.WriteOptions(include_header=False))

    def close(self) -> None:
        self._file.close()
