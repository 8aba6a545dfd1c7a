"""From the raw blocks of a stream to files that other programs read: Parquet and CSV.

It may be done at the end of a run, on demand, or after a crash: it needs nothing but the raw file. Files are replaced
as a whole, so doing it twice leaves what doing it once does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import spectra
from .bdf import VERSION, BdfTables, cycle_of, is_time_series
from .raw import SUFFIX, RawReader, merged
from .text import CsvWriter

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = ("csv", "parquet")
#: Rows of one row group: large enough to compress well, small enough to be read in part.
_ROWS = 1 << 20


def export_stream(raw: Path, kinds: Collection[str] = KINDS, about: dict[str, str] | None = None) -> list[Path]:
    """Write the exports of one raw file beside it; returns their paths. `about` goes into the Parquet files' metadata.

    `STEM.bdf.csv` and `STEM.bdf.parquet` for time series; `STEM.impedance-N.csv` for each sweep and
    `STEM.impedance.parquet`. Streams: memory does not grow with the length. Raises `OSError`.
    """
    stem = raw.name.removesuffix(SUFFIX)
    about = {"format": f"Battery Data Format, labels of {VERSION}", "sign": "positive current charges", **(about or {})}
    has_series, cycles, sweeps = _survey(raw)
    made: list[Path] = []
    if has_series:
        made += _export_series(raw, stem, kinds, cycles, about)
    if sweeps:
        made += _export_spectra(raw, stem, kinds, about)
    return made


def _survey(raw: Path) -> tuple[bool, bool, bool]:
    """(has time series, has cycles, has impedance spectra)."""
    series = cycles = sweeps = False
    for block in RawReader(raw):
        if len(block) and is_time_series(block):
            series = True
            cycles = cycles or cycle_of(block) is not None
        sweeps = sweeps or (len(block) > 0 and spectra.is_spectrum(block))
    return series, cycles, sweeps


def _export_series(raw: Path, stem: str, kinds: Collection[str], cycles: bool, about: dict[str, str]) -> list[Path]:
    tables = BdfTables(cycles=cycles)
    paths = [raw.with_name(f"{stem}.bdf.{kind}") for kind in KINDS if kind in kinds]
    with ExitStack() as stack:
        writers = [stack.enter_context(_writer(path, tables.schema(about))) for path in paths]
        for block in merged(block for block in RawReader(raw) if is_time_series(block)):
            batch = tables.table(block)
            for writer in writers:
                writer.write(batch)
    return paths


#: So many sweeps of a stream get a CSV of their own; the Parquet file has all.
MOST_SWEEPS = 500


def _export_spectra(raw: Path, stem: str, kinds: Collection[str], about: dict[str, str]) -> list[Path]:
    import pyarrow as pa

    sweeps = list(spectra.spectra(RawReader(raw)))
    made: list[Path] = []
    if "csv" in kinds:
        # a sheet of ten thousand cells is for Parquet: nobody opens so many files
        for number, sweep in enumerate(sweeps[:MOST_SWEEPS], start=1):
            path = raw.with_name(f"{stem}.impedance-{number}.csv")
            points = spectra.points(sweep)
            with _writer(path, points.schema) as writer:
                writer.write(points)
            made.append(path)
    if "parquet" in kinds:
        path = raw.with_name(f"{stem}.impedance.parquet")
        batches = [spectra.table(number, sweep) for number, sweep in enumerate(sweeps, start=1)]
        whole = pa.Table.from_batches(batches).replace_schema_metadata(about)
        with _writer(path, whole.schema) as writer:
            for batch in whole.to_batches():
                writer.write(batch)
        made.append(path)
    return made


class _ParquetWriter:
    """Batches gathered to row groups of a useful size."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        from pyarrow import parquet

        self._writer = parquet.ParquetWriter(path, schema, compression="zstd")
        self._schema = schema
        self._batches: list[Any] = []
        self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self._rows += batch.num_rows
        if self._rows >= _ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._batches:
            whole = pa.Table.from_batches(self._batches).replace_schema_metadata(self._schema.metadata)
            self._writer.write_table(whole)
        self._batches, self._rows = [], 0

    def close(self) -> None:
        self._flush()
        self._writer.close()


@contextmanager
def _writer(path: Path, schema: pa.Schema) -> Iterator[CsvWriter | _ParquetWriter]:
    """Writes beside `path` and replaces it when all is written."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    is_csv = path.suffix == ".csv"
    writer = CsvWriter(temporary, schema.names) if is_csv else _ParquetWriter(temporary, schema)
    try:
        yield writer
        writer.close()
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
