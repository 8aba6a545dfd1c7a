"""The page of a noise test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.analysis.formatting import duration, si, with_uncertainty

from .summary import Samples, Summary, Table, Tone, instrument, when

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TONES: Mapping[str, Tone] = {"pass": "pass", "fail": "fail"}


def summary(result: Mapping[str, Any]) -> Summary:
    r = result
    route = f" through {r['route']}" if r.get("route") else ""
    verdict = str(r["verdict"])
    return Summary(
        title=f"Noise test at {si(r['set_current_a'], 'A')}{route}",
        verdict=verdict,
        tone=_TONES.get(verdict, "doubt"),
        reason=str(r["reason"]),
        rows=[*_numbers(r), *_settings(r)],
        tables=advice_tables(r.get("advice") or ()),
    )


def advice_tables(advice: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Causes with evidence and remedy, if there are any."""
    rows = [(str(a["cause"]), str(a["evidence"]), str(a["action"])) for a in advice]
    return [Table("What it comes from", ("cause", "evidence", "what to do"), rows)] if rows else []


def _numbers(r: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = [("Rule", str(r["rule"]))]
    if r["std_a"] is not None and r["mean_half_width_a"] is not None:
        slope = with_uncertainty(r["drift_over_test_a"], r["drift_over_test_half_width_a"], "A")
        rows += [
            ("Mean", f"{with_uncertainty(r['mean_a'], r['mean_half_width_a'], 'A')} (90 % confidence)"),
            ("Standard deviation", f"{si(r['std_a'], 'A')}, below {si(r['std_upper_a'], 'A')} with 95 % confidence"),
            ("Drift over the test", f"{slope} (90 % confidence)"),
            ("Averages", f"{r['n']} of {r['averaging_s']:g} s, worth {r['n_effective']:.0f} independent ones"),
        ]
    if r["allan"]["minimum_a"] is not None:
        lowest = f"{si(r['allan']['minimum_a'], 'A')} at {r['allan']['minimum_tau_s']:g} s"
        rows.append(("Bias instability (lowest Allan deviation)", lowest))
    rows += [
        ("Mains", _mains(r)),
        ("Outliers", f"{r['outliers']} averages beyond 5 median absolute deviations, counted and kept"),
        ("Flagged samples, gaps", f"{r['flagged']}, {len(r['gaps'])}"),
    ]
    if r["criterion"] != "seed" and r["std_a"] is not None:
        met = abs(r["mean_a"] - r["set_current_a"]) <= r["tolerance_a"] and r["std_a"] <= r["tolerance_a"]
        words = "met" if met else "not met"
        rows.append(
            ("Wording of the method's paper", f"mean and s within the tolerance: {words} (the rule here is stricter)")
        )
    return rows


def _mains(r: Mapping[str, Any]) -> str:
    texts = []
    for line in r["spectrum"]["lines"]:
        name = f"{line['frequency_hz']:g} Hz"
        if line["amplitude_a_rms"] is None:
            continue
        where = "" if line["seen_at_hz"] == line["frequency_hz"] else f" (seen at {line['seen_at_hz']:.3g} Hz)"
        texts.append(
            f"{name}{where}: {si(line['amplitude_a_rms'], 'A')} rms{'' if line['found'] else ', not above noise'}"
        )
    hidden = [line for line in r["spectrum"]["lines"] if line["amplitude_a_rms"] is None]
    if hidden:
        names = ", ".join(f"{line['frequency_hz']:g}" for line in hidden)
        text = f"{names} Hz fold onto the mean at {r['spectrum']['rate_hz']:g} samples/s and cannot be seen"
        known = [line["suppression_db"] for line in hidden if line["suppression_db"] is not None]
        if known:
            text += f"; the instrument's integration takes at least {min(known):.0f} dB off them"
        texts.append(text)
    return "; ".join(texts) or "record too short for a spectrum"


def _settings(r: Mapping[str, Any]) -> list[tuple[str, str]]:
    error = r.get("instrument_error_a")
    return [
        ("Settling", str(r["settling_rule"])),
        (
            "Judged",
            f"{duration(r['evaluated_s'])} from {r['evaluated_from_s']:g} s on, sampled every {r['interval_s']:g} s",
        )
        if r["evaluated_from_s"] is not None
        else ("Judged", "nothing: the instrument never settled"),
        ("Instrument", instrument(r)),
        ("Range", f"{r['range']}; specified within ± {si(error, 'A')}" if error is not None else str(r["range"])),
        ("Started", when(r["start_time_ns"])),
    ]


def figures(result: Mapping[str, Any], samples: Samples) -> Sequence[tuple[str, Figure]]:
    """One picture, from the result alone."""
    from .noise_figure import noise_figure

    return [("noise", noise_figure(result))]
