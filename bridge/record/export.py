"""From the raw blocks of a stream to files that other programs read.

It may be done at the end of a run, on demand, or after a crash: it needs nothing but the raw file. Files are replaced
as a whole, so doing it twice leaves what doing it once does. Blocks pass one after the other, so memory does not grow
with the length.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from drivers.samples import Column, SampleBlock

from . import ec_lab, spectra
from .bdf import VERSION, BdfTables, cycle_of, is_time_series
from .hdf5 import Hdf5Writer
from .json_lines import JsonLinesWriter
from .parquet import ParquetWriter
from .raw import SUFFIX, RawReader, merged
from .raw_tables import RawTables
from .text import CsvWriter

if TYPE_CHECKING:
    import pyarrow as pa

#: By name: what the files of time series are called behind their stream's name, and those of spectra.
FORMATS: Mapping[str, tuple[str, str]] = {
    "bdf-csv": ("bdf.csv", "impedance-{}.csv"),
    "bdf-parquet": ("bdf.parquet", "impedance.parquet"),
    "raw-parquet": ("raw.parquet", "impedance.parquet"),
    "hdf5": ("h5", "impedance.h5"),
    "ec-lab": ("mpt", "impedance-{}.mpt"),
    "jsonl": ("jsonl", "impedance.jsonl"),
}
#: What is made when a run has ended.
DEFAULT = ("bdf-csv", "bdf-parquet", "raw-parquet")
#: Other names of formats.
ALIASES: Mapping[str, str] = {"csv": "bdf-csv", "parquet": "bdf-parquet"}
#: So many sweeps of a stream get a text file of their own; the other formats have all.
MOST_SWEEPS = 500


class Writer(Protocol):
    """Of one file. `block` is what `table` was made from."""

    def write(self, table: pa.RecordBatch, block: SampleBlock) -> None: ...

    def close(self) -> None: ...


W = TypeVar("W", bound=Any)


@dataclass(slots=True)
class _Stream:
    """What is in a raw file. `columns` are those of its time series."""

    series: bool = False
    cycles: bool = False
    sweeps: bool = False
    start_time_ns: int = 0
    columns: dict[str, Column] = field(default_factory=dict)


def export_stream(raw: Path, formats: Collection[str] = DEFAULT, about: Mapping[str, str] | None = None) -> list[Path]:
    """Write the exports of one raw file beside it; returns their paths. `about` goes into files that can say so.

    Raises `OSError`.
    """
    stem = raw.name.removesuffix(SUFFIX)
    wanted = [name for name in FORMATS if name in {ALIASES.get(each, each) for each in formats}]
    known = {
        "format": f"Battery Data Format, labels of {VERSION}",
        "bdf": VERSION,
        "sign": "positive current charges",
        "device": stem,
        **(about or {}),
    }
    stream = _survey(raw)
    made: list[Path] = []
    if stream.series:
        made += _export_series(raw, stem, wanted, stream, known)
    if stream.sweeps:
        made += _export_spectra(raw, stem, wanted, known)
    return made


def _survey(raw: Path) -> _Stream:
    found = _Stream()
    for block in RawReader(raw):
        found.start_time_ns = found.start_time_ns or block.start_time_ns
        if len(block) and is_time_series(block):
            found.series = True
            found.cycles = found.cycles or cycle_of(block) is not None
            found.columns |= {column.name: column for column in block.columns}
        found.sweeps = found.sweeps or (len(block) > 0 and spectra.is_spectrum(block))
    return found


def _export_series(
    raw: Path, stem: str, formats: Collection[str], stream: _Stream, about: Mapping[str, str]
) -> list[Path]:
    tables, raws = BdfTables(cycles=stream.cycles), RawTables(stream.columns.values())
    schema = tables.schema(dict(about))
    make: Mapping[str, Callable[[Path], Writer]] = {
        "bdf-csv": lambda path: CsvWriter(path, schema.names),
        "bdf-parquet": lambda path: ParquetWriter(path, schema),
        "raw-parquet": lambda path: ParquetWriter(path, raws.schema(about), lambda: {"ends": json.dumps(raws.ends)}),
        "hdf5": lambda path: Hdf5Writer(path, schema, about),
        "ec-lab": lambda path: ec_lab.EcLabWriter(path, about, stream.start_time_ns),
        "jsonl": JsonLinesWriter,
    }
    paths = {name: raw.with_name(f"{stem}.{FORMATS[name][0]}") for name in formats}
    with ExitStack() as stack:
        writers = {name: stack.enter_context(_replacing(path, make[name])) for name, path in paths.items()}
        for block in merged(block for block in RawReader(raw) if is_time_series(block)):
            bdf = tables.table(block)
            for name, writer in writers.items():
                writer.write(raws.table(block) if name == "raw-parquet" else bdf, block)
    return list(paths.values())


def _export_spectra(raw: Path, stem: str, formats: Collection[str], about: Mapping[str, str]) -> list[Path]:
    make: Mapping[str, Callable[[Path, Any], Writer]] = {
        "impedance.parquet": lambda path, schema: ParquetWriter(path, schema),
        "impedance.h5": lambda path, schema: Hdf5Writer(path, schema, about),
        "impedance.jsonl": lambda path, schema: JsonLinesWriter(path),
    }
    names = [FORMATS[name][1] for name in formats]
    paths = {name: raw.with_name(f"{stem}.{name}") for name in dict.fromkeys(names) if name in make}
    one_each = [name for name in names if name not in make]
    made: list[Path] = []
    with ExitStack() as stack:
        writers: list[Writer] = []
        for number, sweep in enumerate(spectra.spectra(RawReader(raw)), start=1):
            table = spectra.table(number, sweep, dict(about))
            if number == 1:
                writers = [
                    stack.enter_context(_replacing(path, partial(_with, make[name], table.schema)))
                    for name, path in paths.items()
                ]
            for writer in writers:
                writer.write(table, sweep[0])
            # a sheet of ten thousand cells is not for text: nobody opens so many files
            for name in one_each if number <= MOST_SWEEPS else ():
                path = raw.with_name(f"{stem}.{name.format(number)}")
                _write_points(path, sweep, about)
                made.append(path)
    return [*made, *paths.values()]


def _with(make: Callable[[Path, Any], Writer], schema: Any, path: Path) -> Writer:
    return make(path, schema)


def _write_points(path: Path, sweep: list[SampleBlock], about: Mapping[str, str]) -> None:
    points = spectra.points(sweep)
    temporary = _temporary(path)
    if path.suffix == ".mpt":
        ec_lab.write_spectrum(temporary, points, about, sweep[0].start_time_ns)
    else:
        writer = CsvWriter(temporary, points.schema.names)
        writer.write(points, sweep[0])
        writer.close()
    temporary.replace(path)


def _temporary(path: Path) -> Path:
    # the daemon's process and somebody who cannot wait for it may both be at it: the last one's file stays, whole
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    temporary.unlink(missing_ok=True)
    return temporary


@contextmanager
def _replacing(path: Path, make: Callable[[Path], W]) -> Iterator[W]:
    """Writes beside `path` and replaces it when all is written."""
    temporary = _temporary(path)
    writer = make(temporary)
    try:
        yield writer
        writer.close()
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
