"""The page of a short test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.analysis.formatting import si, with_uncertainty

from .summary import Summary, Table, Tone, instrument

_TONES: Mapping[str, Tone] = {"no short": "pass", "short": "fail"}


def summary(result: Mapping[str, Any]) -> Summary:
    verdict = str(result["verdict"])
    levels = [
        (
            si(level["current_a"], "A"),
            "unknown"
            if level["voltage_v"] is None
            else with_uncertainty(level["voltage_v"], level["error_v"] or 0.0, "V"),
            si(level["change_v"], "V"),
        )
        for level in result["levels"]
    ]
    return Summary(
        "Is there a short?",
        verdict,
        _TONES.get(verdict, "doubt"),
        str(result["reason"]),
        rows=[("Length of a level", f"{result['pulse_s']:g} s"), ("Instrument", instrument(result))],
        tables=[Table("Levels", ("current", "voltage", "change within the level"), levels)],
        method=[("Voltage", "mean of the last half of each level, with its standard error")],
    )
