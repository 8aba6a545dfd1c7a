"""The picture of a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bridge.record.bdf import is_time_series
from drivers.samples import SampleBlock

from .style import BLUE, GREEN, GREY, ORANGE, PALE, new_figure, scale, thinned, time_scale

_POINTS = 4000
#: More steps than this are not named in the picture.
_NAMED = 12


def schedule_figure(result: Mapping[str, Any], blocks: Sequence[SampleBlock]) -> Figure:
    """Voltage and current in time with the steps' beginnings; capacity and efficiency by cycle from three cycles on."""
    many = len(result.get("cycles", ())) >= 3
    with new_figure(10.5, 6.8 if many else 4.8) as figure:
        rows = figure.subplots(3 if many else 2, 1)
        _in_time(rows[0], rows[1], result, blocks)
        if many:
            _by_cycle(rows[2], result)
        title = str(result.get("schedule") or result["procedure"])
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    return figure


def _in_time(upper: Axes, lower: Axes, result: Mapping[str, Any], blocks: Sequence[SampleBlock]) -> None:
    ours = [block for block in blocks if len(block) and is_time_series(block)]
    if not ours:
        return
    origin = ours[0].start_time_ns
    curves = []
    for start, group in groupby(ours, key=lambda block: block.start_time_ns):
        own = list(group)
        time, voltage, current = (
            np.concatenate([b[name] for b in own]) for name in ("time_s", "voltage_v", "current_a")
        )
        keep = np.union1d(thinned(voltage, _POINTS), thinned(current, _POINTS))
        curves.append(((time + (start - origin) / 1e9)[keep], voltage[keep], current[keep]))
    factor, unit = time_scale(max(float(time[-1]) for time, _, _ in curves))
    amperes, prefix = scale(np.concatenate([current for _, _, current in curves]))
    for time, voltage, current in curves:
        upper.plot(time * factor, voltage, color=BLUE, lw=1.2)
        lower.plot(time * factor, current * amperes, color=ORANGE, lw=1.2)
    starts = [(s["start_time_ns"], s["name"]) for s in result["steps"] if s.get("start_time_ns")]
    for start, name in starts:
        at = (start - origin) / 1e9 * factor
        for axes in (upper, lower):
            axes.axvline(at, color=PALE, lw=0.8, zorder=0)
        if len(starts) <= _NAMED:
            upper.annotate(
                name, (at, 1), xycoords=("data", "axes fraction"), xytext=(3, -3), textcoords="offset points",
                va="top", rotation=90, fontsize=8, color=GREY,
            )  # fmt: skip
    lower.axhline(0.0, color=GREY, lw=0.8)
    lower.sharex(upper)
    upper.set_title("Voltage and current in time (lines: steps; gaps: the cell disconnected)")
    upper.set_ylabel("voltage / V")
    lower.set_ylabel(f"current / {prefix}A")
    lower.set_xlabel(f"time / {unit}")
    upper.margins(x=0.01)


def _by_cycle(axes: Axes, result: Mapping[str, Any]) -> None:
    cycles = result["cycles"]
    number = [c["cycle"] for c in cycles]
    charge, discharge = (np.array([c[key] for c in cycles]) for key in ("charge_ah", "discharge_ah"))
    factor, prefix = scale(np.concatenate([charge, discharge]))
    axes.plot(number, charge * factor, color=BLUE, marker="o", ms=3, lw=1, label="charge")
    axes.plot(number, discharge * factor, color=ORANGE, marker="s", ms=3, lw=1, label="discharge")
    axes.set_title("Capacity and efficiency by cycle")
    axes.set_xlabel("cycle")
    axes.set_ylabel(f"capacity / {prefix}Ah")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    other = axes.twinx()
    efficiency = [np.nan if c["coulombic_efficiency"] is None else 100 * c["coulombic_efficiency"] for c in cycles]
    other.plot(number, efficiency, color=GREEN, marker="^", ms=3, lw=1, ls=":", label="efficiency")
    other.set_ylabel("coulombic efficiency / %")
    other.spines["right"].set_visible(True)
    other.grid(visible=False)
    handles = [*axes.get_legend_handles_labels()[0], *other.get_legend_handles_labels()[0]]
    axes.legend(handles=handles, loc="lower left", ncols=3)
