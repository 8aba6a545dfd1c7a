"""The page of a leak-or-trap test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.analysis.formatting import area, duration, si, with_uncertainty

from .summary import Samples, Summary, Table, Tone, blocks_of, instrument

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TONES: Mapping[str, Tone] = {"leak": "fail", "trap": "pass"}


def summary(result: Mapping[str, Any]) -> Summary:
    r, s = result, result["settings"]
    verdict = str(r["verdict"])
    rows = [("Leak", _leak(r)), ("Of fresh charge comes back", _share(r))]
    if r["leak_resistance_ohm"]:
        rows.append(("As a resistance", si(r["leak_resistance_ohm"], "Ohm")))
    rows += [
        ("Told by", _told_by(r)),
        ("Voltage window", f"{s['voltage_min_v']:g} V to {s['voltage_max_v']:g} V"),
        ("Sampling", f"every {s['interval_s']:g} s, {r['samples']} samples"),
        ("Instrument", instrument(r)),
        ("Sign", str(r["sign"])),
    ]
    if s["area_m2"]:
        rows.append(("Area", area(s["area_m2"])))
    tables = [_cycles(r)]
    if any(step.get("leak") for step in r["steps"]):
        tables.append(_rest(r))
    method = [("Charge", r["method"]["charge"]), (r["method_used"], r["method"][r["method_used"]])]
    return Summary(
        "Leak or trap?", verdict, _TONES.get(verdict, "doubt"), str(r["reason"]), rows, tables=tables, method=method
    )


def _leak(r: Mapping[str, Any]) -> str:
    if r["leak_a"] is None:
        return "not known"
    found = with_uncertainty(r["leak_a"], r["leak_uncertainty_a"] or 0.0, "A")
    return f"{found} at {r['leak_at_voltage_v']:.3g} V (one standard uncertainty)"


def _share(r: Mapping[str, Any]) -> str:
    return "not known" if r["returned_share"] is None else f"{r['returned_share']:.1%}"


def _told_by(r: Mapping[str, Any]) -> str:
    s = r["settings"]
    if r["method_used"] == "rest":
        return f"a rest of {duration(s['rest_s'])}, its voltage measured"
    where = "another cell's first cycle" if s["first_charge_ah"] else "two cycles of this cell"
    return f"{where}, at {si(s['first_a'], 'A')} and {si(s['second_a'], 'A')}"


def _cycles(r: Mapping[str, Any]) -> Table:
    header = ("cycle", "current", "charged", "came back", "ratio", "mean voltage")
    rows: list[Sequence[str]] = []
    for cycle in r["cycles"]:
        if cycle["ratio"] is None:
            rows.append((str(cycle["cycle"]), "not complete", "", "", "", ""))
            continue
        rows.append(
            (
                str(cycle["cycle"]),
                si(cycle["current_a"], "A"),
                si(cycle["charge_ah"], "Ah", 4),
                si(cycle["discharge_ah"], "Ah", 4),
                f"{cycle['ratio']:.3f} ± {cycle['ratio_uncertainty']:.3f}",
                si(cycle["mean_voltage_v"], "V"),
            )
        )
    return Table("Cycles", header, rows)


def _rest(r: Mapping[str, Any]) -> Table:
    (leak,) = (step["leak"] for step in r["steps"] if step.get("leak"))
    per_minute = 60.0
    rows = [
        ("slope over the last half", si(leak["slope_v_per_s"] * per_minute, "V/min")),
        ("of it the third quarter", si(leak["third_quarter_v_per_s"] * per_minute, "V/min")),
        ("and the last", si(leak["last_quarter_v_per_s"] * per_minute, "V/min")),
        ("the charge at this voltage", si(leak["charge_slope_v_per_s"] * per_minute, "V/min")),
    ]
    return Table("The rest", ("quantity", "value"), rows)


def figures(result: Mapping[str, Any], samples: Samples) -> Sequence[tuple[str, Figure]]:
    """One picture, if there are samples."""
    from .leak_or_trap_figure import leak_or_trap_figure

    blocks = [block for block in blocks_of(samples) if len(block)]
    return [("leak-or-trap", leak_or_trap_figure(result, blocks))] if blocks and result["steps"] else []
