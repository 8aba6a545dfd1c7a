"""Results of procedures as rows of text, with numbers as people say them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bridge.analysis.formatting import area, duration, percent, si, with_uncertainty

Rows = list[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Head:
    """Title of a section and its verdict; `tone` is pass, fail or doubt."""

    title: str
    verdict: str = ""
    reason: str = ""
    tone: str = "doubt"


def of(result: Mapping[str, Any]) -> tuple[Head, Rows, Rows]:
    """(head, rows of name and value, table of cycles with its header first or empty)."""
    make = _TABLES.get(str(result.get("procedure", "")), _other)
    return make(result)


def without_series(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result less its long lists, which the pictures show."""
    short = {key: value for key, value in result.items() if key != "averages"}
    if "spectrum" in short:
        spectrum = short["spectrum"]
        short["spectrum"] = {"rate_hz": spectrum["rate_hz"], "lines": spectrum["lines"]}
    return short


def _noise(r: Mapping[str, Any]) -> tuple[Head, Rows, Rows]:
    route = f" through {r['route']}" if r.get("route") else ""
    verdict = str(r["verdict"])
    tone = {"pass": "pass", "fail": "fail"}.get(verdict, "doubt")
    head = Head(f"Noise test at {si(r['set_current_a'], 'A')}{route}", verdict, str(r["reason"]), tone)
    return head, [*_noise_rows(r), *_noise_settings(r)], []


def _noise_rows(r: Mapping[str, Any]) -> Rows:
    rows: Rows = [("Rule", str(r["rule"]))]
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


def _noise_settings(r: Mapping[str, Any]) -> Rows:
    error = r.get("instrument_error_a")
    return [
        ("Settling", str(r["settling_rule"])),
        (
            "Judged",
            f"{duration(r['evaluated_s'])} from {r['evaluated_from_s']:g} s on, sampled every {r['interval_s']:g} s",
        )
        if r["evaluated_from_s"] is not None
        else ("Judged", "nothing: the instrument never settled"),
        ("Instrument", _instrument(r)),
        ("Range", f"{r['range']}; specified within ± {si(error, 'A')}" if error is not None else str(r["range"])),
        ("Started", _when(r["start_time_ns"])),
    ]


def _cycle(r: Mapping[str, Any]) -> tuple[Head, Rows, Rows]:
    s = r["settings"]
    density = f" ({si(s['current_density_a_per_m2'], 'A/m2')})" if s["area_m2"] else ""
    verdict = "completed" if r["completed"] else "not completed"
    head = Head(
        f"Galvanostatic cycling at {si(s['current_a'], 'A')}{density}",
        verdict,
        "",
        "pass" if r["completed"] else "fail",
    )
    charged, discharged = (_charge(r, name, s["area_m2"]) for name in ("charge", "discharge"))
    rows: Rows = [
        ("Charged", charged),
        ("Discharged", discharged),
        ("Coulombic efficiency", percent(r["coulombic_efficiency"])),
        ("Voltage", f"discharged to {si(r['voltage_min_v'], 'V', 4)}, charged to {si(r['voltage_max_v'], 'V', 4)}"),
        ("Limits", f"{s['voltage_window_v'][0]:g} V to {s['voltage_window_v'][1]:g} V; {_other_limits(s)}"),
        ("Rest", f"{duration(s['rest_s'])} after each step, the cell disconnected"),
        ("Time under current", duration(r["duration_s"])),
    ]
    if s["area_m2"]:
        rows.append(("Area", area(s["area_m2"])))
    rows += [
        ("Sampling", f"every {s['interval_s']:g} s, {r['samples']} samples"),
        ("Route", s["route"] or "not switched by picobridge"),
        ("Instrument", _instrument(r)),
        ("Range", str(r["range"] or "not told")),
        ("Sign", str(r["sign"])),
    ]
    return head, rows, _steps(r)


def _charge(r: Mapping[str, Any], name: str, area_m2: float | None) -> str:
    text = si(r[f"{name}_ah"], "Ah", 4)
    return f"{text}, {si(r[f'{name}_ah_per_m2'], 'Ah/m2', 4)}" if area_m2 else text


def _other_limits(s: Mapping[str, Any]) -> str:
    limits = [f"at most {duration(s['time_limit_s'])} a step"]
    if s["capacity_limit_c"]:
        limits.append(f"at most {si(s['capacity_limit_c'] / 3600, 'Ah')} a step")
    return ", ".join(limits)


def _steps(r: Mapping[str, Any]) -> Rows:
    header = (
        "cycle",
        "step",
        "ended by",
        "duration",
        "charge",
        "to the limit",
        "end voltage",
        "overshoot at worst, seen",
    )
    rows: Rows = [header]
    for cycle in r["cycles"]:
        for step in cycle["steps"]:
            beyond = step["overshoot"]
            rows.append(
                (
                    str(cycle["cycle"]),
                    step["kind"],
                    str(step["end"]).replace("_", " "),
                    duration(step["duration_s"]),
                    si(step["charge_ah"], "Ah", 4),
                    "" if step["charge_interpolated_ah"] is None else si(step["charge_interpolated_ah"], "Ah", 4),
                    si(step["voltage_end_v"], "V", 4),
                    f"{si(beyond['worst_v'], 'V', 2)}, {si(beyond['observed_v'], 'V', 2)}" if beyond else "",
                )
            )
    return rows


def _contact(r: Mapping[str, Any]) -> tuple[Head, Rows, Rows]:
    head = Head("Contact of the manipulator", str(r["verdict"]), "", "pass" if r["found"] else "fail")
    position = ", ".join(f"{axis} {si(r['position'][f'{axis}_m'], 'm', 5)}" for axis in "xyz")
    loop = "" if r["position"]["closed_loop"] else " (counted steps, not measured)"
    rows: Rows = [
        ("Open-circuit voltage", si(r["ocv_v"], "V", 4)),
        ("Position", position + loop),
        ("Approach", f"{r['steps']} steps, {si(r['travelled_m'], 'm')}"),
        ("Floating lead before", si(r["floating_voltage_v"], "V")),
        ("Manipulator", str(r["manipulator"])),
        ("Instrument", _instrument(r)),
    ]
    return head, rows, []


def _other(r: Mapping[str, Any]) -> tuple[Head, Rows, Rows]:
    rows: Rows = [(str(key), str(value)) for key, value in r.items() if isinstance(value, str | int | float | bool)]
    return Head(str(r.get("procedure", "Result"))), rows, []


def _instrument(r: Mapping[str, Any]) -> str:
    who = r.get("instrument", {})
    name = " ".join(str(who[key]) for key in ("make", "model") if who.get(key))
    serial = f", serial number {who['serial']}" if who.get("serial") else ""
    firmware = f", firmware {who['firmware']}" if who.get("firmware") else ""
    device = str(who.get("device", ""))
    return f"{name}{serial}{firmware} ({device})" if name else device


def _when(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


_TABLES: Mapping[str, Callable[[Mapping[str, Any]], tuple[Head, Rows, Rows]]] = {
    "noise-test": _noise,
    "cycle": _cycle,
    "make-contact": _contact,
}
