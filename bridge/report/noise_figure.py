"""The picture of a noise test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bridge.analysis.formatting import si

from .style import BLUE, GREEN, GREY, INK, ORANGE, RED, new_figure, plain_log, scale

#: Lines of the mains nearer than this to each other on the frequency axis share a label.
_SAME_PLACE = 1.04


def noise_figure(result: Mapping[str, Any]) -> Figure:
    """Averages in time with the tolerance, their distribution, spectrum with the mains named, Allan deviation.

    `result` is what the procedure `noise-test` returns.
    """
    with new_figure(10.5, 6.6) as figure:
        grid = figure.add_gridspec(2, 4, height_ratios=(1.1, 1.0))
        series = figure.add_subplot(grid[0, :3])
        _series(series, result)
        _distribution(figure.add_subplot(grid[0, 3], sharey=series), result)
        _spectrum(figure.add_subplot(grid[1, :2]), result)
        _allan(figure.add_subplot(grid[1, 2:]), result)
        route = f" through {result['route']}" if result.get("route") else ""
        verdict = str(result["verdict"]).upper()
        figure.suptitle(
            f"Noise test at {si(result['set_current_a'], 'A')} ± {si(result['tolerance_a'], 'A')}{route}: {verdict}",
            x=0.01,
            ha="left",
            fontsize=13,
            fontweight="bold",
            color={"PASS": GREEN, "FAIL": RED}.get(verdict, ORANGE),
        )
    return figure


def _averages(result: Mapping[str, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    series = result.get("averages") or {"time_s": [], "current_a": []}
    return np.asarray(series["time_s"], float), np.asarray(series["current_a"], float)


def _series(axes: Axes, result: Mapping[str, Any]) -> None:
    time, current = _averages(result)
    set_a, tolerance = result["set_current_a"], result["tolerance_a"]
    factor, prefix = scale([set_a, tolerance])
    axes.axhspan((set_a - tolerance) * factor, (set_a + tolerance) * factor, color=GREEN, alpha=0.13, lw=0)
    axes.axhline(set_a * factor, color=GREEN, lw=1, ls="--")
    axes.plot(time, current * factor, color=BLUE, lw=0.8, marker="o", ms=2.2, mew=0)
    if result["mean_a"] is not None:
        axes.axhline(result["mean_a"] * factor, color=INK, lw=1)
    axes.set_title(f"Averages over {result['averaging_s']:g} s (green: tolerance, black: mean)")
    axes.set_xlabel("time since the source was switched on / s")
    axes.set_ylabel(f"current / {prefix}A")
    if not len(time):
        axes.text(0.5, 0.5, "no averages in the result", transform=axes.transAxes, ha="center", color=GREY)
    low, high = axes.get_ylim()
    margin = 0.35 * tolerance * factor
    axes.set_ylim(min(low, (set_a - tolerance) * factor - margin), max(high, (set_a + tolerance) * factor + margin))
    axes.margins(x=0.01)


def _distribution(axes: Axes, result: Mapping[str, Any]) -> None:
    _, current = _averages(result)
    set_a, tolerance = result["set_current_a"], result["tolerance_a"]
    factor, _ = scale([set_a, tolerance])
    axes.axhspan((set_a - tolerance) * factor, (set_a + tolerance) * factor, color=GREEN, alpha=0.13, lw=0)
    if len(current):
        counts, *_ = axes.hist(
            current * factor, bins=min(30, max(8, len(current) // 8)), orientation="horizontal", color=BLUE
        )
        axes.set_xlim(0, 1.3 * float(np.max(counts)))
    axes.set_title("Distribution")
    axes.set_xlabel("averages")
    axes.tick_params(labelleft=False)
    std = result["std_a"]
    if std is not None:
        text = f"mean {si(result['mean_a'], 'A')}\ns {si(std, 'A')}\ns < {si(result['std_upper_a'], 'A')} (95 %)"
        axes.text(0.97, 0.98, text, transform=axes.transAxes, ha="right", va="top", fontsize=8.5)


def _spectrum(axes: Axes, result: Mapping[str, Any]) -> None:
    spectrum = result["spectrum"]
    frequency = np.asarray(spectrum["frequency_hz"], float)
    density = np.asarray(spectrum["density_a_per_rthz"], float)
    axes.set_title("Spectrum")
    axes.set_xlabel("frequency / Hz")
    if not len(frequency):
        return
    factor, prefix = scale(density)
    axes.loglog(frequency, density * factor, color=BLUE, lw=1)
    axes.set_ylabel(f"density / ({prefix}A/√Hz)")
    axes.set_xlim(frequency[0], frequency[-1])
    low, high = axes.get_ylim()
    axes.set_ylim(low / 3, high * 1.5)
    for axis in (axes.xaxis, axes.yaxis):
        plain_log(axis)
    places: list[tuple[float, list[str]]] = []
    for line in spectrum["lines"]:
        if line["amplitude_a_rms"] is None:
            continue
        name = f"{line['frequency_hz']:g}"
        near = [
            names
            for place, names in places
            if max(place, line["seen_at_hz"]) < _SAME_PLACE * min(place, line["seen_at_hz"])
        ]
        if near:
            near[0].append(name)
        else:
            places.append((line["seen_at_hz"], [name]))
    for place, names in places:
        axes.axvline(place, color=ORANGE, lw=0.9, ls=":")
        axes.text(
            place,
            0.99,
            " " + ", ".join(names) + " Hz",
            transform=axes.get_xaxis_transform(),
            rotation=90,
            va="top",
            ha="right",
            fontsize=7.5,
            color=GREY,
        )
    hidden = [f"{line['frequency_hz']:g}" for line in spectrum["lines"] if line["amplitude_a_rms"] is None]
    if hidden:
        text = (
            f"{', '.join(hidden)} Hz fold onto the mean at\n{spectrum['rate_hz']:g} samples/s and cannot be seen here"
        )
        axes.text(0.98, 0.04, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=8, color=GREY)


def _allan(axes: Axes, result: Mapping[str, Any]) -> None:
    allan = result["allan"]
    tau, deviation = np.asarray(allan["tau_s"], float), np.asarray(allan["deviation_a"], float)
    axes.set_title("Allan deviation")
    axes.set_xlabel("averaging time / s")
    if not len(tau):
        return
    factor, prefix = scale([deviation[0]])
    axes.loglog(tau, deviation * factor, color=BLUE, lw=1.4, marker="o", ms=4, label="measured")
    axes.loglog(tau, deviation[0] * factor * np.sqrt(tau[0] / tau), color=GREY, lw=1, ls="--", label="if it were white")
    axes.set_ylabel(f"deviation / {prefix}A")
    if allan["minimum_a"] is not None:
        lowest = f"lowest: {si(allan['minimum_a'], 'A')} at {allan['minimum_tau_s']:g} s"
        point = [allan["minimum_tau_s"]], [allan["minimum_a"] * factor]
        axes.plot(*point, marker="o", ms=9, mfc="none", mec=RED, ls="none", label=lowest)
    axes.legend(loc="lower left")
    for axis in (axes.xaxis, axes.yaxis):
        plain_log(axis)
