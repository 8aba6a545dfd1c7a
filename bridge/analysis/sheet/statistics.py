"""Yield and the like, of a sheet and of its rows, columns and sites."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

#: one median absolute deviation of a normal distribution is this part of sigma
MAD_OF_SIGMA = 0.674489750196


def yield_interval(passed: int, tested: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of the share that passes (Clopper and Pearson 1934). (0, 1) if none was tested."""
    if not tested:
        return 0.0, 1.0
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = 0.0 if passed == 0 else float(beta.ppf(tail, passed, tested - passed + 1))
    high = 1.0 if passed == tested else float(beta.ppf(1 - tail, passed + 1, tested - passed))
    return low, high


def summarise(values: Floats) -> dict[str, Any]:
    """Robust and plain figures of the finite values, shape (n,); None where there is none."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return {"cells": 0, "median": None, "mad": None, "mean": None, "std": None, "p02": None, "p98": None}
    median = float(np.median(finite))
    p02, p98 = np.percentile(finite, [2, 98])
    return {
        "cells": len(finite),
        "median": median,
        "mad": float(np.median(np.abs(finite - median))),
        "mean": float(finite.mean()),
        "std": float(finite.std(ddof=1)) if len(finite) > 1 else None,
        "p02": float(p02),
        "p98": float(p98),
    }


def by_group(groups: Ints, passed: Bools, tested: Bools, values: Mapping[str, Floats]) -> list[dict[str, Any]]:
    """One entry for each group number (a row, a column, a site): counts, yield with interval, medians of `values`.

    All arrays have shape (n,), one element a cell.
    """
    found = []
    for number in np.unique(groups):
        inside = groups == number
        n_tested, n_passed = int((inside & tested).sum()), int((inside & tested & passed).sum())
        low, high = yield_interval(n_passed, n_tested)
        entry: dict[str, Any] = {
            "number": int(number),
            "cells": int(inside.sum()),
            "tested": n_tested,
            "passed": n_passed,
            "yield": n_passed / n_tested if n_tested else None,
            "yield_low": low,
            "yield_high": high,
        }
        for name, column in values.items():
            finite = column[inside & np.isfinite(column)]
            entry[f"{name}_median"] = float(np.median(finite)) if len(finite) else None
        found.append(entry)
    return found


def robust_z(values: Floats) -> Floats:
    """Distance from the median in robust sigmas (MAD / 0.674); NaN stays NaN. Zero spread gives 0 or infinity."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.full_like(values, np.nan)
    distance = values - np.median(finite)
    sigma = float(np.median(np.abs(finite - np.median(finite)))) / MAD_OF_SIGMA
    if sigma == 0:
        return np.where(distance == 0, 0.0, np.sign(distance) * np.inf)
    result: Floats = distance / sigma
    return result


def neighbour_residual(rows: Ints, columns: Ints, values: Floats) -> Floats:
    """Each value less the median of its up to eight neighbours; NaN where fewer than three have a value.

    Takes slow changes over the sheet out, so that what is left is the cell's own.
    """
    if not len(values):
        return values.copy()
    plane = np.full((int(rows.max()) + 3, int(columns.max()) + 3), np.nan)
    plane[rows + 1, columns + 1] = values
    shifts = [(dr, dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1) if (dr, dc) != (0, 0)]
    around = np.stack([plane[rows + 1 + dr, columns + 1 + dc] for dr, dc in shifts])
    enough = np.isfinite(around).sum(axis=0) >= 3
    median = np.full(len(values), np.nan)
    median[enough] = np.nanmedian(around[:, enough], axis=0)
    result: Floats = values - median
    return result


def site_bias(sites: Ints, residuals: Floats) -> list[dict[str, Any]]:
    """How far each site reads beside its neighbours: median residual and its distance from zero in standard errors.

    `residuals` as from `neighbour_residual`: a bad probe looks like a bad column, and this is what tells it by.
    """
    found: list[dict[str, Any]] = []
    for site in np.unique(sites):
        own = residuals[(sites == site) & np.isfinite(residuals)]
        if len(own) < 5:
            found.append({"site": int(site), "cells": len(own), "bias": None, "z": None})
            continue
        median = float(np.median(own))
        sigma = float(np.median(np.abs(own - median))) / MAD_OF_SIGMA
        error = 1.2533 * sigma / math.sqrt(len(own))  # of a median of normal values
        z = median / error if error else (0.0 if median == 0 else math.copysign(math.inf, median))
        found.append({"site": int(site), "cells": len(own), "bias": median, "z": z})
    return found


def outliers(values: Floats, residuals: Floats, k: float = 6.0) -> Bools:
    """Beyond `k` robust sigmas of the sheet, or of what the neighbours let expect."""
    return (np.abs(robust_z(values)) > k) | (np.abs(robust_z(residuals)) > k)


def count_bins(soft: Ints, names: Mapping[int, str], hard_of: Mapping[int, int]) -> dict[str, Any]:
    """Cells by soft and by hard bin."""
    soft_bins: list[dict[str, Any]] = []
    hard: dict[int, int] = {}
    for number, name in sorted(names.items()):
        count = int((soft == number).sum())
        soft_bins.append({"soft": number, "hard": hard_of[number], "name": name, "cells": count})
        hard[hard_of[number]] = hard.get(hard_of[number], 0) + count
    return {"soft": soft_bins, "hard": [{"hard": number, "cells": count} for number, count in sorted(hard.items())]}


def columns_of(records: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Floats]:
    """Values of the records as arrays of shape (n,); what is not there is NaN."""
    return {
        name: np.array([np.nan if r.get(name) is None else float(r[name]) for r in records], dtype=float)
        for name in names
    }
