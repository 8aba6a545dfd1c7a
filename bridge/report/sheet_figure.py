"""Maps of a sheet: a value as colours over the cells' places with its histogram, and the bins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from .style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SKY, new_figure, scale

_UNTESTED = "#c8c8c8"
_COLOURS = "viridis"
#: passing bins in greens and blues, the others in what is left of the palette
_PASS = (GREEN, SKY, BLUE, "#7fc8b4")
_FAIL = (RED, ORANGE, PURPLE, "#F0E442", INK, "#8c6d31", "#b15928")
#: quantities that a map is drawn of: label, unit
NAMES: Mapping[str, tuple[str, str]] = {
    "ocv_v": ("open-circuit voltage", "V"),
    "z_1khz_ohm": ("|Z| at 1 kHz", "Ω"),
    "z_low_ohm": ("|Z| at the lowest frequency", "Ω"),
}


def quantities(result: Mapping[str, Any]) -> list[str]:
    """Those of `NAMES` that were measured: the voltage, and one impedance."""
    there = result["records"]["values"]
    impedance = [name for name in ("z_1khz_ohm", "z_low_ohm") if name in there][:1]
    return [name for name in ("ocv_v", *impedance) if name in there]


def value_figure(result: Mapping[str, Any], quantity: str) -> Figure:
    """A heat map with its histogram. Colours span the limits of the quantity, else its 2nd to 98th percentile; grey:
    not measured; hatched: touched again."""
    label, unit = NAMES.get(quantity, (quantity, ""))
    values = _values(result, quantity)
    finite = values[np.isfinite(values)]
    limit = result["limits"]["limits"].get(quantity, {})
    bounds = [limit.get(end) for end in ("low", "high")]
    spans_limits = all(isinstance(bound, int | float) for bound in bounds)
    low, high = bounds if spans_limits else (np.percentile(finite, [2, 98]) if len(finite) else (0.0, 1.0))
    factor, prefix = scale([low, high])
    norm = Normalize(low * factor, high * factor)
    with new_figure(10.5, _height(result)) as figure:
        grid = figure.add_gridspec(1, 2, width_ratios=(3.2, 1.0))
        axes = figure.add_subplot(grid[0])
        colours = colormaps[_COLOURS](norm(np.nan_to_num(values) * factor))
        colours[~np.isfinite(values)] = to_rgba(_UNTESTED)
        _cells(axes, result, colours)
        mappable = _scale(norm)
        figure.colorbar(mappable, ax=axes, shrink=0.9, extend="both", pad=0.02)
        axes.set_title(f"{_name(result)}: {label}")
        _histogram(figure.add_subplot(grid[1]), finite * factor, bounds, factor, f"{label} / {prefix}{unit}")
        span = "the limits" if spans_limits else "2nd to 98th percentile"
        handles = [Patch(facecolor=_UNTESTED, label="not measured"), _hatched("touched again")]
        axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, -0.1), ncols=3, title=f"colours: {span}",
                    title_fontsize=8.5, alignment="left")  # fmt: skip
    return figure


def _scale(norm: Normalize) -> Any:
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(norm, colormaps[_COLOURS])


def bin_figure(result: Mapping[str, Any]) -> Figure:
    """The bins by place, with counts and yield, and the yield by row and by column."""
    soft = np.asarray(result["cells"]["soft"])
    colour = bin_colours(result)
    with new_figure(10.5, _height(result) + 0.6) as figure:
        grid = figure.add_gridspec(2, 2, width_ratios=(3.2, 1.0), height_ratios=(3.4, 1.0))
        axes = figure.add_subplot(grid[0, 0])
        _cells(axes, result, np.array([to_rgba(colour[int(number)]) for number in soft]))
        axes.set_title(f"{_name(result)}: bins, {_yield_text(result)}")
        side = figure.add_subplot(grid[0, 1])
        side.axis("off")
        handles = [
            Patch(facecolor=colour[entry["soft"]], edgecolor=GREY, lw=0.5,
                  label=f"{entry['soft']} {entry['name']}: {entry['cells']}")
            for entry in result["bins"]["soft"]
            if entry["cells"] or entry["soft"] != 90
        ]  # fmt: skip
        side.legend(handles=[*handles, _hatched("touched again")], loc="upper left", title="soft bin: cells",
                    alignment="left", borderaxespad=0)  # fmt: skip
        _yields(figure.add_subplot(grid[1, 0]), result["statistics"]["columns"], "column")
        _yields(figure.add_subplot(grid[1, 1]), result["statistics"]["rows"], "row")
    return figure


def bin_colours(result: Mapping[str, Any]) -> dict[int, str]:
    """By soft bin."""
    colours: dict[int, str] = {}
    passing, failing = 0, 0
    untested = {row["soft"] for row in result["bin_table"][-1:]}
    for row in sorted(result["bin_table"], key=lambda row: int(row["soft"])):
        if row["soft"] in untested:
            colours[row["soft"]] = _UNTESTED
        elif row["pass"]:
            colours[row["soft"]] = _PASS[passing % len(_PASS)]
            passing += 1
        else:
            colours[row["soft"]] = _FAIL[failing % len(_FAIL)]
            failing += 1
    return colours


def _values(result: Mapping[str, Any], quantity: str) -> np.ndarray[Any, Any]:
    column = result["records"]["values"].get(quantity, [])
    return np.array(
        [np.nan if i is None or column[i] is None else column[i] for i in result["cells"]["record"]], dtype=float
    )


def _yield_text(result: Mapping[str, Any]) -> str:
    if result["yield"] is None:
        return "no cell judged"
    share, low, high = (100 * result[key] for key in ("yield", "yield_low", "yield_high"))
    return f"yield {share:.2f} % ({low:.2f} to {high:.2f} %)"


def _name(result: Mapping[str, Any]) -> str:
    return " ".join(str(result[key]) for key in ("lot", "sheet") if result.get(key)) or "Sheet"


def _pitch(result: Mapping[str, Any]) -> tuple[float, float]:
    """In millimetres; out of the places where none is told."""
    if result.get("pitch_m"):
        return abs(result["pitch_m"][0]) * 1e3, abs(result["pitch_m"][1]) * 1e3
    found = []
    for axis in ("x_m", "y_m"):
        steps = np.diff(np.unique(np.round(np.asarray(result["cells"][axis]) * 1e3, 4)))
        found.append(float(np.median(steps)) if len(steps) else 1.0)
    return found[0], found[1]


def _height(result: Mapping[str, Any]) -> float:
    """Of a figure whose map has equal axes, in inches."""
    x, y = (np.asarray(result["cells"][axis]) for axis in ("x_m", "y_m"))
    pitch = _pitch(result)
    ratio = (np.ptp(y) * 1e3 + pitch[1]) / (np.ptp(x) * 1e3 + pitch[0])
    return float(np.clip(6.2 * ratio + 1.6, 3.2, 9.0))


def _cells(axes: Axes, result: Mapping[str, Any], colours: np.ndarray[Any, Any]) -> None:
    cells, (width, height) = result["cells"], _pitch(result)
    x, y = (np.asarray(cells[axis]) * 1e3 for axis in ("x_m", "y_m"))
    boxes = [Rectangle((a - width / 2, b - height / 2), width, height) for a, b in zip(x, y, strict=True)]
    edge = 0.0 if len(boxes) > 2500 else 0.4
    # as one bitmap: ten thousand shapes in an SVG are no use to anybody
    axes.add_collection(
        PatchCollection(boxes, facecolors=colours, edgecolors="white", linewidths=edge, rasterized=True)
    )
    visits = result["records"]["visit"]
    again = [box for box, i in zip(boxes, cells["record"], strict=True) if i is not None and visits[i] > 1]
    if again:
        axes.add_collection(
            PatchCollection(again, facecolors="none", edgecolors=INK, hatch="////", linewidths=0.3, rasterized=True)
        )
    axes.set_xlim(x.min() - width / 2, x.max() + width / 2)
    axes.set_ylim(y.min() - height / 2, y.max() + height / 2)
    axes.set_aspect("equal")
    axes.grid(False)
    axes.set_xlabel(f"x / mm, web {result.get('web', '+x')} (pitch {width:g} mm x {height:g} mm)")
    axes.set_ylabel("y / mm, up")


def _hatched(label: str) -> Patch:
    return Patch(facecolor="white", edgecolor=INK, hatch="////", lw=0.3, label=label)


def _histogram(axes: Axes, values: np.ndarray[Any, Any], bounds: list[Any], factor: float, label: str) -> None:
    axes.set_title("Distribution")
    axes.set_xlabel("cells")
    axes.set_ylabel(label)
    if not len(values):
        return
    ends = [bound * factor for bound in bounds if isinstance(bound, int | float)]
    low, high = (min(ends), max(ends)) if len(ends) == 2 else np.percentile(values, [1, 99])
    # a short or an open is so far out that the good ones would be one bar
    margin = 0.75 * (high - low) or 1.0
    inside = np.clip(values, low - margin, high + margin)
    axes.hist(inside, bins=40, range=(low - margin, high + margin), orientation="horizontal", color=BLUE)
    axes.set_xscale("symlog", linthresh=10)
    for end in ends:
        axes.axhline(end, color=RED, lw=1, ls="--")
    outside = int((inside != values).sum())
    if outside:
        axes.text(0.97, 0.99, f"{outside} beyond, at the ends", transform=axes.transAxes, ha="right", va="top",
                  fontsize=8, color=GREY)  # fmt: skip


def _yields(axes: Axes, groups: list[Mapping[str, Any]], name: str) -> None:
    told = [group for group in groups if group["yield"] is not None]
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(f"Yield by {name}")
    axes.set_xlabel(name)
    axes.set_ylabel("%")
    if told:
        numbers = [group["number"] for group in told]
        axes.bar(numbers, [100 * group["yield"] for group in told], width=0.9, color=GREEN)
        lowest = min(100 * group["yield"] for group in told)
        axes.set_ylim(max(0.0, min(lowest - 5, 90.0)), 100.5)
        axes.set_xlim(min(numbers) - 0.6, max(numbers) + 0.6)
