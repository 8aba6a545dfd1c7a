"""A sheet's files: CSV with every digit, STDF read back by pystdf, pictures, the page, the command."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from pystdf.IO import Parser

from bridge.cli.main import main
from bridge.report import sheet_page
from bridge.report.sheet_exchange import map_csv, records_csv, to_stdf
from mocks.world.sheet import SheetWorld
from mocks.world.sheet_cells import Defects, SheetCells
from tests.near import near
from tests.procedures.sheet.memory import MemoryContext, comb, sheet_table
from tests.procedures.sheet.test_ten_thousand import EXAMPLES


@pytest.fixture(scope="module")
def mapped() -> dict[str, Any]:
    """A small sheet with shorts, a streak, bad contacts and a skipped corner."""
    cells = SheetCells(8, 12, seed=3, defects=Defects(shorts=3, weak=2, streaks=((4, 3, 8),)))
    wires, sites = comb("prober", [f"p{number}" for number in range(4)])
    context = MemoryContext(SheetWorld(cells, wires, {"prober": "stage"}, miss=0.05, seed=1))
    table = sheet_table(cells, [{"device": "prober", "site": sites}], skip=["r0c0:r1c1"], cell_size=["4 mm", "3 mm"])
    parameters = {name: str(EXAMPLES / f"{name}.toml") for name in ("bins", "limits")}
    result = asyncio.run(context.map(sheet=table, **parameters, ocv="1 s", retests=3, stop_site_after=0))
    found: dict[str, Any] = json.loads(json.dumps(result))
    return found


def read_stdf(data: bytes) -> dict[str, list[dict[str, Any]]]:
    """Records by type, as pystdf understands them."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)

    class Sink:
        def after_send(self, source: Any, record: Any) -> None:
            kind, fields = record
            found[type(kind).__name__].append(dict(zip(kind.columnNames, fields, strict=True)))

        def after_begin(self, *_: Any) -> None: ...
        def after_complete(self, *_: Any) -> None: ...
        def after_cancel(self, *reason: Any) -> None:
            raise AssertionError(reason)

    parser = Parser(inp=io.BytesIO(data))
    parser.addSink(Sink())
    parser.parse()
    return found


def test_stdf_is_read_back_by_a_library_that_is_not_ours(mapped: dict[str, Any]) -> None:
    found = read_stdf(to_stdf(mapped))
    records = mapped["records"]
    count = len(records["row"])
    assert "Unknown" not in found
    assert len(found["Pir"]) == len(found["Prr"]) == count
    assert found["Mir"][0]["LOT_ID"] == "L1"
    assert found["Wir"][0]["WAFER_ID"] == found["Wrr"][0]["WAFER_ID"] == "S1"
    assert found["Wcr"][0]["DIE_WID"] == near(4.0)
    assert found["Wrr"][0]["GOOD_CNT"] == mapped["passed"]
    assert found["Wrr"][0]["RTST_CNT"] == mapped["retests"]["records"] > 0
    for i, part in enumerate(found["Prr"]):
        assert (part["Y_COORD"], part["X_COORD"]) == (records["row"][i], records["column"][i])
        assert (part["SOFT_BIN"], part["HARD_BIN"]) == (records["soft"][i], records["hard"][i])
        assert part["SITE_NUM"] == records["site"][i]
        assert part["PART_ID"] == f"r{records['row'][i]}c{records['column'][i]}"
        assert bool(part["PART_FLG"] & 2) == (records["supersedes"][i] is not None)
        assert bool(part["PART_FLG"] & 8) == (records["soft"][i] not in (1, 2))
    names = {test["TEST_NUM"]: test["TEST_TXT"] for test in found["Ptr"] if test["TEST_TXT"]}
    number = next(n for n, name in names.items() if name == "ocv_v")
    volts = [test["RESULT"] for test in found["Ptr"] if test["TEST_NUM"] == number]
    assert volts == [near(v, rel=1e-7) for v in records["values"]["ocv_v"]]
    first = next(test for test in found["Ptr"] if test["TEST_NUM"] == number)
    limit = mapped["limits"]["limits"]["ocv_v"]
    assert (first["LO_LIMIT"], first["HI_LIMIT"]) == (near(limit["low"], rel=1e-6), near(limit["high"], rel=1e-6))
    assert first["UNITS"] == "V"
    soft = {entry["SBIN_NUM"]: (entry["SBIN_CNT"], entry["SBIN_PF"]) for entry in found["Sbr"]}
    assert soft[3] == (3, "F")
    assert soft[4] == (8, "F")
    assert soft[2][1] == soft[1][1] == "P"
    assert sum(cells for cells, _ in soft.values()) == mapped["cells_measured"]


def test_csv_has_every_cell_and_every_digit(mapped: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(map_csv(mapped))))
    assert len(rows) == 96
    assert [r["soft_bin"] for r in rows if (r["row"], r["column"]) == ("0", "0")] == ["90"]
    for i, row in enumerate(rows):
        record = mapped["cells"]["record"][i]
        if record is not None:
            assert float(row["ocv_v"]) == mapped["records"]["values"]["ocv_v"][record]
            assert float(row["x_mm"]) == near(5.0 * int(row["column"]), abs=1e-9)
    every = list(csv.DictReader(io.StringIO(records_csv(mapped))))
    assert len(every) == len(mapped["records"]["row"])
    assert [r["record"] for r in every if r["supersedes"]]


def test_the_page_says_yield_bins_patterns_and_time(mapped: dict[str, Any]) -> None:
    summary = sheet_page.summary(mapped)
    assert (summary.verdict, summary.tone) == ("completed", "pass")
    rows = dict(summary.rows)
    assert f"{mapped['passed']} of {mapped['cells_judged']}" in rows["Yield"]
    assert "limited by head prober" in rows["Time"]
    tables = {table.title: table for table in summary.tables}
    assert ("3", "3", "short", "3") in tables["Bins"].rows
    assert any("streak" in row[0] for row in tables["What the failing cells have in common"].rows)


def test_the_command_writes_all_files(mapped: dict[str, Any], tmp_path: Path, capsys: Any) -> None:
    source = tmp_path / "result.json"
    source.write_text(json.dumps({"run": "r1", "result": mapped}))
    assert main(["sheet-files", str(source), "--json"]) == 0
    files = {Path(f).name for f in json.loads(capsys.readouterr().out)["files"]}
    assert files == {"map.csv", "records.csv", "sheet.stdf", "limits.toml", "bins.png", "bins.svg", "map-ocv-v.png",
                     "map-ocv-v.svg", "map-z-1khz-ohm.png", "map-z-1khz-ohm.svg"}  # fmt: skip
    assert (tmp_path / "sheet" / "bins.png").read_bytes().startswith(b"\x89PNG")
    source.write_text("{}")
    assert main(["sheet-files", str(source)]) != 0
