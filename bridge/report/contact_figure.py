"""The picture of an approach to contact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bridge.analysis.formatting import si

from .style import BLUE, GREEN, INK, ORANGE, new_figure, scale

_AXES = {
    "voltage": ("lead at zero current", "V"),
    "impedance": ("answer to the pulses", "V"),
    "current": ("current at the bias", "A"),
}


def contact_figure(result: Mapping[str, Any]) -> Figure:
    """How far the tip had come, and what the lead saw, step by step; back-offs show as drops of the travel.

    `result` is what the procedure `make-contact` returns.
    """
    approach = result["approach"]
    step, attempt = np.asarray(approach["step"]), np.asarray(approach["attempt"])
    travel, value = np.asarray(approach["travelled_m"], float), np.asarray(approach["value"], float)
    name, unit = _AXES[result["sense"]]
    with new_figure(8.5, 5.0) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        factor, prefix = scale(travel)
        lower.plot(step, travel * factor, color=BLUE, lw=1, marker=".", ms=4)
        lower.set_ylabel(f"travelled / {prefix}m")
        lower.set_xlabel("step")
        factor, prefix = scale(value)
        upper.plot(step, value * factor, color=BLUE, lw=1, marker=".", ms=4)
        upper.set_ylabel(f"{name} / {prefix}{unit}")
        if result["sense"] == "voltage":
            upper.axhline(result["lead_voltage_v"] * factor, color=INK, lw=0.8, ls="--", label="lead before")
            if result["found"]:
                upper.axhline(result["ocv_v"] * factor, color=GREEN, lw=0.8, ls="--", label="verified")
            upper.legend(loc="center left")
        for change in step[1:][np.diff(attempt) > 0]:
            for axes in (upper, lower):
                axes.axvline(change, color=ORANGE, lw=0.9, ls=":")
        upper.margins(y=0.15)
        tried = f", {result['attempts']} contacts tried (dotted: again)" if result["attempts"] > 1 else ""
        figure.suptitle(
            f"Approach: {result['verdict']} after {result['steps']} steps, {si(result['travelled_m'], 'm')}{tried}",
            x=0.01,
            ha="left",
            fontsize=12,
            fontweight="bold",
        )
    return figure
