"""A sheet's map as files for other programs: CSV (all digits) and STDF (for a semiconductor line's tools)."""

from __future__ import annotations

import csv
import io
import math
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridge.analysis.sheet.positions import name_of
from bridge.analysis.sheet.stdf import Part, Sheet, Test, write_stdf
from drivers.calls import split_unit

_NS = 1_000_000_000


def write_files(result: Mapping[str, Any], folder: Path, *, pictures: bool = True) -> list[Path]:
    """`map.csv` (a line for each cell), `records.csv` (a line for each visit), `sheet.stdf`, `limits.toml`, and the
    maps as PNG and SVG. Files are replaced. Raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, bytes] = {
        "map.csv": map_csv(result).encode(),
        "records.csv": records_csv(result).encode(),
        "sheet.stdf": to_stdf(result),
        "limits.toml": str(result["limits"]["toml"]).encode(),
    }
    if pictures:
        from .sheet_page import figures
        from .style import render

        for name, figure in figures(result, {}):
            files |= {f"{name}.{kind}": render(figure, kind) for kind in ("png", "svg")}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]


def map_csv(result: Mapping[str, Any]) -> str:
    """row, column, x_mm, y_mm, hard and soft bin and its name, site, visits, time_s, and every quantity."""
    cells, records = result["cells"], result["records"]
    names = {row["soft"]: row["name"] for row in result["bin_table"]}
    quantities = list(records["values"])
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["row", "column", "x_mm", "y_mm", "hard_bin", "soft_bin", "bin", "site", "visits", "time_s",
                     *quantities])  # fmt: skip
    for i, index in enumerate(cells["record"]):
        measured = ["", "", ""] if index is None else [records[key][index] for key in ("site", "visit", "started_s")]
        values = ["" if index is None else _cell(records["values"][name][index]) for name in quantities]
        place = [cells["row"][i], cells["column"][i], repr(cells["x_m"][i] * 1e3), repr(cells["y_m"][i] * 1e3)]
        writer.writerow(
            [*place, cells["hard"][i], cells["soft"][i], names.get(cells["soft"][i], ""), *measured, *values]
        )
    return out.getvalue()


def records_csv(result: Mapping[str, Any]) -> str:
    """A line for each visit, those that a later one supersedes too."""
    records = result["records"]
    plain = [key for key in records if key != "values"]
    quantities = list(records["values"])
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["record", *plain, *quantities])
    for i in range(len(records["row"])):
        values = (_cell(records["values"][name][i]) for name in quantities)
        writer.writerow([i, *(_cell(records[key][i]) for key in plain), *values])
    return out.getvalue()


def to_stdf(result: Mapping[str, Any]) -> bytes:
    """See `bridge.analysis.sheet.stdf`."""
    records, limits = result["records"], result["limits"]["limits"]
    quantities = list(records["values"])
    tests = [
        Test(1000 + number, name, _unit(name), *(_bound(limits.get(name, {}).get(end), end) for end in ("low", "high")))
        for number, name in enumerate(quantities)
    ]
    passing = {row["soft"] for row in result["bin_table"] if row["pass"]}
    heads = {name: number for number, name in enumerate(dict.fromkeys(records["head"]), 1)}
    parts = [
        Part(
            name=name_of((records["row"][i], records["column"][i])),
            row=records["row"][i],
            column=records["column"][i],
            head=heads[records["head"][i]],
            site=records["site"][i],
            hard=records["hard"][i],
            soft=records["soft"][i],
            passed=records["soft"][i] in passing,
            supersedes=records["supersedes"][i] is not None,
            time_ms=round(records["duration_s"][i] * 1e3),
            results={
                test.number: value
                for test in tests
                if (value := records["values"][test.name][i]) is not None
            },
        )
        for i in range(len(records["row"]))
    ]  # fmt: skip
    times = records["at_ns"] or [0]
    size = result.get("cell_size_m") or (0.0, 0.0)
    sheet = Sheet(
        lot=str(result["lot"]),
        sheet=str(result["sheet"]),
        started_s=min(times) // _NS,
        finished_s=max(times) // _NS,
        node=socket.gethostname(),
        job="sheet-map",
        program="picobridge",
        version=str(result.get("version", "")),
        operator=str(result.get("operator", "")),
        cell_width_mm=size[0] * 1e3,
        cell_height_mm=size[1] * 1e3,
        bins=[(row["soft"], row["hard"], row["name"], row["pass"]) for row in result["bin_table"]],
    )
    return write_stdf(sheet, tests, parts)


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else value


def _unit(quantity: str) -> str:
    unit = split_unit(quantity)[1]
    return {"ohm": "Ohm"}.get(unit, unit)


def _bound(value: Any, end: str) -> float:
    """A limit of the result: a number, or the text of an infinity."""
    if isinstance(value, int | float):
        return float(value)
    return -math.inf if end == "low" else math.inf
