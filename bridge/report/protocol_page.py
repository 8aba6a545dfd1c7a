"""The page of a nanobattery's protocol: the run sheet, the exposure, the cross-sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.analysis.formatting import area, duration, si
from drivers.calls import split_unit

from .summary import Summary, Table, instrument, when


def summary(result: Mapping[str, Any]) -> Summary:
    r = result
    ledger = r["ledger"]
    rows = [
        ("Cell", str(r["cell"])),
        ("Area now", area(r["area_m2"])),
        ("Current", f"{si(r['current_a'], 'A')} at {si(r['current_density_a_per_m2'], 'A/m2')}"),
        ("Ion charge on it", si(ledger["ion_charge_c"], "C")),
        ("Electron charge on it", si(ledger["electron_charge_c"], "C")),
        ("Time in air", duration(ledger["air_s"])),
        ("Instrument", instrument(r)),
    ]
    tables = [Table("Run sheet", ("step", "when", "who", "what became of it", "values"), [_row(e) for e in r["steps"]])]
    if ledger["exposures"]:
        tables.append(
            Table(
                "Beam exposure",
                ("step", "beam", "charge", "dose"),
                [
                    (
                        str(e["step"]),
                        str(e["beam"]),
                        si(e["charge_c"], "C"),
                        "" if e["dose_c_per_m2"] is None else f"{e['dose_c_per_m2']:.3g} C/m2",
                    )
                    for e in ledger["exposures"]
                ],
            )
        )
    if r["area_history"]:
        tables.append(
            Table(
                "Cross-sections",
                ("when", "length x width", "dead layer", "area", "why"),
                [
                    (
                        when(cut["at_ns"]),
                        f"{si(cut['length_m'], 'm')} x {si(cut['width_m'], 'm')}",
                        si(cut["damage_depth_m"], "m"),
                        area(cut["area_m2"]),
                        str(cut["why"]),
                    )
                    for cut in r["area_history"]
                ],
            )
        )
    return Summary(
        f"Nanobattery {r['cell']}",
        str(r["verdict"]),
        "pass" if r["completed"] else "fail",
        rows=rows,
        tables=tables,
    )


def _row(entry: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    by = entry.get("by")
    who = str(entry["who"]) + (f" ({by})" if by else "")
    words = [str(entry.get("status", "")), str(entry.get("found", ""))]
    if entry.get("decision"):
        words.append(f"{entry['by']} decided: {entry['decision']}")
    if entry.get("warnings"):
        words.append(f"{entry['accepted_by']} accepted: {'; '.join(entry['warnings'])}")
    if entry.get("area"):
        words.append(str(entry["area"]["text"]))
    values = entry.get("values") or {}
    shown = [_value(name, value) for name, value in values.items() if isinstance(value, float)]
    return (
        f"{entry['number']} {entry['title']}",
        when(entry["ended_ns"]),
        who,
        ". ".join(word for word in words if word),
        ", ".join(shown),
    )


def _value(name: str, value: float) -> str:
    """`ion_current_a` as "ion current 300 pA"."""
    words, unit = split_unit(name)
    if unit == "deg":
        return f"{words.replace('_', ' ')} {value:.4g} deg"
    return f"{words.replace('_', ' ')} {si(value, unit)}"
