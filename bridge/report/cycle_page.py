"""The page of galvanostatic cycling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.analysis.formatting import area, duration, percent, si

from .summary import Samples, Summary, Table, blocks_of, instrument

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def summary(result: Mapping[str, Any]) -> Summary:
    r = result
    s = r["settings"]
    density = f" ({si(s['current_density_a_per_m2'], 'A/m2')})" if s["area_m2"] else ""
    charged, discharged = (_charge(r, name, s["area_m2"]) for name in ("charge", "discharge"))
    rows = [
        ("Charged", charged),
        ("Discharged", discharged),
        ("Coulombic efficiency", percent(r["coulombic_efficiency"])),
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
    return Summary(
        title=f"Galvanostatic cycling at {si(s['current_a'], 'A')}{density}",
        verdict="completed" if r["completed"] else "not completed",
        tone="pass" if r["completed"] else "fail",
        rows=rows,
        tables=[_steps(r)],
    )


def _charge(r: Mapping[str, Any], name: str, area_m2: float | None) -> str:
    text = si(r[f"{name}_ah"], "Ah", 4)
    return f"{text}, {si(r[f'{name}_ah_per_m2'], 'Ah/m2', 4)}" if area_m2 else text


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
        "to the limit",
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
                    "" if step["charge_interpolated_ah"] is None else si(step["charge_interpolated_ah"], "Ah", 4),
                    si(step["voltage_end_v"], "V", 4),
                    f"{si(beyond['worst_v'], 'V', 2)}, {si(beyond['observed_v'], 'V', 2)}" if beyond else "",
                )
            )
    return Table("Steps", header, rows)


def figures(result: Mapping[str, Any], samples: Samples) -> Sequence[tuple[str, Figure]]:
    """One picture, if there are samples."""
    from .cycle_figure import cycle_figure

    blocks = [block for block in blocks_of(samples) if len(block)]
    return [("cycle", cycle_figure(result, blocks))] if blocks else []
