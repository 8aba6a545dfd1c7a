"""The page of a noise survey: the routes side by side; each has a section of its own below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.analysis.formatting import si

from .noise_page import advice_tables
from .summary import Summary, Table, instrument

_HEADER = ("route", "current", "verdict", "mean", "s", "s below (95 %)", "drift over the test", "mains")


def summary(result: Mapping[str, Any]) -> Summary:
    rows = [
        (
            str(c["route"]),
            si(c["set_current_a"], "A"),
            str(c["verdict"]),
            si(c["mean_a"], "A"),
            si(c["std_a"], "A"),
            si(c["std_upper_a"], "A"),
            si(c["drift_over_test_a"], "A"),
            ", ".join(f"{si(amplitude, 'A')} at {name}" for name, amplitude in c["mains_a_rms"].items())
            or "none found",
        )
        for c in result["comparison"]
    ]
    return Summary(
        "Noise of the routes",
        str(result["verdict"]),
        "pass" if result["verdict"] == "pass" else "fail",
        str(result["reason"]),
        rows=[("Instrument", instrument(result))],
        tables=[Table("Comparison", _HEADER, rows), *advice_tables(result["advice"])],
    )


def _mains(row: Mapping[str, Any]) -> str:
    if row["beyond_range"]:
        return "more than the range holds"
    return (
        ", ".join(f"{si(amplitude, 'A')} at {name}" for name, amplitude in row["mains_a_rms"].items()) or "none found"
    )
