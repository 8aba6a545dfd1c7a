"""What the health watch found, marked in a plot against time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from matplotlib.axes import Axes

from .style import GREY, ORANGE, RED

#: Marks narrower than this share of the axis are widened to it, so that half a second of 15 minutes is seen.
_LEAST_SHARE = 0.004
_NAMED = 12


def mark_findings(
    axes: Axes,
    findings: Iterable[Mapping[str, Any]],
    origin_ns: int,
    factor: float = 1.0,
    *,
    device: str = "",
    named: bool = True,
) -> int:
    """Shade each finding; returns how many were marked.

    `findings` are those of the run's result (`health`); `origin_ns` is the UTC instant at the axis' zero, `factor`
    turns seconds into the axis' unit. With `device` only that device's are marked; `named` writes what
    they are. Call it when the curves are drawn.
    """
    low, high = axes.get_xlim()
    marked = 0
    for finding in findings:
        if device and finding.get("device") != device:
            continue
        to_s = (int(finding["time_ns"]) - origin_ns) / 1e9
        from_s = to_s - (float(finding["to_s"]) - float(finding["from_s"]))
        left, right = from_s * factor, to_s * factor
        if right < low or left > high:
            continue
        widen = max(0.0, _LEAST_SHARE * (high - low) - (right - left)) / 2.0
        colour = RED if finding["severity"] == "error" else ORANGE
        axes.axvspan(left - widen, right + widen, color=colour, alpha=0.25, lw=0)
        if named and marked < _NAMED:
            axes.annotate(
                str(finding["kind"]).replace("_", " "),
                (right, 0.0),
                xycoords=("data", "axes fraction"),
                xytext=(5, 3),
                textcoords="offset points",
                rotation=90,
                va="bottom",
                fontsize=7,
                color=GREY,
            )
        marked += 1
    axes.set_xlim(low, high)
    return marked
