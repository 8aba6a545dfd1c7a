"""Linear Kramers-Kronig test (Schoenleber, Klotz, Ivers-Tiffee 2014): is the spectrum of something linear and steady?

Z = R0 + sum Rk / (1 + j w tau_k) with tau spaced logarithmically from 1/w_max to 1/w_min, a series capacitance and
inductance beside it, least squares weighted by 1/|Z|. Elements are added until mu = 1 - sum|R < 0| / sum R >= 0 falls
below `c`: then they begin to fit noise.

`impedance` 1.7.1 has it too, but its `linKK` fails on NumPy 2 once there are ten elements, and its default c = 0.85
stops at 15 elements and 2.5 % on perfect data of a LiPON cell; c = 0.5 goes to 33 and 0.09 % (domain note, section 6).
Where the spectrum is one arc (a nanobattery beside its cable) that is not enough: with few elements their signs
alternate, mu falls at once, and of 378 perfect spectra of one arc 48 are left with more than 3 %. With at least three
elements a decade before mu is asked, none has more than 0.4 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Complexes = npt.NDArray[np.complex128]

#: Where to stop adding elements.
DEFAULT_C = 0.5
#: A spectrum passes with residuals of at most this (share of |Z|).
RMS_LIMIT, MAX_LIMIT = 0.01, 0.03
#: So many points are needed for a verdict.
FEWEST_POINTS = 7
#: So many elements a decade there are at least.
FEWEST_A_DECADE = 3.0
#: More elements than points fit anything.
_ELEMENTS_A_POINT = 1.0


@dataclass(frozen=True, slots=True)
class LinKK:
    """`residual_real` and `residual_imag` of shape (n,), as shares of |Z|, in the order of the frequencies given."""

    elements: int
    mu: float
    residual_real: Floats
    residual_imag: Floats
    verdict: str
    reason: str

    @property
    def residual(self) -> Floats:
        return np.hypot(self.residual_real, self.residual_imag)

    @property
    def rms(self) -> float:
        return float(np.sqrt(np.mean(self.residual**2))) if len(self.residual_real) else math.nan

    @property
    def max(self) -> float:
        return float(self.residual.max()) if len(self.residual_real) else math.nan


def lin_kk(
    frequency_hz: Floats, z_ohm: Complexes, c: float = DEFAULT_C, fewest_a_decade: float = FEWEST_A_DECADE
) -> LinKK:
    """The test; verdict pass, fail or inconclusive (too few points)."""
    n = len(frequency_hz)
    if n < FEWEST_POINTS:
        empty = np.empty(0)
        return LinKK(0, math.nan, empty, empty, "inconclusive", f"{n} points; {FEWEST_POINTS} are needed")
    omega = 2 * np.pi * frequency_hz
    weight = 1 / np.abs(z_ohm)
    elements, mu = 1, 1.0
    left = np.zeros(2 * n)
    most = max(3, round(_ELEMENTS_A_POINT * n))
    fewest = round(fewest_a_decade * float(np.log10(omega.max() / omega.min())))
    for elements in range(min(max(2, fewest), most), most + 1):
        left, resistances = _fit(omega, z_ohm, weight, elements)
        positive = float(resistances[resistances >= 0].sum())
        mu = 1 - float(-resistances[resistances < 0].sum()) / positive if positive else -math.inf
        if mu < c:
            break
    real, imag = left[:n], left[n:]
    found = LinKK(elements, mu, real, imag, "", "")
    worst = int(np.argmax(found.residual))
    words = (
        f"residual {found.rms:.2%} rms, {found.max:.2%} at most, at {frequency_hz[worst]:.3g} Hz ({elements} elements)"
    )
    passed = found.rms <= RMS_LIMIT and found.max <= MAX_LIMIT
    limits = "" if passed else f"; {RMS_LIMIT:.0%} rms and {MAX_LIMIT:.0%} at most are accepted"
    return LinKK(elements, mu, real, imag, "pass" if passed else "fail", words + limits)


def _fit(omega: Floats, z_ohm: Complexes, weight: Floats, elements: int) -> tuple[Floats, Floats]:
    """(relative residuals, real parts then imaginary ones; the resistances) for so many elements."""
    tau = np.geomspace(1 / omega.max(), 1 / omega.min(), elements)
    columns = np.concatenate(
        [
            np.ones((len(omega), 1)),
            1 / (1 + 1j * omega[:, None] * tau[None, :]),
            1 / (1j * omega[:, None]),
            1j * omega[:, None],
        ],
        axis=1,
    )
    weighted = columns * weight[:, None]
    target = z_ohm * weight
    stacked = np.concatenate([weighted.real, weighted.imag])
    wanted = np.concatenate([target.real, target.imag])
    size = np.linalg.norm(stacked, axis=0)  # capacitance and inductance differ by many orders of magnitude
    solution, *_ = np.linalg.lstsq(stacked / size, wanted, rcond=None)
    left = wanted - (stacked / size) @ solution
    return np.asarray(left, dtype=np.float64), np.asarray((solution / size)[1 : 1 + elements], dtype=np.float64)
