"""What an export of ten million samples costs: memory, and time over pyarrow writing the same arrays bare."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from bridge.record.export import FORMATS, export_stream
from bridge.record.raw import RawWriter
from drivers.samples import SAMPLE_COLUMNS, SampleBlock

from .processes import Part
from .results import Target

SAMPLES, QUICK_SAMPLES = 10_000_000, 1_000_000
#: As a fast device's run is written: what 0.2 s bring at 20 kS/s.
_BLOCK = 4096
_TIMEOUT_S = 1800.0


def targets(result: dict[str, Any]) -> list[Target]:
    most = max(each["memory_mb"] for each in result["formats"].values())
    ratio = result["formats"]["bdf-parquet"]["over_bare"]
    return [
        Target("BDF Parquet over pyarrow writing the same arrays bare", ratio, "<=", 3.0, ""),
        Target("memory of an export of any format, beyond the program's own", most, "<=", 1000.0, "MB"),
    ]


def run(quick: bool) -> dict[str, Any]:
    """A process each, so that one's memory is not another's."""
    samples = QUICK_SAMPLES if quick else SAMPLES
    with tempfile.TemporaryDirectory(prefix="picobridge-export-") as name:
        folder = Path(name)
        raw = _write(folder, samples)
        bare = {kind: _in_a_process(_bare, folder, samples, kind)["s"] for kind in ("parquet", "csv")}
        formats = {}
        for each in FORMATS:
            figures = _in_a_process(_export, raw, each)
            figures["samples_per_s"] = samples / figures["s"]
            figures["over_bare"] = figures["s"] / bare["csv" if each == "bdf-csv" else "parquet"]
            formats[each] = figures
    return {"samples": samples, "raw_mb": formats["bdf-csv"]["raw_mb"], "bare_s": bare, "formats": formats}


def _in_a_process(work: Any, *arguments: Any) -> dict[str, float]:
    with Part(work, *arguments) as part:
        figures: dict[str, float] = part.receive(_TIMEOUT_S)
        return figures


def _write(folder: Path, samples: int) -> Path:
    """A raw file of picoamperes with noise, which compress as measured ones do."""
    writer = RawWriter(folder / "pstat.cborseq")
    chance = np.random.default_rng(1)
    for first in range(0, samples, _BLOCK):
        writer.write([_block(chance, first, min(_BLOCK, samples - first))])
    writer.close()
    return writer.path


def _block(chance: np.random.Generator, first: int, count: int) -> SampleBlock:
    return SampleBlock.of(
        SAMPLE_COLUMNS,
        {
            "time_s": (first + np.arange(count)) * 50e-6,
            "voltage_v": 3.6 + 1e-6 * chance.standard_normal(count),
            "current_a": 1e-12 + 1e-14 * chance.standard_normal(count),
            "flags": np.zeros(count),
        },
        stream="pstat-1",
        first_index=first,
        start_time_ns=1_767_225_600 * 10**9,
        attributes={"run": "run-1", "technique": "galvanostatic", "cycle": 1},
    )


@contextmanager
def _measured(figures: dict[str, float]) -> Iterator[None]:
    """Seconds, and how far memory grew beyond what it was."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    yield
    figures["s"] = time.perf_counter() - began
    figures["memory_mb"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3


def _export(pipe: Any, raw: Path, name: str) -> None:
    pipe.send("ready")
    figures: dict[str, float] = {"raw_mb": raw.stat().st_size / 1e6}
    with _measured(figures):
        (made,) = export_stream(raw, [name])
    figures["file_mb"] = made.stat().st_size / 1e6
    made.unlink()
    pipe.send(figures)


def _bare(pipe: Any, folder: Path, samples: int, kind: str) -> None:
    """The same columns, all in memory before the clock starts."""
    pipe.send("ready")
    chance, index = np.random.default_rng(1), np.arange(samples)
    table = pa.table(
        {
            "Test Time / s": index * 50e-6,
            "Voltage / V": 3.6 + 1e-6 * chance.standard_normal(samples),
            "Current / A": 1e-12 + 1e-14 * chance.standard_normal(samples),
            "Unix Time / s": 1_767_225_600 + index * 50e-6,
            "Cycle Count / 1": np.ones(samples, np.int64),
            "Step Count / 1": np.ones(samples, np.int64),
            "Sample Index / 1": index,
            "Flags / 1": np.zeros(samples, np.uint32),
        }
    )
    path = folder / f"bare.{kind}"
    figures: dict[str, float] = {}
    with _measured(figures):
        if kind == "csv":
            csv.write_csv(table, path)
        else:
            parquet.write_table(table, path, compression="zstd")
    path.unlink()
    pipe.send(figures)
