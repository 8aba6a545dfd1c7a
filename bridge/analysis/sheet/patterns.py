"""What the failing cells have in common: edge, clusters, streaks along the web, a roller's pitch, a probe's site.

Each finding has a probability: how often so many failing cells would lie so by chance if they fell anywhere, times the
number of places that were looked at (Bonferroni). Findings below `SIGNIFICANCE` are reported.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Plane = npt.NDArray[np.bool_]

SIGNIFICANCE = 1e-3
#: a cluster has at least this many cells
SMALLEST_CLUSTER = 3
#: a streak is at least this long, and this many times longer than wide
SHORTEST_STREAK = 5
_SLENDER = 3.0
#: a pitch must be seen at least so often in a row
FEWEST_HITS = 4


def find_patterns(rows: Ints, columns: Ints, sites: Ints, failed: Bools, tested: Bools) -> list[dict[str, Any]]:
    """All findings, the surest first. Arrays of shape (n,), one element a cell; the web runs along the columns."""
    if not failed.any() or not tested.any():
        return []
    fails, known = _planes(rows, columns, failed & tested, tested)
    found = [
        *_edge(fails, known),
        *_lines(fails, known, "row"),
        *_lines(fails.T, known.T, "column"),
        *_clusters(fails, known),
        *_pitch(fails, known),
        *_sites(sites[tested], (failed & tested)[tested]),
    ]
    return sorted(found, key=lambda finding: float(finding["p"]))


def _planes(rows: Ints, columns: Ints, failed: Bools, tested: Bools) -> tuple[Plane, Plane]:
    shape = int(rows.max()) + 1, int(columns.max()) + 1
    fails, known = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    fails[rows, columns], known[rows, columns] = failed, tested
    return fails, known


def _at_least(k: int, n: int, share: float) -> float:
    """Probability of k or more of n."""
    from scipy.stats import binom

    return float(binom.sf(k - 1, n, share))


def _edge(fails: Plane, known: Plane) -> list[dict[str, Any]]:
    """Do cells of the outermost ring fail more often than those within (Fisher's exact test)?"""
    from scipy.stats import fisher_exact

    if min(fails.shape) < 5:
        return []
    ring = np.ones_like(fails)
    ring[1:-1, 1:-1] = False
    table = [[int((fails & ring).sum()), int((known & ring & ~fails).sum())],
             [int((fails & ~ring).sum()), int((known & ~ring & ~fails).sum())]]  # fmt: skip
    p = float(fisher_exact(np.array(table), alternative="greater").pvalue)
    if p >= SIGNIFICANCE:
        return []
    return [{"kind": "edge", "cells": table[0][0], "of": table[0][0] + table[0][1], "p": p}]


def _lines(fails: Plane, known: Plane, kind: str) -> list[dict[str, Any]]:
    """Rows (or, transposed, columns) in which more fail than elsewhere."""
    share = fails.sum() / max(1, known.sum())
    found = []
    for index in range(len(fails)):
        count, of = int(fails[index].sum()), int(known[index].sum())
        others = max(1, int(known.sum()) - of)
        elsewhere = (int(fails.sum()) - count) / others
        if count < SMALLEST_CLUSTER or count / of <= share:
            continue
        p = min(1.0, _at_least(count, of, max(elsewhere, 1.0 / others)) * len(fails))
        if p < SIGNIFICANCE:
            found.append({"kind": kind, kind: index, "cells": count, "of": of, "p": p})
    return found


def _clusters(fails: Plane, known: Plane) -> list[dict[str, Any]]:
    """Failing cells that touch, corners included; those long along the web are streaks.

    The probability is that of the cluster's box being so full by chance, times the number of boxes of that size.
    """
    from scipy.ndimage import find_objects, label

    numbers, _ = label(fails, structure=np.ones((3, 3)))
    found = []
    for number, box in enumerate(find_objects(numbers), 1):
        cells = int((numbers[box] == number).sum())
        if cells < SMALLEST_CLUSTER:
            continue
        height, width = (s.stop - s.start for s in box)
        elsewhere = max(1, int(fails.sum()) - cells) / max(1, int(known.sum()) - int(known[box].sum()))
        p = min(1.0, _at_least(cells, int(known[box].sum()), min(elsewhere, 1.0)) * fails.size)
        if p >= SIGNIFICANCE:
            continue
        streak = width >= SHORTEST_STREAK and width >= _SLENDER * height
        across = height >= SHORTEST_STREAK and height >= _SLENDER * width
        kind = "streak along the web" if streak else "streak across the web" if across else "cluster"
        rows, columns = ([s.start, s.stop - 1] for s in box)
        found.append({"kind": kind, "cells": cells, "rows": rows, "columns": columns, "p": p})
    return found


def _pitch(fails: Plane, known: Plane) -> list[dict[str, Any]]:
    """Failing cells that come back at one distance along the web, as a defect of a roller does."""
    share = fails.sum() / max(1, known.sum())
    width = fails.shape[1]
    found = []
    for row in np.flatnonzero(fails.sum(axis=1) >= FEWEST_HITS):
        best: dict[str, Any] | None = None
        looked_at = 0
        for period in range(2, width // FEWEST_HITS + 1):
            for phase in range(period):
                looked_at += 1
                hits = int(fails[row, phase::period].sum())
                of = int(known[row, phase::period].sum())
                if hits < FEWEST_HITS or 2 * hits < of:
                    continue
                rest = int(fails[row].sum()) - hits
                if rest > hits:  # the whole row fails, which is another finding
                    continue
                p = _at_least(hits, of, share)
                if best is None or p < best["p"]:
                    best = {"kind": "repeated pitch", "row": int(row), "pitch_columns": period, "first_column": phase,
                            "cells": hits, "of": of, "p": p}  # fmt: skip
        if best is not None:
            best["p"] = min(1.0, best["p"] * looked_at * len(fails))
            if best["p"] < SIGNIFICANCE:
                found.append(best)
    return found


def _sites(sites: Ints, failed: Bools) -> list[dict[str, Any]]:
    """Sites of the probe at which more fail than at the others together."""
    found = []
    numbers = np.unique(sites)
    for site in numbers:
        own = sites == site
        others = int((~own).sum())
        if not others:
            continue
        count, of = int((failed & own).sum()), int(own.sum())
        elsewhere = max(int((failed & ~own).sum()), 1) / others
        if count < SMALLEST_CLUSTER or count / of <= elsewhere:
            continue
        p = min(1.0, _at_least(count, of, elsewhere) * len(numbers))
        if p < SIGNIFICANCE:
            found.append({"kind": "site", "site": int(site), "cells": count, "of": of, "p": p})
    return found
