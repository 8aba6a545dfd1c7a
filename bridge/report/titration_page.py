"""The page of a titration by pulses and rests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.analysis.formatting import si, with_uncertainty

from . import schedule_page
from .summary import Samples, Summary, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEADER = ("pulse", "charge after it", "relaxed before", "relaxed after", "resistance", "dV/d√t", "L²/D")


def summary(result: Mapping[str, Any]) -> Summary:
    r = result
    header: tuple[str, ...] = _HEADER
    rows = [_row(row) for row in r["pulses"]]
    if r["thickness_m"]:
        header = (*header, "D")
        rows = [(*row, _number(p["diffusion_m2_per_s"], "m²/s")) for row, p in zip(rows, r["pulses"], strict=True)]
    long = [str(p["pulse"]) for p in r["pulses"] if p["pulse_much_shorter"] is False]
    doubt = f"The pulses {', '.join(long)} are not much shorter than L²/D: their D is a rough one" if long else ""
    return Summary(
        title=f"Titration by pulses of {si(r['current_a'], 'A')}, {r['pulse_s']:g} s",
        verdict="completed" if r["completed"] else "not completed",
        tone="pass" if r["completed"] else "fail",
        reason=doubt or f"Ended by: {r['end']}",
        rows=[*schedule_page.totals(r), ("Resistance", f"{r['delay_s']:g} s after the edge"), *schedule_page.how(r)],
        tables=[Table("Pulses", header, schedule_page.shortened(rows))],
        method=schedule_page.method(r),
    )


def _row(p: Mapping[str, Any]) -> tuple[str, ...]:
    resistance = "" if p["resistance_ohm"] is None else _resistance(p)
    return (
        str(p["pulse"]),
        si(p["charge_after_ah"], "Ah", 4),
        _number(p["voltage_before_v"], "V", 5),
        _number(p["voltage_relaxed_v"], "V", 5),
        resistance,
        _number(p["slope_v_per_sqrt_s"], "V/√s"),
        _number(p["diffusion_time_s"], "s"),
    )


def _resistance(p: Mapping[str, Any]) -> str:
    text = with_uncertainty(p["resistance_ohm"], p["resistance_uncertainty_ohm"] or 0.0, "Ohm")
    return text if p["resistance_valid"] else f"{text}, lead not settled"


def _number(value: float | None, unit: str, digits: int = 3) -> str:
    if value is None:
        return ""
    return f"{value:.3g} {unit}" if unit == "m²/s" else si(value, unit, digits)


def figures(result: Mapping[str, Any], samples: Samples) -> Sequence[tuple[str, Figure]]:
    """Samples in time, and relaxed voltage and resistance along the charge."""
    from .titration_figure import titration_figure

    pictures = list(schedule_page.figures(result, samples))
    return [*pictures, ("titration", titration_figure(result))] if result["pulses"] else pictures
