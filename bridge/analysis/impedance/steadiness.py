"""Did the cell change while its spectrum was taken? Kramers-Kronig does not see a slow drift: +15 % leaves under 2 %.

So the first frequency is measured once more at the end, and the open-circuit voltage before and after.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bridge.analysis.formatting import si

#: A spectrum whose first point came back within this has not drifted (domain note, section 6).
ACCEPTED = 0.02


@dataclass(frozen=True, slots=True)
class Steadiness:
    """`change` is of |Z| between first and last, as a share; `ocv_change_v` NaN where it was not measured."""

    frequency_hz: float
    change: float
    ocv_change_v: float
    steady: bool
    text: str


def steadiness(
    frequency_hz: float,
    first_ohm: complex,
    again_ohm: complex,
    ocv_before_v: float = math.nan,
    ocv_after_v: float = math.nan,
) -> Steadiness:
    """The change at the frequency that was measured first and last."""
    change = abs(again_ohm - first_ohm) / abs(first_ohm)
    steady = change <= ACCEPTED
    text = f"|Z| at {frequency_hz:.4g} Hz changed by {change:.2%} over the spectrum"
    ocv_change = ocv_after_v - ocv_before_v
    if math.isfinite(ocv_change):
        text += f", the open-circuit voltage by {si(ocv_change, 'V', 2)}"
    if not steady:
        text += f"; at most {ACCEPTED:.0%} is accepted: let the cell rest, or measure faster"
    return Steadiness(frequency_hz, change, ocv_change, steady, text)
