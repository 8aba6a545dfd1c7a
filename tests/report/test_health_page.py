"""The section of the report with what the health watch found."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.report import health_page
from drivers.samples import SAMPLE_COLUMNS, SampleBlock

FINDING: dict[str, Any] = {
    "device": "pstat",
    "time_ns": 10**18 + 150_900_000_000,
    "kind": "intermittent_contact",
    "severity": "warning",
    "reaction": "mark",
    "from_s": 150.0,
    "to_s": 150.9,
    "charge_c": 4.5e-12,
    "text": "the contact was open for 500 ms and came back",
}


def block() -> SampleBlock:
    time = np.arange(1.0, 301.0)
    data = {"time_s": time, "voltage_v": 3.0 + time / 1e3, "current_a": np.full(300, 5e-12), "flags": np.zeros(300)}
    return SampleBlock.of(SAMPLE_COLUMNS, data, start_time_ns=10**18)


def test_findings_are_listed_and_marked_on_their_device() -> None:
    result = {"health": [FINDING]}
    summary = health_page.summary(result)
    assert (summary.verdict, summary.tone) == ("marked", "doubt")
    (row,) = summary.tables[0].rows
    assert row[2:] == (
        "intermittent contact",
        "mark",
        "150 s to 150.9 s",
        "4.5 pC",
        "the contact was open for 500 ms and came back",
    )
    ((name, figure),) = health_page.figures(result, {"pstat": [block()], "other": [block()]})
    assert name == "pstat-health"
    assert [len(axes.patches) for axes in figure.axes] == [1, 1]
    stopped = health_page.summary({"health": [FINDING | {"reaction": "stop"}] * 101})
    assert (stopped.verdict, stopped.tone) == ("stopped", "fail")
    assert "the first 100 of 101" in stopped.reason
