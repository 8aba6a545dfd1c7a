"""The map as a result: cells, records, bins, yield, statistics, patterns, stacks, and how well the time was used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bridge.analysis.sheet import stacks, statistics
from bridge.analysis.sheet.alignment import Alignment
from bridge.analysis.sheet.bound import Touchdown, lower_bound
from bridge.analysis.sheet.limits import Limits
from bridge.analysis.sheet.limits import dumps as limits_text
from bridge.analysis.sheet.patterns import find_patterns
from bridge.analysis.sheet.positions import name_of
from drivers.plain import to_plain

from .judge import Judge
from .layout import Layout
from .parameters import SheetMap
from .records import Book
from .rig import Rig

#: summarised for the sheet, its rows, columns and sites, where they were measured
_QUANTITIES = ("ocv_v", "ocv_std_v", "ocv_drop_v", "z_top_ohm", "z_low_ohm", "phase_low_deg", "kk_residual")


def sheet_result(layout: Layout, judge: Judge, book: Book, parameters: SheetMap) -> dict[str, Any]:
    """All that follows from the records. Takes a second for a large sheet: call it in a thread."""
    cells = layout.cells
    index = [book.standing.get(cell.place) for cell in cells]
    standing = [None if i is None else book.records[i] for i in index]
    bins = judge.bins
    soft = np.array([bins.untested.soft if r is None else r.soft for r in standing], dtype=np.int64)
    hard = np.array([bins.untested.hard if r is None else r.hard for r in standing], dtype=np.int64)
    sites = np.array([0 if r is None else r.site for r in standing], dtype=np.int64)
    rows = np.array([cell.row for cell in cells], dtype=np.int64)
    columns = np.array([cell.column for cell in cells], dtype=np.int64)
    passes = np.isin(soft, [b.soft for b in bins.rows if b.passes])
    unclear = [bins.untested.soft, *(b.soft for b in bins.rows if b.retest)]
    judged = ~np.isin(soft, unclear)
    names = [name for name in dict.fromkeys((*_QUANTITIES, *sorted(judge.names), *judge.fitted)) if "." not in name]
    values = statistics.columns_of([{} if r is None else r.values for r in standing], names)
    values = {name: column for name, column in values.items() if np.isfinite(column).any()}
    main = next((name for name in ("z_1khz_ohm", "z_low_ohm") if name in values), None)
    of_groups = {name: values[name] for name in ("ocv_v", main) if name is not None and name in values}
    passed, tested = int((passes & judged).sum()), int(judged.sum())
    low, high = statistics.yield_interval(passed, tested)
    measured = np.array([r is not None for r in standing])
    fields = {
        "lot": layout.lot,
        "sheet": layout.sheet,
        "web": layout.web,
        "pitch_m": layout.pitch_m,
        "cell_size_m": layout.cell_size_m,
        "cells_planned": len(cells),
        "cells_skipped": len(layout.skipped),
        "cells_measured": int(measured.sum()),
        "cells_judged": tested,
        "passed": passed,
        "yield": passed / tested if tested else None,
        "yield_low": low,
        "yield_high": high,
        "yield_of_all": passed / len(cells),
        "bins": statistics.count_bins(
            soft, {n: b.name for n, b in bins.by_soft.items()}, {n: b.hard for n, b in bins.by_soft.items()}
        ),
        "bin_table": bins.describe(),
        "limits": _limits(judge.limits),
        "statistics": {
            "sheet": {name: statistics.summarise(column) for name, column in values.items()},
            "rows": statistics.by_group(rows, passes, judged, of_groups),
            "columns": statistics.by_group(columns, passes, judged, of_groups),
            "sites": statistics.by_group(sites[measured], passes[measured], judged[measured],
                                         {n: v[measured] for n, v in of_groups.items()}),
        },
        **_oddities(rows, columns, sites, values, passes, judged, main),
        "patterns": find_patterns(rows, columns, sites, judged & ~passes, judged),
        "stacks": _stacks(cells, values, passes, passed / tested if tested else 0.0, parameters.stack_layers, main),
        "retests": _retests(book, judge),
        "cells": {
            "row": rows,
            "column": columns,
            "x_m": [cell.x_m for cell in cells],
            "y_m": [cell.y_m for cell in cells],
            "soft": soft,
            "hard": hard,
            "record": index,
        },
        "records": book.to_columns(),
        "skipped": sorted(list(place) for place in layout.skipped),
        "method": (
            "open-circuit voltage: mean of the second half of the record; impedance by the instrument's own sweep, "
            "bias the open-circuit voltage; the last record of a cell stands, earlier ones are kept; yield: of the "
            "cells that a bin judges (not those in bins that ask for a retest, not the untested), its interval by "
            "Clopper and Pearson, 95 %"
        ),
    }  # fmt: skip
    plain: dict[str, Any] = to_plain(fields)
    return plain


def time_used(
    rig: Rig, touchdowns: Sequence[Touchdown], elapsed_s: float, cells: int, before: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """How long it took, what each resource did meanwhile, and the least that the same operations need.

    `before` is what the resources had done before the map began (the check of cross-talk).
    """
    switching = 0.0
    occupancy: dict[str, Any] = {}
    for resource in rig.resources:
        busy = {
            kind: seconds - before.get(resource.name, {}).get(kind, 0.0) for kind, seconds in resource.busy_s.items()
        }
        switching += busy.get("switching", 0.0)
        total = math.fsum(busy.values())
        occupancy[resource.name] = {
            **{f"{kind.replace(' ', '_').replace('-', '_')}_s": seconds for kind, seconds in busy.items()},
            "busy_s": total,
            "occupancy": total / elapsed_s if elapsed_s else None,
        }
    holding = {
        carrier.head.name: math.fsum(t.shortest_s for t in touchdowns if t.head == carrier.head.name)
        for carrier in rig.carriers
    }
    for name, seconds in holding.items():
        occupancy[name]["holding_s"] = seconds
        occupancy[name]["occupancy"] = (occupancy[name]["busy_s"] + seconds) / elapsed_s if elapsed_s else None
    bound = lower_bound(touchdowns, switching, exclusive_routes=rig.multiplexer is not None)
    return {
        "elapsed_s": elapsed_s,
        "bound_s": bound.seconds,
        "bound_by_resource_s": bound.by_resource,
        "limited_by": bound.limited_by,
        "over_bound": elapsed_s / bound.seconds - 1 if bound.seconds else None,
        "landings": len(touchdowns),
        "cells_per_hour": cells / elapsed_s * 3600 if elapsed_s else None,
        "occupancy": occupancy,
        "method": "time by the devices' own clocks, kept together (each waits by its own for what it needs); bound: "
        "the busiest resource's share of these very operations; only what this run has done, without pauses",
    }


def limits_drift(limits: Limits, values: Mapping[str, Any]) -> dict[str, Any]:
    """How far the sheet's median is from that which the frozen limits were made from, in its MAD."""
    found = {}
    for name, told in limits.provenance.items():
        summary = values.get(name)
        if isinstance(told, Mapping) and summary and summary["median"] is not None and told.get("mad"):
            found[name] = (summary["median"] - float(told["median"])) / float(told["mad"])
    return found


def describe_alignment(alignment: Alignment) -> dict[str, Any]:
    plain: dict[str, Any] = to_plain(alignment.describe())
    return plain


def _limits(limits: Limits) -> dict[str, Any]:
    return {
        "limits": {name: {"low": limit.low, "high": limit.high} for name, limit in limits.limits.items()},
        "constants": limits.constants,
        "provenance": limits.provenance,
        "toml": limits_text(limits),
    }


def _oddities(
    rows: Any, columns: Any, sites: Any, values: Mapping[str, Any], passes: Any, judged: Any, main: str | None
) -> dict[str, Any]:
    """Cells beyond six robust sigmas, and how each site reads beside its neighbours, among the cells that pass."""
    outlying: dict[str, list[str]] = {}
    bias: dict[str, Any] = {}
    for name in ("ocv_v", main):
        if name is None or name not in values:
            continue
        clean = np.where(passes & judged, values[name], np.nan)
        residuals = statistics.neighbour_residual(rows, columns, clean)
        every = statistics.neighbour_residual(rows, columns, values[name])
        found = statistics.outliers(values[name], every)
        outlying[name] = [name_of((int(rows[i]), int(columns[i]))) for i in np.flatnonzero(found)]
        bias[name] = statistics.site_bias(sites[sites > 0], residuals[sites > 0])
    return {"outliers": outlying, "site_bias": bias}


def _stacks(
    cells: Sequence[Any], values: Mapping[str, Any], passes: Any, share: float, layers: int, main: str | None
) -> dict[str, Any]:
    """Predicted yield of parallel stacks from unsorted cells, and stacks matched from those that pass."""
    by = [name for name in ("ocv_v", main) if name is not None and name in values]
    good = np.flatnonzero(passes)
    groups: list[list[int]] = []
    told: dict[str, Any] = {"stacks": 0}
    if by and len(good):
        groups, told = stacks.match(np.column_stack([values[name][good] for name in by]), layers)
    return {
        "layers": layers,
        "yield_unsorted": stacks.stack_yield(share, layers),
        "matched_by": by,
        **told,
        "groups": [[name_of(cells[good[i]].place) for i in group] for group in groups],
        "assumption": "a stack works if all its cells do, and cells fail independently of each other",
    }


def _retests(book: Book, judge: Judge) -> dict[str, Any]:
    """What came of the cells that were touched again."""
    again = [record for record in book.records if record.supersedes is not None]
    entries = []
    for record in again:
        assert record.supersedes is not None
        before = book.records[record.supersedes]
        entries.append(
            {
                "cell": name_of(record.place),
                "from_soft": before.soft,
                "to_soft": record.soft,
                "from_site": before.site,
                "to_site": record.site,
            }
        )
    recovered = sum(judge.bins.by_soft[record.soft].passes for record in again if record.soft in judge.bins.by_soft)
    return {"records": len(again), "recovered": recovered, "audit": entries}
