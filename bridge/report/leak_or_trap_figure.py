"""The picture of a leak-or-trap test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from drivers.samples import SampleBlock

from .style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, new_figure, scale, thinned, time_scale

_POINTS = 4000
_COLOURS = {"charge": BLUE, "rest": GREEN, "discharge": ORANGE}


def leak_or_trap_figure(result: Mapping[str, Any], blocks: Sequence[SampleBlock]) -> Figure:
    """Voltage in time, and what decided: the ratios against what either would give, or the rest with its slope.

    `result` is what the procedure returns, `blocks` are the samples of its run.
    """
    with new_figure(10.5, 4.4) as figure:
        in_time, decisive = figure.subplots(1, 2, width_ratios=(1.35, 1.0))
        _voltage(in_time, result, blocks)
        if result["method_used"] == "rest":
            _leaks(decisive, result)
        else:
            _ratios(decisive, result)
        figure.suptitle(f"Leak or trap: {result['verdict']}", x=0.01, ha="left", fontsize=13, fontweight="bold")
    return figure


def _voltage(axes: Axes, result: Mapping[str, Any], blocks: Sequence[SampleBlock]) -> None:
    steps = result["steps"]
    origin = min(step["start_time_ns"] for step in steps)
    length = max((b.start_time_ns - origin) / 1e9 + float(b["time_s"][-1]) for b in blocks)
    factor, unit = time_scale(length)
    named: set[str] = set()
    for at, step in enumerate(steps):
        after = steps[at + 1]["start_time_ns"] if at + 1 < len(steps) else np.inf
        own = [b for b in blocks if step["start_time_ns"] <= b.start_time_ns < after and "voltage_v" in b.data]
        if not own:
            continue
        time = np.concatenate([b["time_s"] + (b.start_time_ns - origin) / 1e9 for b in own])
        voltage = np.concatenate([b["voltage_v"] for b in own])
        keep = thinned(voltage, _POINTS)
        label = None if step["kind"] in named else step["kind"]
        named.add(step["kind"])
        axes.plot(time[keep] * factor, voltage[keep], color=_COLOURS[step["kind"]], lw=1.4, label=label)
    for limit in (result["settings"]["voltage_min_v"], result["settings"]["voltage_max_v"]):
        axes.axhline(limit, color=GREY, lw=0.9, ls=":")
    axes.set_title("Voltage in time (dotted: limits)")
    axes.set_xlabel(f"time / {unit}")
    axes.set_ylabel("voltage / V")
    axes.legend(loc="lower center")


def _ratios(axes: Axes, result: Mapping[str, Any]) -> None:
    """What came back by current: measured, and what the two hypotheses expect of the second cycle."""
    e, s = result["evidence"], result["settings"]
    axes.set_title("Share of the charge that came back")
    axes.set_ylabel("discharge / charge")
    if not e:
        axes.text(0.5, 0.5, "not complete", ha="center", transform=axes.transAxes, color=GREY)
        return
    factor, prefix = scale([s["first_a"], s["second_a"]])
    currents = np.array([s["first_a"], s["second_a"]]) * factor
    axes.plot(currents, [e["first_ratio"], e["second_ratio_if_leak"]], color=RED, ls="--", lw=1.2, label="if it leaks")
    axes.plot(
        currents, [e["first_ratio"], e["second_ratio_if_trap"]], color=PURPLE, ls="-.", lw=1.2, label="if it is trapped"
    )
    axes.errorbar(
        currents,
        [e["first_ratio"], e["second_ratio"]],
        [2 * e["first_ratio_uncertainty"], 2 * e["second_ratio_uncertainty"]],
        color=INK,
        fmt="o",
        ms=5,
        capsize=3,
        label="measured, ± 2 sigma",
    )
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"current / {prefix}A")
    axes.legend(loc="best")


def _leaks(axes: Axes, result: Mapping[str, Any]) -> None:
    """The leak that the rest shows beside the one that the missing charge needs."""
    e = result["evidence"]
    shown = next((step["leak"] for step in result["steps"] if step.get("leak")), None)
    axes.set_title("Leak")
    if not e or shown is None:
        axes.text(0.5, 0.5, "not complete", ha="center", transform=axes.transAxes, color=GREY)
        return
    values = np.array([shown["leak_a"], e["leak_needed_a"]])
    sigmas = np.array([shown["uncertainty_a"], e["leak_needed_uncertainty_a"]])
    factor, prefix = scale(values)
    axes.errorbar([0, 1], values * factor, 2 * sigmas * factor, color=INK, fmt="o", ms=5, capsize=3)
    axes.axhline(0.0, color=GREY, lw=0.8)
    axes.set_xticks([0, 1], ["seen in the rest", "needed for\nwhat is missing"])
    axes.set_xlim(-0.6, 1.6)
    axes.set_ylabel(f"leak / {prefix}A (± 2 sigma)")
