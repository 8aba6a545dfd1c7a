"""Findings marked in a plot against time."""

from __future__ import annotations

from bridge.report.health_marks import mark_findings
from bridge.report.style import new_figure
from tests.near import near


def finding(from_s: float, to_s: float, severity: str = "warning", device: str = "pstat") -> dict[str, object]:
    return {
        "device": device,
        "time_ns": 10**18 + round(to_s * 1e9),
        "from_s": from_s,
        "to_s": to_s,
        "kind": "intermittent_contact",
        "severity": severity,
    }


def test_what_was_found_is_shaded_where_it_was() -> None:
    with new_figure(6, 3) as figure:
        axes = figure.subplots()
        axes.plot([0.0, 15.0], [3.0, 3.7])  # minutes
        axes.set_xlim(0.0, 15.0)
        found = [finding(150.0, 150.9), finding(300.0, 400.0, "error"), finding(1.0, 2.0, device="other")]
        assert mark_findings(axes, [*found, finding(2000.0, 2001.0)], 10**18, 1 / 60, device="pstat") == 2
        narrow, wide = axes.patches
        assert narrow.get_x() + narrow.get_width() / 2 == near(150.45 / 60, rel=1e-9)
        assert narrow.get_width() == near(0.004 * 15, rel=1e-6)  # widened, to be seen
        assert (wide.get_x(), wide.get_width()) == near((5.0, 100 / 60), rel=1e-9)
        assert narrow.get_facecolor() != wide.get_facecolor()
        assert axes.get_xlim() == (0.0, 15.0)
        assert [text.get_text() for text in axes.texts] == ["intermittent contact"] * 2
