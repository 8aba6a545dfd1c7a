"""The page of the independent checks of a current."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.analysis.formatting import si

from .summary import Summary, Table, Tone, instrument

_TONES: Mapping[str, Tone] = {"pass": "pass", "fail": "fail"}


def summary(result: Mapping[str, Any]) -> Summary:
    rows = [(str(c["name"]), str(c["verdict"]), str(c["text"])) for c in result["checks"]]
    verdict = str(result["verdict"])
    return Summary(
        f"Is {si(result['set_current_a'], 'A')} really that?",
        verdict,
        _TONES.get(verdict, "doubt"),
        str(result["reason"]),
        rows=[("Allowed deviation", si(result["tolerance_a"], "A")), ("Instrument", instrument(result))],
        tables=[Table("Checks", ("check", "verdict", "found"), rows)],
        method=[(str(c["name"]), str(c["method"])) for c in result["checks"]],
    )
