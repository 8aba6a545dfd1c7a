"""The page of a direct-current resistance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.analysis.formatting import area, si, with_uncertainty

from . import schedule_page
from .summary import Samples, Summary, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OHM_CM2 = 1e4
"""Ohm cm2 in one Ohm m2."""


def summary(result: Mapping[str, Any]) -> Summary:
    r = result
    value, doubt = r["resistance_ohm"], r["uncertainty_ohm"]
    rows: list[tuple[str, str]] = []
    if value is not None:
        rows.append(
            ("Resistance", f"{with_uncertainty(value, doubt or 0.0, 'Ohm')}, {r['delay_s']:g} s after the edge")
        )
    if r["resistance_ohm_m2"] is not None:
        size = r["settings"]["area_m2"]
        rows.append(("By area", f"{r['resistance_ohm_m2'] * _OHM_CM2:.4g} Ohm cm² on {area(size)}"))
    if r["extrapolated_ohm"] is not None:
        rows.append(("Extrapolated to the edge", si(r["extrapolated_ohm"], "Ohm", 4)))
    return Summary(
        title=f"Resistance by pulses of {si(r['current_a'], 'A')}",
        verdict="measured" if value is not None else "no valid value",
        tone="pass" if value is not None else "fail",
        reason=str(r["reason"]),
        rows=[*rows, *schedule_page.how(r)],
        tables=[
            Table(
                "By delay",
                ("delay", "resistance", "by area", "pulses", "valid"),
                [_row(row) for row in r["resistances"]],
            )
        ],
        method=schedule_page.method(r),
    )


def _row(row: Mapping[str, Any]) -> Sequence[str]:
    value, by_area = row["resistance_ohm"], row["resistance_ohm_m2"]
    return (
        si(row["delay_s"], "s"),
        "" if value is None else with_uncertainty(value, row["uncertainty_ohm"] or 0.0, "Ohm"),
        "" if by_area is None else f"{by_area * _OHM_CM2:.4g} Ohm cm²",
        str(row["pulses"]),
        "yes" if row["valid"] else str(row["reason"]),
    )


def figures(result: Mapping[str, Any], samples: Samples) -> Sequence[tuple[str, Figure]]:
    """Samples in time."""
    return schedule_page.figures(result, samples)
