"""Every format of an export, read by a program that is not ours, to the last bit where the format can."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import polars as pl
import pytest
from galvani.BioLogic import MPTfile
from pyarrow import parquet

from bridge.record.bdf import VERSION
from bridge.record.export import export_stream
from drivers.samples import CURRENT, FLAGS, TIME, VOLTAGE, Column, EndReason, SampleBlock
from tests.near import near

from .blocks import START_NS, block, sweep
from .test_export import raw

ABOUT = {"run": "run-1", "procedure": "cycle", "devices": '{"pstat": {"make": "Keithley"}}'}
AMPERES = [1e-12 * (1 + i / 7) for i in range(100, 107)]


def samples(folder: Path, *, odd: bool = False) -> Path:
    """Two techniques: charge for 0.5 s, discharge a minute later."""
    first = block(100, 5, cycle=1, technique="galvanostatic", end=EndReason.CAPACITY)
    second = block(105, 2, start_ns=START_NS + 60 * 10**9, cycle=2, technique="galvanostatic")
    second["flags"][1] = 3
    if odd:
        second["current_a"][:] = [math.nan, -math.inf]
    return raw(folder, first, second)


def mpt(path: Path) -> Any:
    """(table, comments), by galvani, which leaves files open that it opens itself."""
    with path.open("rb") as file:
        return MPTfile(file, encoding="latin-1")


def export(folder: Path, name: str, *, odd: bool = False) -> Path:
    (path,) = export_stream(samples(folder, odd=odd), [name], ABOUT)
    return path


@pytest.fixture(scope="module", autouse=True)
def polars_runtime() -> None:
    """Polars makes threads and descriptors the first time, which stay."""
    pl.read_csv(b"a\n1\n")


@pytest.mark.parametrize("name", ["bdf-csv", "csv"])
def test_csv_in_polars(tmp_path: Path, name: str) -> None:
    frame = pl.read_csv(export(tmp_path, name))
    assert frame["Current / A"].to_list() == AMPERES
    assert frame["Step Count / 1"].to_list() == [1] * 5 + [2] * 2


def test_csv_in_pandas(tmp_path: Path) -> None:
    frame = pd.read_csv(export(tmp_path, "bdf-csv"))
    assert frame["Current / A"].tolist() == AMPERES


@pytest.mark.parametrize("name", ["bdf-parquet", "raw-parquet"])
def test_parquet_says_its_units_and_where_it_comes_from(tmp_path: Path, name: str) -> None:
    schema = parquet.read_schema(export(tmp_path, name))
    assert schema.metadata[b"bdf"].decode() == VERSION
    assert schema.metadata[b"run"] == b"run-1"
    current = schema.field("Current / A" if name == "bdf-parquet" else "current_a")
    assert current.metadata[b"unit"] == b"A"
    assert all(field.metadata[b"unit"] or field.name == "attributes" for field in schema)


def test_raw_parquet_loses_nothing_of_a_block(tmp_path: Path) -> None:
    path = export(tmp_path, "raw-parquet", odd=True)
    table = parquet.read_table(path).to_pydict()
    assert table["current_a"][:5] == AMPERES[:5]
    assert math.isnan(table["current_a"][5])
    assert table["current_a"][6] == -math.inf
    assert table["time_s"][:6] == [0.0, 0.1, 0.2, 0.1 * 3, 0.4, 0.0]
    assert table["start_time_ns"] == [START_NS] * 5 + [START_NS + 60 * 10**9] * 2
    assert table["sample_index"] == list(range(100, 107))
    assert table["flags"] == [0, 0, 0, 0, 0, 0, 3]
    assert json.loads(table["attributes"][0]) == {"cycle": 1, "technique": "galvanostatic"}
    ends = json.loads(parquet.read_metadata(path).metadata[b"ends"])
    assert ends == [{"next_index": 105, "start_time_ns": START_NS, "end": "capacity"}]


def test_raw_parquet_has_the_columns_of_all_blocks(tmp_path: Path) -> None:
    temperature = Column("temperature_k", "K")
    columns = (TIME, VOLTAGE, CURRENT, FLAGS, temperature)
    data = {"time_s": [0.5], "voltage_v": [3.5], "current_a": [1e-12], "flags": [0], "temperature_k": [293.25]}
    warm = SampleBlock.of(columns, data, stream="pstat-1", first_index=3, start_time_ns=START_NS)
    (path,) = export_stream(raw(tmp_path, block(0, 3), warm), ["raw-parquet"])
    assert parquet.read_table(path)["temperature_k"].to_pylist() == [None, None, None, 293.25]
    assert parquet.read_schema(path).field("temperature_k").metadata == {b"unit": b"K"}


def test_hdf5_has_units_labels_and_provenance(tmp_path: Path) -> None:
    with h5py.File(export(tmp_path, "hdf5", odd=True)) as file:
        current = file["current_a"]
        assert current[:5].tolist() == AMPERES[:5]
        assert math.isnan(current[5])
        assert current[6] == -math.inf
        assert (current.attrs["units"], current.attrs["label"]) == ("A", "Current / A")
        assert file["flags"][:].tolist() == [0, 0, 0, 0, 0, 0, 3]
        assert file["flags"].dtype == np.uint32
        assert (file["cycle"][:].tolist(), "missing" in file["cycle"].attrs) == ([1] * 5 + [2] * 2, False)
        assert (file.attrs["run"], file.attrs["bdf"]) == ("run-1", VERSION)
        assert all(dataset.attrs["units"] for dataset in file.values())


def test_a_cycle_that_is_not_known_is_marked_in_hdf5(tmp_path: Path) -> None:
    (path,) = export_stream(raw(tmp_path, block(0, 1), block(1, 1, cycle=1)), ["hdf5"])
    with h5py.File(path) as file:
        assert (file["cycle"][:].tolist(), file["cycle"].attrs["missing"]) == ([-1, 1], -1)


def test_json_lines_are_exact(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in export(tmp_path, "jsonl", odd=True).read_text().splitlines()]
    assert [row["current_a"] for row in rows] == [*AMPERES[:5], None, "-Infinity"]
    assert rows[0] == {
        "test_time_s": 0.0,
        "voltage_v": 3.7,
        "current_a": AMPERES[0],
        "unix_time_s": START_NS / 1e9,
        "cycle": 1,
        "step": 1,
        "sample_index": 100,
        "flags": 0,
    }
    assert pl.read_ndjson(tmp_path / "pstat.jsonl")["sample_index"].to_list() == list(range(100, 107))


def test_ec_lab_text_is_read_by_galvani(tmp_path: Path) -> None:
    table, comments = mpt(export(tmp_path, "ec-lab"))
    assert table["I/mA"].tolist() == [float(repr(ampere * 1e3)) for ampere in AMPERES]
    assert table["Ewe/V"].tolist() == [3.6 + i * 1e-3 for i in range(100, 107)]
    assert table["time/s"].tolist() == [0.0, 0.1, 0.2, 0.1 * 3, 0.4, 60.0, 60.1]
    assert table["Ns"].tolist() == [0] * 5 + [1] * 2
    assert table["cycle number"].tolist() == [1] * 5 + [2] * 2
    assert table["error"].tolist() == [False] * 6 + [True]
    assert table["Ns changes"].tolist() == [True, False, False, False, False, True, False]
    charge = sum((AMPERES[i] + AMPERES[i + 1]) / 2 * 0.1 for i in (0, 1, 2, 3, 5)) / 3.6  # mA.h
    assert table["(Q-Qo)/mA.h"][-1] == near(charge)
    assert b"Acquisition started on : 01/01/2026 00:00:00.000000\r\n" in comments
    assert any(b"not" in line or b"had no part in it" in line for line in comments)


def test_a_current_from_ec_lab_text_is_right_to_its_last_bit(tmp_path: Path) -> None:
    table, _ = mpt(export(tmp_path, "ec-lab"))
    read = table["I/mA"] / 1e3
    assert np.all(np.abs(read - AMPERES) <= np.spacing(AMPERES))


def test_spectra_in_every_format(tmp_path: Path) -> None:
    made = export_stream(
        raw(tmp_path, sweep(0), sweep(3, start_ns=START_NS + 10**9)), ["hdf5", "ec-lab", "jsonl", "parquet"], ABOUT
    )
    names = ["impedance-1.mpt", "impedance-2.mpt", "impedance.parquet", "impedance.h5", "impedance.jsonl"]
    assert sorted(path.name for path in made) == sorted(f"pstat.{name}" for name in names)
    table, _ = mpt(tmp_path / "pstat.impedance-2.mpt")
    assert table["freq/Hz"].tolist() == [1000.0, 10.0, 0.1]
    assert table["Re(Z)/Ohm"].tolist() == [5.0, 1181.5, 1860.25]
    assert table["-Im(Z)/Ohm"].tolist() == [0.001, 200.0, 505.0]
    with h5py.File(tmp_path / "pstat.impedance.h5") as file:
        assert file["z_imag_ohm"][:].tolist() == [-1e-3, -200.0, -505.0] * 2
        assert file["z_imag_ohm"].attrs["units"] == "Ohm"
        assert file["spectrum"][:].tolist() == [1, 1, 1, 2, 2, 2]
    rows = [json.loads(line) for line in (tmp_path / "pstat.impedance.jsonl").read_text().splitlines()]
    assert rows[3]["z_real_ohm"] == 5.0
    assert parquet.read_schema(tmp_path / "pstat.impedance.parquet").field("frequency_hz").metadata == {b"unit": b"Hz"}


@pytest.mark.parametrize("name", ["bdf-csv", "bdf-parquet", "raw-parquet", "hdf5", "ec-lab", "jsonl"])
def test_doing_it_twice_leaves_what_doing_it_once_does(tmp_path: Path, name: str) -> None:
    path = export(tmp_path, name)
    first = _content(path)
    export_stream(tmp_path / "pstat.cborseq", [name], ABOUT)
    assert _content(path) == first
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(["pstat.cborseq", path.name])


def _content(path: Path) -> Any:
    """Bytes; HDF5 writes the time into the file."""
    if path.suffix != ".h5":
        return path.read_bytes()
    with h5py.File(path) as file:
        return {name: dataset[:].tobytes() for name, dataset in file.items()}
