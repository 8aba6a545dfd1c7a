"""How pictures look: one palette that colour-blind readers can tell apart (Okabe and Ito 2008), units with prefixes."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
INK, GREY, PALE = "#222222", "#6b6b6b", "#d9d9d9"

_PREFIXES = {-18: "a", -15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G"}

_RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "picobridge",
}


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """A figure of our style, in inches; draw it within the block."""
    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        figure.canvas.draw()


def render(figure: Figure, kind: str = "png") -> bytes:
    """The picture as "png" or "svg". The same figure gives the same bytes."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(_RC):
        figure.savefig(buffer, format=kind, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return buffer.getvalue()


def in_words(name: str, figure: Figure) -> str:
    """What a picture shows, for who cannot see it: its titles, and what is drawn over what."""
    plots = []
    for axes in figure.axes:
        title, x, y = axes.get_title(loc="left") or axes.get_title(), axes.get_xlabel(), axes.get_ylabel()
        drawn = f"{y} over {x}" if x and y else x or y
        if text := ": ".join(part for part in (title, drawn) if part):
            plots.append(text)
    whole = figure.get_suptitle() or name.replace("-", " ").capitalize()
    return f"{whole}. {'. '.join(plots)}".strip().removesuffix(".") + "."


def scale(values: Any) -> tuple[float, str]:
    """(factor, prefix) that bring the largest of `values` between 1 and 1000: 5e-12 gives (1e12, "p")."""
    finite = np.abs(np.asarray(values, dtype=float))
    finite = finite[np.isfinite(finite)]
    largest = float(finite.max()) if len(finite) else 0.0
    exponent = 3 * math.floor(math.log10(largest) / 3 + 1e-9) if largest > 0 else 0
    exponent = min(max(exponent, min(_PREFIXES)), max(_PREFIXES))
    return 10.0**-exponent, _PREFIXES[exponent]


def time_scale(seconds: float) -> tuple[float, str]:
    """(factor, unit) for a time axis of this length."""
    if seconds < 600:
        return 1.0, "s"
    if seconds < 3 * 3600:
        return 1 / 60, "min"
    return 1 / 3600, "h"


def thinned(values: Any, points: int) -> Any:
    """Indices of about `points` of the values, in order: the least and the greatest of each stretch, and both ends.

    So a spike of one sample stays visible, however long the record. Values that are no numbers are passed over.
    """
    array = np.asarray(values, dtype=float)
    count = len(array)
    if count <= points:
        return np.arange(count)
    low, high = (np.where(np.isnan(array), fill, array) for fill in (np.inf, -np.inf))
    edges = np.linspace(0, count, max(1, points // 2) + 1).astype(int)
    kept = [0, count - 1]
    for start, stop in pairwise(edges):
        kept += [start + np.argmin(low[start:stop]), start + np.argmax(high[start:stop])]
    return np.unique(kept)


def plain_log(axis: Axis) -> None:
    """Ticks of a logarithmic axis as plain numbers, 1 2 5 10, where it spans little; decades where it spans much."""
    low, high = axis.get_view_interval()
    narrow = high < 200 * low
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
