"""The picture of galvanostatic cycling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bridge.analysis.capacity import COULOMB_PER_AH
from bridge.analysis.differential import Differential, differential_capacity, voltage_noise
from bridge.analysis.formatting import area, si
from bridge.analysis.statistics import Floats
from bridge.record.bdf import is_time_series
from drivers.errors import InvalidValue
from drivers.samples import SampleBlock

from .style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SKY, new_figure, scale, time_scale

#: Points of a curve in the picture; a longer record is thinned out, its extremes kept.
_POINTS = 4000

_COLOURS = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY)


@dataclass(frozen=True, slots=True)
class _Curve:
    """One step: time since the run's start, voltage, current, charge since the step's start."""

    cycle: int
    charging: bool
    time_s: Floats
    voltage_v: Floats
    current_a: Floats
    charge_ah: Floats
    closed: Any
    """Whether the contact was closed, as found."""


def differential_figure(result: Mapping[str, Any], blocks: Sequence[SampleBlock]) -> Figure | None:
    """dQ/dV of each step under constant current, and capacity raw and corrected by step; None without such a step."""
    curves = [c for c in _curves(result, blocks) if len(c.voltage_v) >= 5]
    found = [(c, d) for c in curves if not _held(c) and (d := _differential(c)) is not None]
    if not found:
        return None
    size = result["settings"]["area_m2"]
    per = 1e-4 / size / COULOMB_PER_AH if size else 1.0 / COULOMB_PER_AH
    with new_figure(10.5, 4.2) as figure:
        axes, beside = figure.subplots(1, 2)
        factor, prefix = scale(np.concatenate([d.dq_dv_c_per_v for _, d in found]) * per)
        last = max(c.cycle for c, _ in found)
        for curve, d in found:
            colour = _COLOURS[(curve.cycle - 1) % len(_COLOURS)]
            sign, style = (1.0, "-") if curve.charging else (-1.0, "--")
            fade = 1.0 if last <= len(_COLOURS) else 0.35 + 0.65 * curve.cycle / last
            axes.plot(d.voltage_v, sign * d.dq_dv_c_per_v * per * factor, color=colour, ls=style, lw=1.4, alpha=fade)
        axes.axhline(0.0, color=GREY, lw=0.8)
        smoothing = max(d.smoothing_v for _, d in found)
        axes.set_title(f"dQ/dV (charge up, discharge down; mean over {si(smoothing, 'V', 2)})")
        axes.set_xlabel("voltage / V")
        axes.set_ylabel(f"dQ/dV / ({prefix}Ah/cm²/V)" if size else f"dQ/dV / ({prefix}Ah/V)")
        _raw_and_corrected(beside, result)
    return figure


def _held(curve: _Curve) -> bool:
    """Whether most of it is a constant voltage."""
    return float(np.ptp(curve.voltage_v)) == 0.0 or bool(np.mean(np.diff(curve.voltage_v) == 0.0) > 0.5)


def _differential(curve: _Curve) -> Differential | None:
    known = np.isfinite(curve.voltage_v) & curve.closed
    voltage, charge = curve.voltage_v[known], curve.charge_ah[known] * COULOMB_PER_AH
    noise = voltage_noise(voltage) if len(voltage) > 50 else 0.0
    found = differential_capacity(voltage, charge, rising=curve.charging, noise_v=noise)
    return found if len(found.voltage_v) else None


def _raw_and_corrected(axes: Axes, result: Mapping[str, Any]) -> None:
    """By cycle: what was measured, and what of it went through the cell, with its uncertainty."""
    size = result["settings"]["area_m2"]
    per = 1e-4 / size if size else 1.0
    number = np.array([c["cycle"] for c in result["cycles"]], dtype=float)
    values: dict[str, Floats] = {}
    for kind in ("charge", "discharge"):
        for name in ("", "_corrected", "_corrected_uncertainty"):
            column = [c[f"{kind}{name}_ah"] for c in result["cycles"]]
            values[kind + name] = np.array([np.nan if v is None else v * per for v in column], dtype=float)
    factor, prefix = scale(np.concatenate([values["charge"], values["discharge"]]))
    for kind, colour, mark, shift in (("charge", BLUE, "o", -0.06), ("discharge", ORANGE, "s", 0.06)):
        raw, corrected = values[kind] * factor, values[f"{kind}_corrected"] * factor
        doubt = values[f"{kind}_corrected_uncertainty"] * factor
        axes.plot(number + shift, raw, color=colour, marker=mark, ms=6, lw=0, mfc="none", label=f"{kind}, raw")
        axes.errorbar(
            number + shift, corrected, yerr=doubt, color=colour, marker=mark, ms=4, lw=1, label=f"{kind}, corrected"
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlim(number.min() - 0.5, number.max() + 0.5)
    axes.set_ylim(0, 1.15 * axes.get_ylim()[1])
    axes.set_title("Capacity, raw and corrected (95 %)")
    axes.set_xlabel("cycle")
    axes.set_ylabel(f"capacity / ({prefix}Ah/cm²)" if size else f"capacity / {prefix}Ah")
    axes.legend(loc="lower right")


def cycle_figure(result: Mapping[str, Any], blocks: Sequence[SampleBlock]) -> Figure:
    """Voltage over capacity, voltage and current in time, and with three cycles or more capacity and efficiency.

    `result` is what the procedure `cycle` returns, `blocks` are the samples of its run.
    """
    curves = _curves(result, blocks)
    many = len(result["cycles"]) >= 3
    with new_figure(10.5, 5.6) as figure:
        grid = figure.add_gridspec(2, 2, width_ratios=(1.15, 1.0))
        _by_capacity(figure.add_subplot(grid[:, 0]), result, curves)
        in_time = figure.add_subplot(grid[0, 1])
        _voltage_in_time(in_time, result, curves)
        if many:
            _by_cycle(figure.add_subplot(grid[1, 1]), result)
        else:
            _current_in_time(figure.add_subplot(grid[1, 1], sharex=in_time), curves)
        figure.suptitle(_title(result), x=0.01, ha="left", fontsize=13, fontweight="bold")
    return figure


def _title(result: Mapping[str, Any]) -> str:
    settings = result["settings"]
    text = f"Cycling at {si(settings['current_a'], 'A')}"
    if settings["area_m2"]:
        text += f" ({si(settings['current_density_a_per_m2'], 'A/m2')} on {area(settings['area_m2'])})"
    return text if result["completed"] else text + ", not completed"


def _curves(result: Mapping[str, Any], blocks: Sequence[SampleBlock]) -> list[_Curve]:
    """Steps out of the run's blocks, by the start times that the result names. Raises `InvalidValue` if none fits."""
    steps = [(cycle["cycle"], step) for cycle in result["cycles"] for step in cycle["steps"]]
    by_start: dict[int, list[SampleBlock]] = {}
    for block in blocks:
        if is_time_series(block) and len(block):
            by_start.setdefault(block.start_time_ns, []).append(block)
    curves: list[_Curve] = []
    origin = min((step["start_time_ns"] for _, step in steps), default=0)
    for number, step in steps:
        # a step that was paused, or that held a voltage after a current, is made of several techniques
        parts = [by_start[at] for at in step.get("part_start_times_ns", [step["start_time_ns"]]) if at in by_start]
        if parts:
            curves.append(_curve(number, step, parts, origin))
    if steps and not curves:
        raise InvalidValue("none of the blocks belongs to a step of this result: their start times do not agree")
    return curves


def _curve(number: int, step: Mapping[str, Any], parts: Sequence[Sequence[SampleBlock]], origin: int) -> _Curve:
    """One step out of the blocks of each of its techniques; charge is counted within each of them."""
    columns: list[list[Any]] = [[], [], [], [], []]
    before = 0.0
    for part, own in enumerate(parts):
        time, voltage, current = (
            np.concatenate([block[name] for block in own]) for name in ("time_s", "voltage_v", "current_a")
        )
        passed = np.concatenate(([0.0], np.cumsum(np.diff(time) * np.abs(current[1:] + current[:-1]) / 2)))
        charge = before + passed + abs(float(current[0])) * float(time[0])
        before = float(charge[-1])
        closed = np.ones(len(time), bool)
        for gap in step.get("contact_gaps", ()):
            if gap.get("part", 0) == part:  # the samples after it are on their way back
                settled = gap["to_s"] + 2 * float(np.median(np.diff(time)))
                closed &= (time < gap["from_s"]) | (time > settled)
        start = (own[0].start_time_ns - origin) / 1e9
        values = (time + start, voltage, current, charge / COULOMB_PER_AH, closed)
        for column, own_values in zip(columns, values, strict=True):
            column.append(own_values)
    keep = _thinned(sum(len(part) for part in columns[0]))
    return _Curve(number, step["kind"] == "charge", *(np.concatenate(column)[keep] for column in columns))


def _thinned(n: int) -> Any:
    return np.unique(np.linspace(0, n - 1, min(n, _POINTS)).round().astype(int)) if n else np.empty(0, int)


def _by_capacity(axes: Axes, result: Mapping[str, Any], curves: list[_Curve]) -> None:
    size = result["settings"]["area_m2"]
    per = 1e-4 / size if size else 1.0
    factor, prefix = scale([c.charge_ah[-1] * per for c in curves])
    last = max((c.cycle for c in curves), default=1)
    for curve in curves:
        colour = _COLOURS[(curve.cycle - 1) % len(_COLOURS)]
        fade = 1.0 if last <= len(_COLOURS) else 0.35 + 0.65 * curve.cycle / last
        style = "-" if curve.charging else "--"
        axes.plot(curve.charge_ah * per * factor, curve.voltage_v, color=colour, lw=1.6, ls=style, alpha=fade)
    _limits(axes, result)
    axes.set_title("Voltage over capacity")
    axes.set_xlabel(f"capacity / ({prefix}Ah/cm²)" if size else f"capacity / {prefix}Ah")
    axes.set_ylabel("voltage / V")
    axes.set_xlim(left=0)
    handles = [Line2D([], [], color=INK, ls="-", label="charge"), Line2D([], [], color=INK, ls="--", label="discharge")]
    if 1 < last <= len(_COLOURS):
        handles += [Line2D([], [], color=_COLOURS[n], lw=3, label=f"cycle {n + 1}") for n in range(last)]
    axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0.02))


def _limits(axes: Axes, result: Mapping[str, Any]) -> None:
    for limit in result["settings"]["voltage_window_v"]:
        axes.axhline(limit, color=GREY, lw=0.9, ls=":")


def _voltage_in_time(axes: Axes, result: Mapping[str, Any], curves: list[_Curve]) -> None:
    factor, unit = time_scale(max((float(c.time_s[-1]) for c in curves), default=1.0))
    for curve in curves:
        axes.plot(curve.time_s * factor, curve.voltage_v, color=_COLOURS[(curve.cycle - 1) % len(_COLOURS)], lw=1.3)
    _limits(axes, result)
    axes.set_title("Voltage in time (dotted: limits)")
    axes.set_ylabel("voltage / V")
    axes.set_xlabel(f"time / {unit}")
    axes.margins(x=0.02)


def _current_in_time(axes: Axes, curves: list[_Curve]) -> None:
    factor, unit = time_scale(max((float(c.time_s[-1]) for c in curves), default=1.0))
    amperes, prefix = scale([np.nanmax(np.abs(c.current_a)) for c in curves])
    for curve in curves:
        colour = _COLOURS[(curve.cycle - 1) % len(_COLOURS)]
        axes.plot(curve.time_s * factor, curve.current_a * amperes, color=colour, lw=1.3)
    axes.axhline(0.0, color=GREY, lw=0.8)
    axes.set_title("Current in time (gaps: rest, disconnected)")
    axes.set_ylabel(f"current / {prefix}A")
    axes.set_xlabel(f"time / {unit}")


def _by_cycle(axes: Axes, result: Mapping[str, Any]) -> None:
    number = [c["cycle"] for c in result["cycles"]]
    charge = np.array([c["charge_ah"] if c["charge_ah"] is not None else np.nan for c in result["cycles"]])
    discharge = np.array([c["discharge_ah"] if c["discharge_ah"] is not None else np.nan for c in result["cycles"]])
    size = result["settings"]["area_m2"]
    per = 1e-4 / size if size else 1.0
    factor, prefix = scale(np.concatenate([charge, discharge]) * per)
    axes.plot(number, charge * per * factor, color=BLUE, marker="o", ms=4, lw=1, label="charge")
    axes.plot(number, discharge * per * factor, color=ORANGE, marker="s", ms=4, lw=1, label="discharge")
    axes.set_title("Capacity and efficiency by cycle")
    axes.set_xlabel("cycle")
    axes.set_ylabel(f"capacity / ({prefix}Ah/cm²)" if size else f"capacity / {prefix}Ah")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    other = axes.twinx()
    efficiency = np.array(
        [np.nan if c["coulombic_efficiency"] is None else c["coulombic_efficiency"] for c in result["cycles"]]
    )
    other.plot(number, efficiency * 100, color=GREEN, marker="^", ms=4, lw=1, ls=":", label="efficiency")
    other.set_ylabel("coulombic efficiency / %")
    other.spines["right"].set_visible(True)
    other.grid(visible=False)
    handles = [*axes.get_legend_handles_labels()[0], *other.get_legend_handles_labels()[0]]
    axes.legend(handles=handles, loc="lower left")
