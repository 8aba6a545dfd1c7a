"""The pages of an impedance spectrum and of an open lead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.analysis.formatting import area, duration, percent, si, with_uncertainty

from .summary import Samples, Summary, Table, Tone, instrument, when

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TONES: Mapping[str, Tone] = {"pass": "pass", "fail": "fail", "short": "fail", "open": "fail"}


def summary(result: Mapping[str, Any]) -> Summary:
    if result["procedure"] == "open-lead":
        return _lead(result)
    r = result
    verdict = str(r["verdict"])
    if "kramers_kronig" not in r:
        return Summary("Impedance", verdict, "fail", str(r["reason"]), rows=_conditions(r))
    kk, drift, cable = r["kramers_kronig"], r["drift"], r["cable"]
    rows = [
        ("What it looks like", str(r["signature"]["text"])),
        ("Kramers-Kronig", f"{kk['verdict']}: {kk['reason']}"),
        ("Drift", str(drift["text"])),
        ("Linearity", str(r["linearity"]["text"]) if r["linearity"] else "not looked at"),
        ("Noise", str(r["noise"]["text"])),
        ("Cable", str(cable["text"])),
        ("Corner of the lead", f"{si(cable['corner_hz'], 'Hz')} beside {si(cable['resistance_ohm'], 'Ohm')}"),
        *_conditions(r),
    ]
    return Summary(
        title=f"Impedance from {si(max(r['frequency_hz']), 'Hz')} to {si(min(r['frequency_hz']), 'Hz')}",
        verdict=verdict,
        tone=_TONES.get(verdict, "doubt"),
        reason=str(r["reason"]),
        rows=rows,
        tables=_fit(r),
        method=[(str(name), str(text)) for name, text in r["method"].items()],
    )


def _lead(r: Mapping[str, Any]) -> Summary:
    route = f" of {r['route']}" if r.get("route") else ""
    return Summary(
        title=f"Open lead{route}: {si(r['capacitance_f'], 'F')}",
        verdict=str(r["verdict"]),
        tone="pass",
        reason=str(r["reason"]),
        rows=[
            ("Capacitance", with_uncertainty(r["capacitance_f"], r["error"] * r["capacitance_f"], "F")),
            ("Conductance", si(r["conductance_s"], "S")),
            ("Points", str(len(r["frequency_hz"]))),
            *_conditions(r),
        ],
        method=[(str(name), str(text)) for name, text in r["method"].items()],
    )


def _conditions(r: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [
        ("Excitation", f"{si(r['amplitude_v'], 'V')} rms, by the {r['mode']}, {r['control']} set"),
        ("Took", duration(r["duration_s"])),
        ("Instrument", instrument(r)),
        ("Started", when(r["start_time_ns"])),
    ]
    if r.get("bias_v") is not None:
        rows.insert(1, ("Bias", f"{r['bias_v']:.6g} V, {r['bias']}"))
    return rows


def _fit(r: Mapping[str, Any]) -> list[Table]:
    fit = r["fit"]
    if fit is None:
        return [Table("Circuit", ("why none", ""), [(str(r["fit_reason"]), "")])]
    area_m2 = r.get("area_m2")
    rows = []
    for p in fit["parameters"]:
        by_area = f"{p['value_ohm_m2'] * 1e4:.4g} Ω cm²" if p.get("value_ohm_m2") is not None else ""
        rows.append((str(p["name"]), _value(p), _interval(p), by_area))
    on = f" (on {area(area_m2)})" if area_m2 else ""
    tables = [Table(f"Circuit {fit['circuit']}", ("parameter", "value", "95 % interval", f"times area{on}"), rows)]
    said = [*fit["warnings"], *([r["fit_reason"]] if r["fit_reason"] else [])]
    said.append(f"residual {percent(fit['residual'])} rms over {fit['points']} points")
    tables.append(Table("About the fit", ("", ""), [(text, "") for text in said]))
    return tables


def _value(p: Mapping[str, Any]) -> str:
    unit = str(p["unit"])
    if unit in ("Ohm", "F", "H"):
        return si(p["value"], unit, 4)
    return f"{p['value']:.4g} {unit}".strip()


def _interval(p: Mapping[str, Any]) -> str:
    if p["low"] is None or p["high"] is None:
        return "not known"
    unit = str(p["unit"])
    if unit in ("Ohm", "F", "H"):
        return f"{si(p['low'], unit, 4)} to {si(p['high'], unit, 4)}"
    return f"{p['low']:.4g} to {p['high']:.4g}"


def figures(result: Mapping[str, Any], samples: Samples) -> Sequence[tuple[str, Figure]]:
    """One picture of a spectrum, none of an open lead."""
    if result["procedure"] != "impedance" or not result.get("frequency_hz"):
        return []
    from .impedance_figure import impedance_figure

    return [("impedance", impedance_figure(result))]
