"""The page of a schedule, and of the procedures that are one step of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.analysis.formatting import area, duration, percent, si, with_uncertainty

from .summary import Rows, Samples, Summary, Table, blocks_of, instrument

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: So many rows of a table at most: of a long schedule the first and the last ones.
_ROWS = 60


def summary(result: Mapping[str, Any]) -> Summary:
    r, size = result, result["settings"]["area_m2"]
    tables = [_steps(r)]
    if len(r.get("cycles", ())) > 1:
        tables.insert(0, _cycles(r))
    return Summary(
        title=str(r.get("schedule") or r["procedure"].replace("-", " ").capitalize()),
        verdict="completed" if r["completed"] else "not completed",
        tone="pass" if r["completed"] else "fail",
        reason=f"Ended by: {r['end']}",
        rows=[*totals(r), *([("Area", area(size))] if size else []), *how(r)],
        tables=tables,
        method=method(r),
    )


def totals(r: Mapping[str, Any]) -> Rows:
    """Charge, energy and time of the run."""
    rows = [("Time", f"{duration(r['duration_s'])} (expected {duration(r['estimate']['duration_s'])})")]
    if r["charge_ah"] or r["discharge_ah"]:
        rows += [
            ("Charged", si(r["charge_ah"], "Ah", 4)),
            ("Discharged", si(r["discharge_ah"], "Ah", 4)),
            ("Energy", f"{si(r['energy_in_wh'], 'Wh', 4)} in, {si(r['energy_out_wh'], 'Wh', 4)} out"),
        ]
    return rows


def how(r: Mapping[str, Any]) -> Rows:
    """Limits, instrument and sign."""
    safety = r["settings"]["safety"]
    low, high, most = (safety[key] for key in ("voltage_min_v", "voltage_max_v", "current_max_a"))
    window = f"{'none' if low is None else f'{low:g} V'} to {'none' if high is None else f'{high:g} V'}"
    return [
        ("Safety limits", window + ("" if most is None else f", {si(most, 'A')}")),
        ("Samples", str(r["samples"])),
        ("Instrument", instrument(r)),
        ("Sign", str(r["sign"])),
    ]


def method(r: Mapping[str, Any]) -> Rows:
    return [(str(name).replace("_", " "), str(text)) for name, text in r["method"].items()]


def _cycles(r: Mapping[str, Any]) -> Table:
    header = ("cycle", "charge", "discharge", "coulombic efficiency", "energy efficiency", "retention")
    rows = [
        (
            str(c["cycle"]),
            si(c["charge_ah"], "Ah", 4),
            si(c["discharge_ah"], "Ah", 4),
            *(_share(c[key]) for key in ("coulombic_efficiency", "energy_efficiency", "retention")),
        )
        for c in r["cycles"]
    ]
    return Table("Cycles", header, shortened(rows))


def _share(value: float | None) -> str:
    return "" if value is None else percent(value)


def _steps(r: Mapping[str, Any]) -> Table:
    header = ("cycle", "step", "ended by", "duration", "charge", "to the limit", "voltage", "dV/dt", "overshoot seen")
    return Table("Steps", header, shortened([_step(step) for step in r["steps"]]))


def _step(s: Mapping[str, Any]) -> Sequence[str]:
    if "duration_s" not in s:  # a question, or another procedure
        return (str(s["cycle"]), s["name"], s["end"], "", "", "", "", "", "")
    slope, beyond = s["dv_dt_v_per_s"], s["overshoot"]
    return (
        str(s["cycle"]),
        s["name"],
        s["end"],
        duration(s["duration_s"]),
        si(s["capacity_ah"], "Ah", 4) if s["capacity_ah"] else "",
        "" if not s["capacity_interpolated_ah"] else si(s["capacity_interpolated_ah"], "Ah", 4),
        "" if s["voltage_end_v"] is None else si(s["voltage_end_v"], "V", 4),
        "" if slope is None else with_uncertainty(slope, s["dv_dt_uncertainty_v_per_s"] or 0.0, "V/s"),
        "" if beyond is None else si(beyond["observed_v"], "V", 2),
    )


def shortened(rows: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    """The first and the last rows of a long table, and how many are left out between."""
    if len(rows) <= _ROWS:
        return rows
    half = _ROWS // 2
    between = ["..."] + [""] * (len(rows[0]) - 1)
    between[1] = f"{len(rows) - 2 * half} rows, in the results"
    return [*rows[:half], between, *rows[-half:]]


def figures(result: Mapping[str, Any], samples: Samples) -> Sequence[tuple[str, Figure]]:
    """Voltage and current in time, and capacity by cycle where there are three or more."""
    from .schedule_figure import schedule_figure

    blocks = [block for block in blocks_of(samples) if len(block)]
    return [("schedule", schedule_figure(result, blocks))] if blocks else []
