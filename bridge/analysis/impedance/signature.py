"""What a spectrum's low end says at a glance: a short, an open lead, or a cell (domain note, section 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .kramers_kronig import Complexes, Floats

#: A short: phase below this, and Z' flat at low frequencies.
_SHORT_DEG = 1.0
_FLAT = 0.02


@dataclass(frozen=True, slots=True)
class Signature:
    """`kind` is short, open or cell; `resistance_ohm` of the short, else NaN."""

    kind: str
    resistance_ohm: float
    text: str


def signature(frequency_hz: Floats, z_ohm: Complexes) -> Signature:
    """By the lowest decade. A soft short of 100 kOhm beside a cell of 2 kOhm is invisible here: it takes a rest."""
    order = np.argsort(frequency_hz)
    f, z = frequency_hz[order], z_ohm[order]
    low = z[f <= 10 * f[0]]
    phase = math.degrees(math.atan2(low[0].imag, low[0].real))
    flat = float(np.ptp(low.real)) <= _FLAT * abs(low[0])
    if abs(phase) < _SHORT_DEG and flat and len(low) > 1:
        return Signature(
            "short",
            float(low[0].real),
            f"{low[0].real:.4g} Ohm, flat over the lowest decade, phase {phase:.2f} deg: a short",
        )
    if (np.degrees(np.angle(z)) < -85.0).all():
        return Signature("open", math.nan, "a bare capacitance over all frequencies: nothing is connected")
    return Signature("cell", math.nan, f"phase {phase:.1f} deg at {f[0]:.3g} Hz")
