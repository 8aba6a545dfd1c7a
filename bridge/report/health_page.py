"""What the health watch found in a run, as a section of its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.analysis.formatting import si

from .summary import Samples, Summary, Table, when

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: So many are listed; all of them are in the run's record.
_LISTED = 100


def summary(result: Mapping[str, Any]) -> Summary:
    """`result["health"]` are the findings of the run."""
    findings = result["health"]
    stopped = any(finding.get("reaction") == "stop" for finding in findings)
    kinds = sorted({str(finding["kind"]).replace("_", " ") for finding in findings})
    rows = [
        (
            when(finding["time_ns"]),
            str(finding["device"]),
            str(finding["kind"]).replace("_", " "),
            str(finding["reaction"]),
            f"{finding['from_s']:.6g} s to {finding['to_s']:.6g} s",
            si(finding["charge_c"], "C"),
            str(finding["text"]),
        )
        for finding in findings[:_LISTED]
    ]
    more = f"; the first {_LISTED} of {len(findings)} are listed" if len(findings) > _LISTED else ""
    return Summary(
        title="Health watch",
        verdict="stopped" if stopped else "marked",
        tone="fail" if stopped else "doubt",
        reason=f"found: {', '.join(kinds)}{more}",
        tables=[Table("", ("time", "device", "kind", "reaction", "in its step", "charge until told", "what"), rows)],
        method=[("Detectors", "docs/health-watch.md: delay, false alarms and what cannot be seen")],
    )


def figures(result: Mapping[str, Any], samples: Samples) -> Sequence[tuple[str, Figure]]:
    """Voltage and current of each device with findings, which are marked."""
    from .samples_figure import time_figure

    devices = {str(finding["device"]) for finding in result["health"]}
    drawn = [
        (f"{name}-health", time_figure(name, blocks, result["health"]))
        for name, blocks in samples.items()
        if name in devices
    ]
    return [(name, figure) for name, figure in drawn if figure is not None]
