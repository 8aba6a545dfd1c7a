"""The picture of a titration: relaxed voltage and resistance along the charge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .style import BLUE, ORANGE, new_figure, scale


def titration_figure(result: Mapping[str, Any]) -> Figure:
    """From the rows of the result alone."""
    pulses = result["pulses"]
    charge, relaxed, ended, resistance, doubt = (
        np.array([np.nan if p[key] is None else p[key] for p in pulses])
        for key in (
            "charge_after_ah",
            "voltage_relaxed_v",
            "voltage_end_v",
            "resistance_ohm",
            "resistance_uncertainty_ohm",
        )
    )
    factor, prefix = scale(charge)
    ohms, ohm_prefix = scale(resistance)
    with new_figure(10.5, 3.8) as figure:
        left, right = figure.subplots(1, 2)
        left.plot(charge * factor, ended, color=ORANGE, marker="^", ms=4, lw=0.8, label="end of the pulse")
        left.plot(charge * factor, relaxed, color=BLUE, marker="o", ms=4, lw=1.2, label="relaxed")
        left.set_title("Voltage along the charge")
        left.set_ylabel("voltage / V")
        left.legend()
        right.errorbar(charge * factor, resistance * ohms, yerr=doubt * ohms, color=BLUE, marker="o", ms=4, lw=1.2)
        right.set_title(f"Resistance at {result['delay_s']:g} s (bars: standard uncertainty)")
        right.set_ylabel(f"resistance / {ohm_prefix}Ω")
        for axes in (left, right):
            axes.set_xlabel(f"charge / {prefix}Ah")
    return figure
