"""What a spectrum says of a cell: values at frequencies, whether it holds together."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bridge.analysis.sheet.bins import parse_at

Floats = npt.NDArray[np.float64]
Complexes = npt.NDArray[np.complex128]

#: a spectrum needs this many points for a Kramers-Kronig fit
_FEWEST_POINTS = 7
#: elements of that fit for each point, and how far beyond the measured range their time constants go: then the fit of
#: a perfect LiPON spectrum is off by 0.3 % or less, and a contact that changes by 30 % half-way leaves 13 %
_ELEMENTS_A_POINT, _BEYOND = 0.7, 2.0


@dataclass(frozen=True, slots=True)
class Spectrum:
    """`frequency_hz` falls; shape (n,). `flagged` counts the points that the instrument warned of, which are left out.

    `repeat_change` is the relative change at frequencies that were measured a second time (NaN: none was).
    """

    frequency_hz: Floats
    z_ohm: Complexes
    flagged: int = 0
    repeat_change: float = math.nan

    @staticmethod
    def empty() -> Spectrum:
        return Spectrum(np.zeros(0), np.zeros(0, dtype=complex))

    def __len__(self) -> int:
        return len(self.frequency_hz)

    def joined(self, lower: Spectrum) -> Spectrum:
        """With one that goes on from here down, beginning where this one ends: that point is the repetition."""
        if not len(self) or not len(lower):
            longer = self if len(self) else lower
            return Spectrum(longer.frequency_hz, longer.z_ohm, self.flagged + lower.flagged, longer.repeat_change)
        change, skip = self.repeat_change, 0
        if math.isclose(self.frequency_hz[-1], lower.frequency_hz[0], rel_tol=1e-3):
            skip = 1
            seen = abs(lower.z_ohm[0] - self.z_ohm[-1]) / abs(self.z_ohm[-1])
            change = seen if math.isnan(change) else max(change, seen)
        return Spectrum(
            np.concatenate([self.frequency_hz, lower.frequency_hz[skip:]]),
            np.concatenate([self.z_ohm, lower.z_ohm[skip:]]),
            self.flagged + lower.flagged,
            float(change),
        )


def at(spectrum: Spectrum, frequency_hz: float) -> complex:
    """Interpolated in log frequency: modulus by its logarithm, phase by itself. NaN outside what was measured."""
    f = spectrum.frequency_hz
    if not len(f) or not f[-1] * (1 - 1e-3) <= frequency_hz <= f[0] * (1 + 1e-3):
        return complex(math.nan, math.nan)
    x, log_f = math.log(frequency_hz), np.log(f[::-1])
    modulus = math.exp(float(np.interp(x, log_f, np.log(np.abs(spectrum.z_ohm[::-1])))))
    phase = float(np.interp(x, log_f, np.angle(spectrum.z_ohm[::-1])))
    return complex(modulus * math.cos(phase), modulus * math.sin(phase))


def values_of(spectrum: Spectrum, names: Iterable[str]) -> dict[str, float]:
    """The quantities of `bridge.analysis.sheet.bins` that come from a spectrum, and those of `names` at frequencies."""
    found: dict[str, float] = {"points": float(len(spectrum)), "flagged": float(spectrum.flagged)}
    if not len(spectrum):
        return found
    low = complex(spectrum.z_ohm[-1])
    found |= {
        "z_top_ohm": abs(complex(spectrum.z_ohm[0])),
        "z_low_ohm": abs(low),
        "phase_low_deg": math.degrees(math.atan2(low.imag, low.real)),
        "frequency_low_hz": float(spectrum.frequency_hz[-1]),
    }
    if not math.isnan(spectrum.repeat_change):
        found["repeat_change"] = spectrum.repeat_change
    if len(spectrum) >= _FEWEST_POINTS:
        found["kk_residual"] = kk_residual(spectrum)
    for name in names:
        part = parse_at(name)
        if part is None:
            continue
        z = at(spectrum, part[1])
        if not math.isnan(z.real):
            found[name] = {
                "z": abs(z),
                "phase": math.degrees(math.atan2(z.imag, z.real)),
                "z_real": z.real,
                "z_imag": z.imag,
            }[part[0]]
    return found


def kk_residual(spectrum: Spectrum) -> float:
    """Largest relative residual of a linear Kramers-Kronig fit: a quick look, not the test of a single spectrum.

    R0 + sum Rk/(1 + jw tau_k) + a series capacitance, tau log-spaced over the measured range and an octave more,
    least squares weighted by 1/|Z| (Schoenleber 2014 without its search for the number of elements).
    """
    omega = 2 * math.pi * spectrum.frequency_hz
    count = round(_ELEMENTS_A_POINT * len(spectrum))
    tau = np.geomspace(1 / (_BEYOND * omega[0]), _BEYOND / omega[-1], count)
    columns = np.concatenate(
        [np.ones((len(omega), 1)), 1 / (1 + 1j * omega[:, None] * tau[None, :]), 1 / (1j * omega[:, None])], axis=1
    )
    modulus = np.abs(spectrum.z_ohm)
    columns = columns / modulus[:, None]
    target = spectrum.z_ohm / modulus
    # the capacitance's column is far larger than the others' where the frequency is low
    size = np.linalg.norm(columns, axis=0)
    stacked = np.concatenate([columns.real, columns.imag]) / size
    wanted = np.concatenate([target.real, target.imag])
    solution, *_ = np.linalg.lstsq(stacked, wanted, rcond=None)
    left = wanted - stacked @ solution
    half = len(omega)
    return float(np.hypot(left[:half], left[half:]).max())
