"""The picture and the table of the health watch's rates, from `results/detectors.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent.parent
_PICTURE = _ROOT / "docs" / "pictures" / "detectors.png"
_PAGE = _ROOT / "docs" / "health-watch.md"
_BEGIN, _END = "<!-- rates: begin -->\n", "<!-- rates: end -->\n"

#: Which false alarms belong to which detector.
_ALARMS = {
    "contact lost": "contact_lost error",
    "intermittent contact": "intermittent_contact warning",
    "short in a charge, 20 I and more": "short error",
    "short in a charge, 3 to 20 I": "short error",
    "short in a discharge": "short error",
    "short from the start": "short error",
    "leak in a rest": "partial_short warning",
    "overload": "overload warning",
    "overload that stays": "overload error",
    "drift of the source": "drift warning",
    "voltage beyond the window": "window error",
}


def draw(result: dict[str, Any]) -> None:
    """Detection delay and misses against false alarms, all thresholds scaled together."""
    from bridge.report.style import BLUE, GREY, RED, new_figure, render

    points = result["sweep"]
    with new_figure(9.0, 4.0) as figure:
        delays, misses = figure.subplots(1, 2)
        for name, colour in (("contact", BLUE), ("short", RED)):
            # a point without an alarm is drawn at its 95 % bound, open
            x = [max(p[f"{name}_alarms"], 3.0) / p["samples"] * 1e7 for p in points]
            seen = [p[f"{name}_alarms"] > 0 for p in points]
            for axes, key, factor in ((delays, f"{name}_delay_s", 1.0), (misses, f"{name}_missed", 100.0)):
                y = [p[key] * factor for p in points]
                axes.plot(x, y, color=colour, lw=1.0, label=name)
                for xx, yy, known, point in zip(x, y, seen, points, strict=True):
                    axes.plot(xx, yy, "o", ms=5, mec=colour, mfc=colour if known else "white")
                    if point["caution"] == 1.0:
                        axes.plot(xx, yy, "s", ms=11, mec=GREY, mfc="none")
        for axes in (delays, misses):
            axes.set_xscale("log")
            axes.set_xlabel("false alarms per $10^7$ samples (open: none, 95 % bound)")
        delays.set_ylabel("median delay / s")
        delays.set_title("Delay (square: as shipped)")
        delays.set_ylim(bottom=0.0)
        misses.set_ylabel("missed / %")
        misses.set_title("Misses of 600 faults each")
        delays.legend()
    _PICTURE.parent.mkdir(exist_ok=True)
    _PICTURE.write_bytes(render(figure))


def update(result: dict[str, Any]) -> None:
    """The table in the page."""
    lines = [
        "| fault | delay median | delay 99 % | charge passed, median | 99 % | missed | false alarms in "
        f"{_samples(result):.3g} healthy samples | bound per 10^7 (95 %) | per day at 10/s | per month |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, fault in result["faults"].items():
        rate = result["rates"][_ALARMS[name]]
        charge = (f"{_si(fault[key], 'C')}" for key in ("charge_median_c", "charge_p99_c"))
        lines.append(
            f"| {name} | {fault['delay_median_s']:.3g} s | {fault['delay_p99_s']:.3g} s | {' | '.join(charge)} "
            f"| {fault['missed']} of {fault['faults']} | {rate['seen']} | {rate['per_1e7_bound']:.2g} "
            f"| {rate['per_day_bound']:.2g} | {30 * rate['per_day_bound']:.2g} |"
        )
    lines += ["", "Median delay by cell, s:", ""]
    groups = sorted(
        {group for fault in result["faults"].values() for group in fault["delay_median_s_by_group"]}, key=_size
    )
    groups = [group for group in groups if group]
    lines += ["| fault | " + " | ".join(groups) + " |", "|---" * (len(groups) + 1) + "|"]
    for name, fault in result["faults"].items():
        by_group = fault["delay_median_s_by_group"]
        cells = (f"{by_group[group]:.3g}" if group in by_group else "" for group in groups)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    text = _PAGE.read_text()
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    _PAGE.write_text(before + _BEGIN + "\n".join(lines) + "\n" + _END + after)


def _samples(result: dict[str, Any]) -> int:
    return int(sum(quiet["samples"] for quiet in result["healthy"].values()))


def _size(group: str) -> float:
    return float(group.split()[0]) if group[:1].isdigit() else float("inf")


def _si(value: float, unit: str) -> str:
    from bridge.analysis.formatting import si

    return si(value, unit, 2) if value else f"0 {unit}"
