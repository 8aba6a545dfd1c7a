"""Exports: Battery Data Format by its own validator, impedance as EC-Lab has it, every number as it was."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import bdf
import pandas as pd
import pytest
from pyarrow import parquet

from bridge.record import export
from bridge.record.export import export_stream
from bridge.record.raw import RawWriter
from bridge.record.text import CsvWriter
from drivers.samples import EndReason, SampleBlock

from .blocks import START_NS, block, sweep


def raw(folder: Path, *blocks: SampleBlock) -> Path:
    writer = RawWriter(folder / "pstat.cborseq")
    writer.write(blocks)
    writer.close()
    return writer.path


def two_steps(folder: Path) -> Path:
    return raw(
        folder,
        block(100, 3, cycle=1),
        block(103, 2, time=0.3, end=EndReason.DURATION, cycle=1),
        block(105, 2, start_ns=START_NS + 60 * 10**9, cycle=2),
    )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_names_of_the_files(tmp_path: Path) -> None:
    made = export_stream(raw(tmp_path, block(0, 1), sweep(1), sweep(4, start_ns=START_NS + 1)))
    assert [path.name for path in made] == [
        "pstat.bdf.csv",
        "pstat.bdf.parquet",
        "pstat.raw.parquet",
        "pstat.impedance-1.csv",
        "pstat.impedance-2.csv",
        "pstat.impedance.parquet",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["pstat.cborseq", *(p.name for p in made)])


def test_two_processes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was first is still at it when the other one has done it."""
    record, path = two_steps(tmp_path), tmp_path / "pstat.bdf.csv"
    with export._replacing(path, lambda place: CsvWriter(place, ["first"])):
        monkeypatch.setattr("os.getpid", lambda: 1)
        export_stream(record, ["csv"])
        assert len(rows(path)) == 7
    assert rows(path) == []
    assert sorted(each.name for each in tmp_path.iterdir()) == ["pstat.bdf.csv", "pstat.cborseq"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_validator_of_the_format_accepts_them(tmp_path: Path, kind: str) -> None:
    (path,) = export_stream(two_steps(tmp_path), [kind])
    frame = pd.read_csv(path) if kind == "csv" else pd.read_parquet(path)
    report: dict[str, Any] = bdf.validate_df(frame)
    assert report["ok"]
    assert report["missing"] == []
    assert report["legacy_labels"] == []
    assert report["extras"] == ["Sample Index / 1", "Flags / 1"]
    assert report["time_stats"]["monotonic"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_every_value_reads_back_to_the_bit(tmp_path: Path, kind: str) -> None:
    (path,) = export_stream(two_steps(tmp_path), [kind])
    if kind == "csv":  # by Python's own reading of numbers, which is exact
        frame = pd.DataFrame([{name: float(text) for name, text in row.items()} for row in rows(path)])
    else:
        frame = pd.read_parquet(path)
    assert frame["Current / A"].tolist() == [1e-12 * (1 + i / 7) for i in range(100, 107)]
    assert frame["Sample Index / 1"].tolist() == list(range(100, 107))
    assert frame["Unix Time / s"].tolist()[1] == START_NS / 1e9 + 0.1
    assert frame["Step Count / 1"].tolist() == [1, 1, 1, 1, 1, 2, 2]
    assert frame["Cycle Count / 1"].tolist() == [1, 1, 1, 1, 1, 2, 2]
    assert frame["Test Time / s"].tolist() == [0.0, 0.1, 0.2, 0.3, 0.3 + 0.1, 60.0, 60.1]


def test_a_run_without_cycles_has_no_column_for_them(tmp_path: Path) -> None:
    (path,) = export_stream(raw(tmp_path, block(0, 2)), ["csv"])
    assert "Cycle Count / 1" not in rows(path)[0]


def test_what_is_no_number_stays_none(tmp_path: Path) -> None:
    odd = block(0, 2)
    odd["current_a"][:] = [math.nan, -math.inf]
    text, table = export_stream(raw(tmp_path, odd), ["csv", "parquet"])
    assert [row["Current / A"] for row in rows(text)] == ["nan", "-inf"]
    values = parquet.read_table(table)["Current / A"].to_pylist()
    assert math.isnan(values[0])
    assert values[1] == -math.inf


def test_spectra_as_ec_lab_has_them(tmp_path: Path) -> None:
    made = export_stream(raw(tmp_path, sweep(0), sweep(3, start_ns=START_NS + 10**9)))
    assert (tmp_path / "pstat.impedance-2.csv").read_text() == (
        "freq/Hz,Re(Z)/Ohm,-Im(Z)/Ohm\n1000,5,0.001\n10,1181.5,200\n0.1,1860.25,505\n"
    )
    table = parquet.read_table(made[-1]).to_pydict()
    assert table["spectrum"] == [1, 1, 1, 2, 2, 2]
    assert table["z_imag_ohm"] == [-1e-3, -200.0, -505.0] * 2
    assert table["flags"] == [0, 0, 1] * 2
    assert table["sample_index"] == list(range(6))


def test_many_sweeps_do_not_become_as_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.record.export.MOST_SWEEPS", 2)
    sweeps = [sweep(3 * n, start_ns=START_NS + n * 10**9) for n in range(4)]
    made = export_stream(raw(tmp_path, *sweeps))
    assert [path.name for path in made if path.suffix == ".csv"] == ["pstat.impedance-1.csv", "pstat.impedance-2.csv"]
    assert sorted(set(parquet.read_table(made[-1]).to_pydict()["spectrum"])) == [1, 2, 3, 4]


def test_parquet_says_what_it_is(tmp_path: Path) -> None:
    (path,) = export_stream(two_steps(tmp_path), ["parquet"], {"run": "r-1"})
    said = parquet.read_schema(path).metadata
    assert said[b"sign"] == b"positive current charges"
    assert said[b"run"] == b"r-1"
    assert b"batterydf 0.1.0" in said[b"format"]


def test_an_empty_stream_has_no_exports(tmp_path: Path) -> None:
    assert export_stream(raw(tmp_path, block(0, 0, end=EndReason.STOPPED))) == []


def test_doing_it_twice_leaves_the_same(tmp_path: Path) -> None:
    path = two_steps(tmp_path)
    first = [made.read_bytes() for made in export_stream(path)]
    assert [made.read_bytes() for made in export_stream(path)] == first
