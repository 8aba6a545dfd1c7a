"""The page of an approach to contact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.analysis.formatting import si

from .summary import Summary, Tone, instrument


def summary(result: Mapping[str, Any]) -> Summary:
    r = result
    position = ", ".join(f"{axis} {si(r['position'][f'{axis}_m'], 'm', 5)}" for axis in "xyz")
    loop = "" if r["position"]["closed_loop"] else " (counted steps, not measured)"
    rows = [
        ("Open-circuit voltage", si(r["ocv_v"], "V", 4)),
        ("Position", position + loop),
        ("Approach", f"{r['steps']} steps, {si(r['travelled_m'], 'm')}"),
        ("Floating lead before", si(r["floating_voltage_v"], "V")),
        ("Manipulator", str(r["manipulator"])),
        ("Instrument", instrument(r)),
    ]
    tone: Tone = "pass" if r["found"] else "fail"
    return Summary("Contact of the manipulator", str(r["verdict"]), tone, rows=rows)
