"""The lead beside the cell: its admittance taken off, and which points of a spectrum are the cable's.

A nanobattery of 10 um2 has 1.3 GOhm; 100 pF of coax has that at 1.2 Hz. Above that corner one measures cable (domain
note 0.6 and 6). What is left after subtracting a lead that is a thousand times the cell is the lead's own error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .kramers_kronig import Complexes, Floats

#: A point is the cable's where its admittance is more than this share of what was measured.
CABLE_SHARE = 0.5
#: How well a lead's admittance is known if nothing else is said: it moves when the tip does.
DEFAULT_ERROR = 0.01
#: What is left after subtraction is believed where its error is at most this share of it.
BELIEVED_ERROR = 0.2


@dataclass(frozen=True, slots=True)
class OpenLead:
    """A lead with nothing at its end, as parallel conductance and capacitance; `error` as a share of its admittance."""

    capacitance_f: float
    conductance_s: float = 0.0
    error: float = DEFAULT_ERROR

    def admittance(self, frequency_hz: Floats) -> Complexes:
        return np.asarray(self.conductance_s + 2j * np.pi * frequency_hz * self.capacitance_f, dtype=np.complex128)


def open_lead_of(frequency_hz: Floats, z_ohm: Complexes) -> OpenLead:
    """Capacitance and conductance of a spectrum that was taken with the lead lifted; the scatter is its error."""
    admittance = 1 / z_ohm
    omega = 2 * np.pi * frequency_hz
    weight = 1 / np.abs(admittance)
    capacitance = float(np.sum(admittance.imag * omega * weight**2) / np.sum((omega * weight) ** 2))
    conductance = float(np.sum(admittance.real * weight**2) / np.sum(weight**2))
    model = conductance + 1j * omega * capacitance
    error = float(np.sqrt(np.mean(np.abs((admittance - model) * weight) ** 2)))
    return OpenLead(capacitance, max(conductance, 0.0), max(error, DEFAULT_ERROR / 10))


@dataclass(frozen=True, slots=True)
class Corrected:
    """The cell without its lead. All of shape (n,).

    `cable_share` is the lead's part of the measured admittance, `error` the uncertainty of `z_ohm` from the lead as a
    share of it, `cable` where the point says nothing of the cell.
    """

    z_ohm: Complexes
    cable_share: Floats
    error: Floats
    cable: np.ndarray[tuple[int], np.dtype[np.bool_]]


def without_lead(frequency_hz: Floats, z_ohm: Complexes, lead: OpenLead) -> Corrected:
    """Subtract the lead's admittance: Y_cell = Y - Y_open."""
    measured, own = 1 / z_ohm, lead.admittance(frequency_hz)
    left = measured - own
    with np.errstate(divide="ignore", invalid="ignore"):
        cell = np.where(left != 0, 1 / left, np.inf)
        error = np.where(left != 0, lead.error * np.abs(own) / np.abs(left), np.inf)
    return Corrected(
        np.asarray(cell, dtype=np.complex128),
        np.asarray(np.abs(own) / np.abs(measured), dtype=np.float64),
        np.asarray(error, dtype=np.float64),
        np.asarray(error > BELIEVED_ERROR),
    )


def corner_hz(resistance_ohm: float, capacitance_f: float) -> float:
    """Where the lead's reactance is as large as the cell's resistance."""
    return 1 / (2 * math.pi * resistance_ohm * capacitance_f)


@dataclass(frozen=True, slots=True)
class CableVerdict:
    """`above_hz` is the lowest frequency from which on the spectrum is the cable's, None if it is not."""

    above_hz: float | None
    capacitance_f: float
    text: str


def cable_verdict(frequency_hz: Floats, z_ohm: Complexes, lead: OpenLead | None) -> CableVerdict:
    """Is the upper end of the spectrum nothing but a capacitance? Without a known lead it is judged by its phase and
    slope: Z = 1/(j w C) with the same C over the upper points is what an open lead looks like, too.
    """
    order = np.argsort(frequency_hz)
    f, z = frequency_hz[order], z_ohm[order]
    if lead is not None:
        share = without_lead(f, z, lead).cable_share
        cable = share > CABLE_SHARE
        if not cable.any():
            return CableVerdict(None, lead.capacitance_f, "the lead's admittance is a small part of what was measured")
        first = int(np.argmax(cable))
        return CableVerdict(
            float(f[first]),
            lead.capacitance_f,
            f"from {f[first]:.3g} Hz on more than half of the current goes through the lead's "
            f"{lead.capacitance_f * 1e12:.3g} pF: this is the cable",
        )
    apparent = np.where(z.imag < 0, -1 / (2 * np.pi * f * np.where(z.imag < 0, z.imag, -1.0)), np.nan)
    capacitive = (np.degrees(np.angle(z)) < -80.0) & np.isfinite(apparent)
    top = float(apparent[-1]) if capacitive[-1] else math.nan
    same = capacitive & (np.abs(apparent / top - 1) < 0.1) if math.isfinite(top) else np.zeros(len(f), bool)
    if len(f) < 3 or not same[-3:].all() or top > _LARGEST_LEAD_F:
        return CableVerdict(None, math.nan, "the upper end is no bare capacitance of a lead's size")
    first = len(f) - int(np.argmin(same[::-1])) if not same.all() else 0
    return CableVerdict(
        float(f[first]),
        top,
        f"from {f[first]:.3g} Hz on it is a bare capacitance of {top * 1e12:.3g} pF: this is the cable (measure the "
        "open lead to be sure, and to take it off)",
    )


#: Ten metres of coax.
_LARGEST_LEAD_F = 1e-9
