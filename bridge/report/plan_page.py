"""The page of a plan: each check, what it found, what would make it fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.analysis.formatting import area, duration, si

from .summary import Summary, Table, instrument

_WORDS = {True: "fits", False: "does not fit", None: "know this"}


def summary(result: Mapping[str, Any]) -> Summary:
    r = result
    rows = [
        ("Current", si(r["current_a"], "A")),
        ("Current density", si(r["current_density_a_per_m2"], "A/m2")),
        ("Area", "unknown" if r["area_m2"] is None else area(r["area_m2"])),
        ("Charge", si(r["charge_c"], "C")),
        ("Duration", "unknown" if r["duration_s"] is None else duration(r["duration_s"])),
        ("Leads", f"{', '.join(r['leads'])}; the {r['worst_lead']} decides"),
        ("Instrument", instrument(r)),
    ]
    checks = [(c["name"], _WORDS[c["ok"]], c["text"], c["remedy"]) for c in r["checks"]]
    return Summary(
        f"Plan for {si(r['current_a'], 'A')}",
        str(r["verdict"]),
        "pass" if r["verdict"] == "go" else "fail",
        str(r["reason"]),
        rows=rows,
        tables=[Table("Checks", ("check", "", "found", "what would fit"), checks)],
    )
