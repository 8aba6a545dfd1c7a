"""From points to a result: does the spectrum hold together, what of it is the cable's, which circuit fits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge.analysis.formatting import percent, si
from bridge.analysis.impedance.circuit import CircuitFit, fit_circuit
from bridge.analysis.impedance.kramers_kronig import DEFAULT_C, Floats, LinKK, lin_kk
from bridge.analysis.impedance.lead import CABLE_SHARE, Corrected, OpenLead, cable_verdict, corner_hz, without_lead
from bridge.analysis.impedance.signature import Signature, signature
from bridge.analysis.impedance.spectrum import Spectrum
from bridge.analysis.impedance.steadiness import ACCEPTED, Steadiness, steadiness
from drivers.errors import InvalidValue

#: An unknown lead that takes more than this share of the current spoils a circuit's values.
_UNKNOWN_SHARE = 0.1
#: No circuit is fitted to fewer points.
_FEWEST_POINTS = 3
#: The excitation's current is at least so many times its noise (domain note, section 6).
_NOISE_FACTOR = 50.0
#: Half the amplitude gives the same impedance within this.
_LINEAR = 0.02


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that was measured. `again` is the first frequency once more, `half` the lowest at half the amplitude
    (None: not asked for). `lead_source` says how the lead is known, empty if it is not."""

    spectrum: Spectrum
    again: Spectrum
    half: Spectrum | None
    ocv_before_v: float
    ocv_after_v: float
    amplitude_v: float
    lead: OpenLead | None
    lead_source: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What of the parameters the evaluation needs. `noise_a` None: not known."""

    stray_f: float
    noise_a: float | None
    area_m2: float | None
    circuit: str
    guesses: list[float] | None


def evaluate(measured: Measured, settings: Settings) -> dict[str, Any]:
    """The result's fields, as values that JSON has or numpy arrays. Takes seconds: use a thread."""
    spectrum = measured.spectrum.only(measured.spectrum.usable)
    left_out = len(measured.spectrum) - len(spectrum)
    if not len(spectrum):
        return {"verdict": "fail", "reason": "no point of the spectrum is usable", "points_left_out": left_out}
    f, z = spectrum.frequency_hz, spectrum.z_ohm
    kk = lin_kk(f, z)
    steady = _steady(measured)
    seen = signature(f, z)
    half = _linearity(measured)
    noise = _noise(measured, spectrum, settings)
    lead, source = _lead(measured, settings, spectrum)
    corrected = without_lead(f, z, lead)
    cable = _cable(measured, spectrum, corrected, lead, source)
    against = _against(kk, steady, half, left_out, len(measured.spectrum))
    doubts = _doubts(kk, noise, half, measured)
    fit, fitted_hz, why = _fit(measured, settings, spectrum, corrected, cable, seen, against)
    verdict = "fail" if against else "doubtful" if doubts else "pass"
    if seen.kind != "cell" and not against:
        verdict = seen.kind
    said = [text for text in (*against, *doubts) if text] or [kk.reason]
    if seen.kind != "cell":
        said.insert(0, seen.text)
    if cable["above_hz"] is not None:
        said.append(cable["text"])
    return {
        "verdict": verdict,
        "reason": "; ".join(said),
        "signature": {"kind": seen.kind, "resistance_ohm": seen.resistance_ohm, "text": seen.text},
        "frequency_hz": f,
        "z_real_ohm": z.real,
        "z_imag_ohm": z.imag,
        "sigma": spectrum.sigma,
        "flags": spectrum.flags,
        "points_left_out": left_out,
        "cell_z_real_ohm": corrected.z_ohm.real if measured.lead else None,
        "cell_z_imag_ohm": corrected.z_ohm.imag if measured.lead else None,
        "cell_error": np.hypot(corrected.error, np.nan_to_num(spectrum.sigma) / np.abs(z) * np.abs(corrected.z_ohm))
        if measured.lead
        else None,
        "lead_share": corrected.cable_share,
        "belongs_to": _owners(corrected, measured.lead is not None),
        "kramers_kronig": {
            "verdict": kk.verdict,
            "reason": kk.reason,
            "rms": kk.rms,
            "max": kk.max,
            "elements": kk.elements,
            "mu": kk.mu,
            "c": DEFAULT_C,
            "residual_real": kk.residual_real,
            "residual_imag": kk.residual_imag,
        },
        "drift": {
            "frequency_hz": steady.frequency_hz,
            "change": steady.change,
            "accepted": ACCEPTED,
            "steady": steady.steady,
            "ocv_before_v": measured.ocv_before_v,
            "ocv_after_v": measured.ocv_after_v,
            "ocv_change_v": steady.ocv_change_v,
            "text": steady.text,
        },
        "linearity": half,
        "noise": noise,
        "cable": cable,
        "fit": None if fit is None else _told(fit, fitted_hz, settings.area_m2),
        "fit_reason": why,
    }


def _steady(measured: Measured) -> Steadiness:
    first, again = measured.spectrum, measured.again
    return steadiness(
        float(first.frequency_hz[0]),
        complex(first.z_ohm[0]),
        complex(again.z_ohm[0]) if len(again) else complex(math.nan, math.nan),
        measured.ocv_before_v,
        measured.ocv_after_v,
    )


def _linearity(measured: Measured) -> dict[str, Any] | None:
    if measured.half is None or not len(measured.half):
        return None
    whole, half = complex(measured.spectrum.z_ohm[-1]), complex(measured.half.z_ohm[0])
    change = abs(half - whole) / abs(whole)
    sigmas = (float(measured.spectrum.sigma[-1]), float(measured.half.sigma[0]))
    noise = 3 * math.hypot(*(s if math.isfinite(s) else 0.0 for s in sigmas))
    linear = change <= max(_LINEAR, noise)
    at = f"{measured.half.frequency_hz[0]:.3g} Hz"
    if not math.isfinite(change):
        return {"change": None, "linear": None, "text": f"half the amplitude gave no result at {at}"}
    words = "as it should" if linear else f"at most {_LINEAR:.0%} is accepted: give a smaller amplitude"
    return {
        "frequency_hz": float(measured.half.frequency_hz[0]),
        "change": change,
        "accepted": max(_LINEAR, noise),
        "linear": linear,
        "text": f"half the amplitude changes Z at {at} by {change:.2%}; {words}",
    }


def _noise(measured: Measured, spectrum: Spectrum, settings: Settings) -> dict[str, Any]:
    """Current of the excitation over its noise at the point where it is least: by a known noise, or the points' own
    sigma."""
    current = measured.amplitude_v / np.abs(spectrum.z_ohm)
    if settings.noise_a is not None:
        ratio, source = current / settings.noise_a, f"noise of {si(settings.noise_a, 'A')} given"
    elif np.isfinite(spectrum.sigma).any():
        sigma = np.where(np.isfinite(spectrum.sigma), spectrum.sigma, 0.0)
        ratio, source = 1 / np.maximum(sigma, 1e-12), "scatter of the points themselves"
    else:
        return {"ratio": None, "needed": _NOISE_FACTOR, "enough": None, "text": "the current's noise is not known"}
    worst = int(np.argmin(ratio))
    enough = bool(ratio[worst] >= _NOISE_FACTOR)
    return {
        "ratio": float(ratio[worst]),
        "needed": _NOISE_FACTOR,
        "enough": enough,
        "frequency_hz": float(spectrum.frequency_hz[worst]),
        "current_a": float(current[worst]),
        "text": f"the signal is {ratio[worst]:.3g} times its noise at least, at {spectrum.frequency_hz[worst]:.3g} Hz "
        f"({source}); {_NOISE_FACTOR:g} is wanted",
    }


def _lead(measured: Measured, settings: Settings, spectrum: Spectrum) -> tuple[OpenLead, str]:
    """The lead, and how it is known: measured or given; else what the upper end shows by itself; else assumed."""
    if measured.lead is not None:
        return measured.lead, measured.lead_source
    by_shape = cable_verdict(spectrum.frequency_hz, spectrum.z_ohm, None)
    if by_shape.above_hz is not None:
        return OpenLead(by_shape.capacitance_f), "by the shape of the upper end"
    return OpenLead(settings.stray_f), "assumed"


def _cable(measured: Measured, spectrum: Spectrum, corrected: Corrected, lead: OpenLead, source: str) -> dict[str, Any]:
    """In words, and from where on."""
    f, z = spectrum.frequency_hz, spectrum.z_ohm
    known = measured.lead is not None
    verdict = cable_verdict(f, z, lead)
    resistance = float(np.abs(z[np.argmin(f)]))
    largest = float(corrected.cable_share.max())
    if verdict.above_hz is None:
        text = f"{'the lead' if known else 'a lead'} of {si(lead.capacitance_f, 'F')} takes {percent(largest)} of the "
        text += f"current at most, at {f[int(np.argmax(corrected.cable_share))]:.3g} Hz"
    else:
        text = verdict.text
        if known and not corrected.cable.all():
            text += f"; with the lead taken off the cell is seen up to {f[~corrected.cable].max():.3g} Hz"
    if not known:
        text += f" (its capacitance: {source})"
    return {
        "above_hz": verdict.above_hz,
        "corner_hz": corner_hz(resistance, lead.capacitance_f) if lead.capacitance_f > 0 else None,
        "resistance_ohm": resistance,
        "capacitance_f": lead.capacitance_f,
        "conductance_s": lead.conductance_s,
        "error": lead.error if known else None,
        "source": source,
        "taken_off": known,
        "text": text,
    }


def _owners(corrected: Corrected, known: bool) -> list[str]:
    """Whose each point is: the cell's, shared with the lead, or the cable's."""
    owners = []
    for share, cable in zip(corrected.cable_share, corrected.cable, strict=True):
        if (cable and known) or (not known and share > CABLE_SHARE):
            owners.append("cable")
        else:
            owners.append("cell" if share <= _UNKNOWN_SHARE else "shared")
    return owners


def _against(kk: LinKK, steady: Steadiness, half: dict[str, Any] | None, left_out: int, points: int) -> list[str]:
    found = []
    if kk.verdict == "fail":
        found.append(f"not linear and steady by Kramers-Kronig: {kk.reason}")
    if not math.isfinite(steady.change):
        found.append(f"the first frequency, {steady.frequency_hz:.3g} Hz, could not be measured again at the end")
    elif not steady.steady:
        found.append(steady.text)
    if half is not None and half["linear"] is False:
        found.append(half["text"])
    if left_out > 0.1 * points:
        found.append(f"{left_out} of {points} points are flagged by the instrument")
    return found


def _doubts(kk: LinKK, noise: dict[str, Any], half: dict[str, Any] | None, measured: Measured) -> list[str]:
    found = []
    if half is not None and half["linear"] is None:
        found.append(half["text"])
    if kk.verdict == "inconclusive":
        found.append(f"Kramers-Kronig cannot tell: {kk.reason}")
    if noise["enough"] is False:
        found.append(noise["text"])
    change = measured.ocv_after_v - measured.ocv_before_v
    if abs(change) > measured.amplitude_v:
        found.append(
            f"the open-circuit voltage changed by {si(change, 'V')}, more than the excitation of "
            f"{si(measured.amplitude_v, 'V')}: it was not at rest"
        )
    return found


def _fit(
    measured: Measured,
    settings: Settings,
    spectrum: Spectrum,
    corrected: Corrected,
    cable: dict[str, Any],
    seen: Signature,
    against: list[str],
) -> tuple[CircuitFit | None, Floats, str]:
    """A circuit of the cell with the frequencies that were fitted, or why there is none."""
    none = np.empty(0)
    if not settings.circuit:
        return None, none, "no circuit was asked for"
    if against:
        return None, none, f"a circuit describes what is linear and steady, and this is not: {'; '.join(against)}"
    if seen.kind != "cell":
        return None, none, f"there is no cell to describe: {seen.text}"
    known = measured.lead is not None
    if known:
        keep = ~corrected.cable
        why = "the lead's error is more than a fifth of the cell"
    else:
        keep = corrected.cable_share <= _UNKNOWN_SHARE
        why = (
            f"a lead of {si(cable['capacitance_f'], 'F')} ({cable['source']}) takes more than "
            f"{percent(_UNKNOWN_SHARE)} of the current; measure the open lead (open-lead, or measure_open_lead) "
            "to take it off"
        )
    f = spectrum.frequency_hz[keep]
    z = (corrected.z_ohm if known else spectrum.z_ohm)[keep]
    limits = "" if keep.all() else f"fitted up to {f.max():.3g} Hz: above it {why}" if keep.any() else why
    if len(f) < _FEWEST_POINTS:
        return None, none, f"{len(f)} points are the cell's, {_FEWEST_POINTS} are needed at least: {why}"
    try:
        fit = fit_circuit(f, z, settings.circuit, settings.guesses)
    except InvalidValue as error:
        return None, none, f"{error.message}{f' ({limits})' if limits else ''}"
    return fit, f, limits


def _told(fit: CircuitFit, frequency_hz: Floats, area_m2: float | None) -> dict[str, Any]:
    parameters = []
    for p in fit.parameters:
        row = {"name": p.name, "unit": p.unit, "value": p.value, "sigma": p.sigma, "low": p.low, "high": p.high}
        if p.unit == "Ohm" and area_m2 is not None:
            row |= {"value_ohm_m2": p.value * area_m2, "sigma_ohm_m2": p.sigma * area_m2}
        parameters.append(row)
    return {
        "circuit": fit.circuit,
        "parameters": parameters,
        "residual": fit.residual,
        "points": len(fit.predicted),
        "frequency_hz": frequency_hz,
        "predicted_real_ohm": fit.predicted.real,
        "predicted_imag_ohm": fit.predicted.imag,
        "warnings": list(fit.warnings),
    }
