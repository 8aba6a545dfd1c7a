"""The page of a sheet's map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.analysis.formatting import duration, percent, si

from .summary import Samples, Summary, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 12


def summary(result: Mapping[str, Any]) -> Summary:
    bins, time, stacks = result["bins"]["soft"], result["time"], result["stacks"]
    interval = f"{percent(result['yield_low'])} to {percent(result['yield_high'])}"
    rows = [
        ("Yield", f"{percent(result['yield'], 4)} ({interval}, 95 %), {result['passed']} of {result['cells_judged']}"),
        ("Cells", f"{result['cells_planned']} planned, {result['cells_skipped']} skipped, "
                  f"{result['cells_measured']} measured"),
        ("Touched again", f"{result['retests']['records']}, of which {result['retests']['recovered']} then passed"),
        ("Time", f"{duration(time['elapsed_s'])}, {_over(time)} the least possible ({duration(time['bound_s'])}, "
                 f"limited by {time['limited_by']})"),
        ("Rate", f"{time['cells_per_hour'] or 0:.0f} cells an hour"),
        (f"Stacks of {stacks['layers']}", f"unsorted {percent(stacks['yield_unsorted'])} work; "
                                          f"{stacks['stacks']} matched stacks of passing cells"),
        ("Limits", str(result["limits"]["provenance"].get("source", "from a file"))),
    ]  # fmt: skip
    if result.get("crosstalk"):
        found = result["crosstalk"]
        rows.append(("Cross-talk", f"{si(found['worst_v'], 'V')} at the most (limit {si(found['limit_v'], 'V')})"))
    tables = [
        Table("Bins", ("soft", "hard", "name", "cells"), [_texts(b, "soft", "hard", "name", "cells") for b in bins]),
        Table("What the failing cells have in common", ("kind", "where", "cells", "by chance"),
              [(str(p["kind"]), where(p), str(p["cells"]), f"{p['p']:.1e}") for p in result["patterns"][:_MOST]]),
        Table("Resources", ("resource", "busy", "occupancy"),
              [(name, duration(used["busy_s"] + used.get("holding_s", 0.0)), percent(used["occupancy"]))
               for name, used in time["occupancy"].items()]),
        Table("Sites", ("site", "cells", "yield"),
              [(str(s["number"]), str(s["tested"]), percent(s["yield"])) for s in result["statistics"]["sites"]]),
    ]  # fmt: skip
    done = result["verdict"] == "completed"
    return Summary(
        f"Map of sheet {result.get('sheet') or ''}".strip(),
        str(result["verdict"]),
        "pass" if done else "fail",
        str(result["reason"]),
        rows=rows,
        tables=[table for table in tables if table.rows],
        method=[
            ("Map", str(result["method"])),
            ("Time", str(time["method"])),
            ("Stacks", str(stacks["assumption"])),
            *((f"Bin {b['soft']}, {b['name']}", str(b["when"])) for b in result["bin_table"]),
        ],
    )


def figures(result: Mapping[str, Any], samples: Samples) -> Sequence[tuple[str, Figure]]:
    from .sheet_figure import bin_figure, quantities, value_figure

    maps = [(f"map-{name.replace('_', '-')}", value_figure(result, name)) for name in quantities(result)]
    return [("bins", bin_figure(result)), *maps]


def where(pattern: Mapping[str, Any]) -> str:
    """In words."""
    if "rows" in pattern:
        (r0, r1), (c0, c1) = pattern["rows"], pattern["columns"]
        return f"rows {r0} to {r1}, columns {c0} to {c1}"
    if "pitch_columns" in pattern:
        return f"row {pattern['row']}, every {pattern['pitch_columns']} columns from {pattern['first_column']}"
    for key in ("row", "column", "site"):
        if key in pattern:
            return f"{key} {pattern[key]}"
    return "the outermost cells"


def _over(time: Mapping[str, Any]) -> str:
    return "" if time["over_bound"] is None else f"{percent(time['over_bound'])} over"


def _texts(entry: Mapping[str, Any], *keys: str) -> tuple[str, ...]:
    return tuple(str(entry[key]) for key in keys)
