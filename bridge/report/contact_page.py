"""The page of an approach to contact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.analysis.formatting import si, with_uncertainty

from .summary import Samples, Summary, Tone, instrument

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def summary(result: Mapping[str, Any]) -> Summary:
    r = result
    position = ", ".join(f"{axis} {si(r['position'][f'{axis}_m'], 'm', 5)}" for axis in "xyz")
    loop = "" if r["position"]["closed_loop"] else " (counted steps, not measured)"
    attempts = f", {r['attempts']} contacts tried" if r["attempts"] > 1 else ""
    rows = [
        ("Open-circuit voltage", si(r["ocv_v"], "V", 4)),
        ("Position", position + loop),
        ("Approach", f"{r['steps']} steps, {si(r['travelled_m'], 'm')}{attempts}"),
        *(_of_contact(r) if r["found"] else ()),
        ("Lead before", _lead(r)),
        ("Manipulator", str(r["manipulator"])),
        ("Instrument", instrument(r)),
        ("Before it began", _safety(r["safety"])),
    ]
    tone: Tone = "pass" if r["found"] else "fail"
    return Summary(
        "Contact of the manipulator",
        str(r["verdict"]),
        tone,
        "; ".join(f"given up: {why}" for why in r["unstable"]),
        rows=rows,
        method=list(r["method"].items()),
    )


def _of_contact(r: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    if r["overshoot_m"] is not None:
        rows.append(
            ("Past the first touch", f"at most {si(r['overshoot_m'], 'm')}, then pressed {si(r['press_m'], 'm')}")
        )
    if r["stop_proven_s"] is not None:
        rows.append(
            (
                "Stopped",
                f"commanded {si(r['stop_command_s'], 's')} after the sample, at rest {si(r['stop_proven_s'], 's')}",
            )
        )
    if r["contact_charge_c"] is not None:
        rows.append(("Charge as it closed", si(r["contact_charge_c"], "C")))
    test = r["ohmic_test"]
    rows.append(("Ohmic test", f"{test['verdict']}: {test['reason']}"))
    if r["contact_resistance_ohm"] is not None:
        value = with_uncertainty(r["contact_resistance_ohm"], r["contact_resistance_uncertainty_ohm"], "Ohm")
        rows.append(("Resistance", f"{value}, with {r['contact_resistance_includes']}"))
    return rows


def _lead(r: Mapping[str, Any]) -> str:
    how = "pre-charged" if r["precharged"] else "floating"
    known = "measured" if r["lead_capacitance_measured"] else "assumed"
    return f"{how}, {si(r['lead_voltage_v'], 'V', 4)}, {si(r['lead_capacitance_f'], 'F')} ({known})"


def _safety(safety: Mapping[str, Any]) -> str:
    parts = ["cell off", f"route {safety['route']}" if safety["route"] else "no feedthrough in the run"]
    if safety["stage"] is None:
        parts.append("no stage in the run")
    else:
        parts.append(f"stage at rest, touch alarm {safety['stage']['touch_alarm']}")
    pressure = safety["pressure_pa"]
    parts.append("no gauge in the run" if pressure is None else si(pressure, "Pa"))
    return ", ".join(parts)


def figures(result: Mapping[str, Any], samples: Samples) -> Sequence[tuple[str, Figure]]:
    """What the lead saw at each step; none if there was no step."""
    from .contact_figure import contact_figure

    return [("approach", contact_figure(result))] if result["approach"]["step"] else []
