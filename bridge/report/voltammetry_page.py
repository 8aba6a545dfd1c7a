"""The page of a cyclic voltammetry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.analysis.formatting import si

from . import schedule_page
from .summary import Samples, Summary, Table, blocks_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def summary(result: Mapping[str, Any]) -> Summary:
    r = result
    first, second = r["vertices_v"]
    header = ("cycle", "from", "to", "charge", "discharge", "peak at", "peak current", "above the line")
    return Summary(
        title=f"Cyclic voltammetry, {first:g} V and {second:g} V at {si(r['rate_v_per_s'], 'V/s')}",
        verdict="completed" if r["completed"] else "not completed",
        tone="pass" if r["completed"] else "fail",
        reason=f"Began at {r['begin_v']:.4g} V",
        rows=[*schedule_page.totals(r), *schedule_page.how(r)],
        tables=[Table("Sweeps", header, schedule_page.shortened([_row(leg) for leg in r["sweeps"]]))],
        method=schedule_page.method(r),
    )


def _row(leg: Mapping[str, Any]) -> Sequence[str]:
    peak = leg["peak"]
    return (
        str(leg["cycle"]),
        f"{leg['from_v']:.4g} V",
        f"{leg['to_v']:.4g} V",
        si(leg["charge_ah"], "Ah"),
        si(leg["discharge_ah"], "Ah"),
        *(("", "", "") if peak is None else _peak(peak)),
    )


def _peak(peak: Mapping[str, Any]) -> tuple[str, str, str]:
    return f"{peak['voltage_v']:.4g} V", si(peak["current_a"], "A"), si(peak["height_a"], "A")


def figures(result: Mapping[str, Any], samples: Samples) -> Sequence[tuple[str, Figure]]:
    """The voltammogram, if there are samples."""
    from .voltammetry_figure import voltammetry_figure

    own = [b for b in blocks_of(samples) if len(b) and b.start_time_ns == result["start_time_ns"]]
    return [("voltammogram", voltammetry_figure(result, own))] if own else []
