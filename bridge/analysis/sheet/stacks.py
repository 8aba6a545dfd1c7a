"""Parallel stacks: how many work, and which cells go together.

Cells of a parallel stack share their terminals, so one short ends the stack: with a share p of good cells among those
that are put in, a stack of n works with p to the n.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from drivers.errors import InvalidValue

Floats = npt.NDArray[np.float64]


def stack_yield(share_good: float, layers: int) -> float:
    """p to the n. Raises `InvalidValue` for a share outside 0 to 1, or no layers."""
    if not 0 <= share_good <= 1 or layers < 1:
        raise InvalidValue(
            f"share {share_good:g} and {layers} layers; accepted: a share from 0 to 1, one layer or more"
        )
    return float(share_good**layers)


def match(values: Floats, layers: int) -> tuple[list[list[int]], dict[str, Any]]:
    """Groups of `layers` cells that are alike in all the quantities, and how alike.

    `values` has shape (n, q), a row for each cell that may be stacked; cells with NaN are left over. Cells are put in
    order along the direction in which they differ most (first principal component of the robust scores) and cut into
    groups, so that neighbours in that order share a stack. Returns indices into `values`, and the spread (largest less
    smallest, relative to the median) within a stack beside that of stacks put together at random (seed 0).
    """
    if layers < 1:
        raise InvalidValue(f"layers is {layers}; at least 1 is accepted")
    usable = np.flatnonzero(np.isfinite(values).all(axis=1))
    count = len(usable) // layers
    if not count:
        return [], {"stacks": 0, "left_over": len(usable), "spread": None, "spread_at_random": None}
    scores = _scores(values[usable])
    _, _, directions = np.linalg.svd(scores - scores.mean(axis=0), full_matrices=False)
    order = usable[np.argsort(scores @ directions[0], kind="stable")]
    # what does not fill a stack is left over at the ends, where cells are least alike
    spare = len(order) - count * layers
    order = order[spare // 2 : spare // 2 + count * layers]
    groups = order.reshape(count, layers)
    shuffled = np.random.default_rng(0).permutation(order).reshape(count, layers)
    told = {
        "stacks": count,
        "left_over": len(usable) - count * layers,
        "spread": _spread(values, groups),
        "spread_at_random": _spread(values, shuffled),
    }
    return [sorted(int(index) for index in group) for group in groups], told


def _scores(values: Floats) -> Floats:
    centre = np.median(values, axis=0)
    mad = np.median(np.abs(values - centre), axis=0)
    result: Floats = (values - centre) / np.where(mad > 0, mad, 1.0)
    return result


def _spread(values: Floats, groups: npt.NDArray[np.int64]) -> Sequence[float]:
    """By quantity: median over the stacks of (largest - smallest), over the median of all."""
    inside = values[groups]
    ranges = np.median(inside.max(axis=1) - inside.min(axis=1), axis=0)
    scale = np.abs(np.median(values[groups.ravel()], axis=0))
    return [float(r / s) if s else float("nan") for r, s in zip(ranges, scale, strict=True)]
