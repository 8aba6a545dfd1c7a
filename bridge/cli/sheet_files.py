"""`picobridge sheet-files`: a recorded map as CSV, STDF and pictures."""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

from bridge.record.run_record import find
from bridge.report.sheet_exchange import write_files
from drivers.errors import InvalidValue

from .output import print_json
from .records import data_dirs


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "sheet-files",
        help="write a sheet's map as CSV, STDF and pictures",
        description="Of a recorded run of sheet-map, or of its result as JSON: map.csv, records.csv, sheet.stdf, "
        "limits.toml, and the maps as PNG and SVG.",
    )
    parser.add_argument("run", metavar="RUN|FOLDER|RESULT.json", help="the run's id, its folder, or a result")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to (default: sheet/ in the run's folder)")
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="DIRECTORY",
        help="where the runs are: the daemon's data_dir (default: the usual places, and runs/ here)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(function=run_sheet_files)


async def run_sheet_files(args: argparse.Namespace) -> int:
    files = await asyncio.to_thread(_write, args)
    if args.json:
        print_json({"files": [str(file) for file in files]})
    else:
        for file in files:
            print(file)
    return 0


def _write(args: argparse.Namespace) -> list[Path]:
    """Raises `InvalidValue` for what is no result of a map."""
    path = Path(args.run)
    result: Any
    if path.suffix == ".json" and path.is_file():
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InvalidValue(f"{path} is not JSON: {error}") from error
        folder = args.out or path.parent / "sheet"
    else:
        record = find(args.run, data_dirs(args))
        result, folder = record.result, args.out or record.folder / "sheet"
    if isinstance(result, dict) and "records" not in result and isinstance(result.get("result"), dict):
        result = result["result"]  # as published: with the procedure's own inside
    if not isinstance(result, dict) or result.get("procedure") != "sheet-map" or "records" not in result:
        raise InvalidValue(f"{args.run} has no result of sheet-map; accepted: a finished run of it, or its result")
    return write_files(result, folder)
