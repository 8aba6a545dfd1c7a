"""The page of galvanostatic cycling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.analysis.formatting import area, duration, percent, si

from .summary import Samples, Summary, Table, blocks_of, instrument

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: Rows of the table; of more steps the first and the last are shown.
_ROWS = 40


def summary(result: Mapping[str, Any]) -> Summary:
    r = result
    s = r["settings"]
    density = f" ({si(s['current_density_a_per_m2'], 'A/m2')})" if s["area_m2"] else ""
    charged, discharged = (_charge(r, name, s["area_m2"]) for name in ("charge", "discharge"))
    rows = [
        ("Charged", charged),
        ("Discharged", discharged),
        ("Charged, corrected", _corrected(r, "charge")),
        ("Discharged, corrected", _corrected(r, "discharge")),
        ("Coulombic efficiency", r.get("coulombic_efficiency_text") or percent(r["coulombic_efficiency"])),
        ("Energy efficiency", percent(r.get("energy_efficiency"))),
        *_more(r),
        ("Voltage", f"discharged to {si(r['voltage_min_v'], 'V', 4)}, charged to {si(r['voltage_max_v'], 'V', 4)}"),
        ("Limits", f"{s['voltage_window_v'][0]:g} V to {s['voltage_window_v'][1]:g} V; {_other_limits(s)}"),
        ("Rest", f"{duration(s['rest_s'])} after each step, the cell disconnected"),
        ("Time under current", duration(r["duration_s"])),
    ]
    if s["area_m2"]:
        rows.append(("Area", area(s["area_m2"])))
    rows += [
        ("Sampling", f"every {s['interval_s']:g} s, {r['samples']} samples"),
        ("Route", s["route"] or "not switched by picobridge"),
        ("Instrument", instrument(r)),
        ("Range", str(r["range"] or "not told")),
        ("Sign", str(r["sign"])),
    ]
    what = "Galvanostatic cycling" if s.get("charge_mode", "cc") == "cc" else "Cycling"
    return Summary(
        title=f"{what} at {si(s['current_a'], 'A')}{density}",
        verdict="completed" if r["completed"] else "not completed",
        tone="pass" if r["completed"] else "fail",
        rows=rows,
        reason="" if r["completed"] else f"Ended by: {str(r.get('end', 'unknown')).replace('_', ' ')}",
        tables=[_steps(r)],
        method=[(name.replace("_", " "), str(text)) for name, text in r.get("method", {}).items()],
    )


def _charge(r: Mapping[str, Any], name: str, area_m2: float | None) -> str:
    text = si(r[f"{name}_ah"], "Ah", 4)
    return f"{text}, {si(r[f'{name}_ah_per_m2'], 'Ah/m2', 4)}" if area_m2 else text


def _corrected(r: Mapping[str, Any], name: str) -> str:
    """What of it went through the cell: without contact gaps, the lead's charge and the leak."""
    value, raw = r.get(f"{name}_corrected_ah"), r[f"{name}_ah"]
    if value is None:
        return "unknown"
    share = f" ({percent(value / raw - 1, 2)} of raw)" if raw and value != raw else ""
    return f"{si(value, 'Ah', 4)}{share}"


def _more(r: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Retention and energy density, where there are such."""
    rows = []
    kept = r.get("retention")
    if kept:
        text = f"{percent(kept['retention'])} in cycle {kept['last_cycle']} of that in cycle {kept['reference_cycle']}"
        if kept["fade"]:
            low, high = (percent(edge, 2) for edge in kept["fade"]["interval"])
            text += f"; fade {percent(kept['fade']['per_cycle'], 3)} a cycle ({low} to {high})"
        rows.append(("Retention", text))
    density = r.get("energy_density")
    if density:
        text = f"{density['discharged_wh_per_l']:.4g} Wh/L discharged, bare stack of {si(density['thickness_m'], 'm')}"
        if density["charged_wh_per_l"]:
            text += f"; {density['charged_wh_per_l']:.4g} Wh/L charged"
        rows.append(("Energy density", text))
    return rows


def _resistance(step: Mapping[str, Any]) -> str:
    found = step.get("resistance")
    if not found:
        return ""
    return f"{si(found['resistance_ohm'], 'Ohm')}{'' if found['valid'] else ', not valid'}"


def _other_limits(s: Mapping[str, Any]) -> str:
    limits = [f"at most {duration(s['time_limit_s'])} a step"]
    if s["capacity_limit_c"]:
        limits.append(f"at most {si(s['capacity_limit_c'] / 3600, 'Ah')} a step")
    return ", ".join(limits)


def _steps(r: Mapping[str, Any]) -> Table:
    header = (
        "cycle",
        "step",
        "ended by",
        "duration",
        "charge",
        "corrected",
        "to the limit",
        "energy",
        "resistance",
        "end voltage",
        "overshoot at worst, seen",
    )
    rows: list[Sequence[str]] = []
    for cycle in r["cycles"]:
        for step in cycle["steps"]:
            beyond = step["overshoot"]
            rows.append(
                (
                    str(cycle["cycle"]),
                    step["kind"],
                    str(step["end"]).replace("_", " "),
                    duration(step["duration_s"]),
                    si(step["charge_ah"], "Ah", 4),
                    si(step.get("charge_corrected_ah"), "Ah", 4),
                    "" if step["charge_interpolated_ah"] is None else si(step["charge_interpolated_ah"], "Ah", 4),
                    si(step.get("energy_wh"), "Wh", 4),
                    _resistance(step),
                    si(step["voltage_end_v"], "V", 4),
                    f"{si(beyond['worst_v'], 'V', 2)}, {si(beyond['observed_v'], 'V', 2)}" if beyond else "",
                )
            )
    shown = rows if len(rows) <= _ROWS else [*rows[: _ROWS // 2], ("...",) * len(header), *rows[-_ROWS // 2 :]]
    return Table("Steps", header, shown)


def figures(result: Mapping[str, Any], samples: Samples) -> Sequence[tuple[str, Figure]]:
    """Voltage over capacity and time; dQ/dV and the capacities beside each other."""
    from .cycle_figure import cycle_figure, differential_figure

    blocks = [block for block in blocks_of(samples) if len(block)]
    if not blocks:
        return []
    second = differential_figure(result, blocks)
    return [("cycle", cycle_figure(result, blocks)), *([("capacity", second)] if second is not None else [])]
