"""The picture of a cyclic voltammetry: current over voltage, peaks marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from drivers.samples import SampleBlock

from .style import BLUE, GREY, INK, RED, new_figure, scale


def voltammetry_figure(result: Mapping[str, Any], blocks: Sequence[SampleBlock]) -> Figure:
    """`blocks` are those of the sweep. Later cycles are darker."""
    voltage, current = (np.concatenate([block[name] for block in blocks]) for name in ("voltage_v", "current_a"))
    factor, prefix = scale(current)
    cycles = max((leg["cycle"] for leg in result["sweeps"]), default=1)
    with new_figure(7.0, 4.8) as figure:
        axes = figure.subplots()
        start = 0
        for leg in result["sweeps"]:
            stop = start + leg["samples"]
            part = slice(max(start - 1, 0), stop)
            fade = 0.35 + 0.65 * leg["cycle"] / cycles
            axes.plot(voltage[part], current[part] * factor, color=BLUE, lw=1.3, alpha=fade)
            peak = leg["peak"]
            if peak is not None and leg["cycle"] == cycles:
                axes.plot(peak["voltage_v"], peak["current_a"] * factor, "o", color=RED, ms=5)
                axes.annotate(
                    f"{peak['voltage_v']:.3f} V", (peak["voltage_v"], peak["current_a"] * factor),
                    xytext=(6, 4), textcoords="offset points", fontsize=8.5, color=INK,
                )  # fmt: skip
            start = stop
        axes.axhline(0.0, color=GREY, lw=0.8)
        axes.set_title(f"{result['rate_v_per_s'] * 1e3:g} mV/s, {cycles} cycle{'s' if cycles > 1 else ''}")
        axes.set_xlabel("voltage / V")
        axes.set_ylabel(f"current / {prefix}A (positive charges)")
    return figure
