"""Coulombic efficiency, with no more digits than what is known of the leak supports.

A leak takes part of the charging current and adds to the discharge, so the apparent efficiency of a perfect cell is
(I - Il) / (I + Il): 0.961 for 0.1 pA at 5 pA (domain note, section 3). How well the leak is known is therefore how well
the efficiency is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: More digits than this nobody measures.
_DECIMALS_MAX = 7


@dataclass(frozen=True, slots=True)
class Efficiency:
    """`value` with its uncertainty (95 %), and the text that may be printed: `decimals` places, or none where the
    uncertainty is not known (`decimals` None)."""

    value: float
    uncertainty: float | None
    decimals: int | None
    text: str


def apparent_efficiency(current_a: float, leak_a: float) -> float:
    """Of a cell without losses but a leak, at equal currents: (I - Il) / (I + Il)."""
    return (current_a - leak_a) / (current_a + leak_a)


def supported_decimals(uncertainty: float) -> int:
    """Decimal places of a number known to `uncertainty`: the last one is that of the uncertainty's first digit."""
    if not uncertainty > 0:
        return _DECIMALS_MAX
    first = math.floor(math.log10(uncertainty))
    if round(uncertainty / 10.0**first) >= 10:  # 0.096 is 0.1
        first += 1
    return min(max(0, -first), _DECIMALS_MAX)


def coulombic_efficiency(
    charge_c: float,
    discharge_c: float,
    *,
    charge_uncertainty_c: float = 0.0,
    discharge_uncertainty_c: float = 0.0,
    time_s: float = 0.0,
    leak_uncertainty_a: float | None = None,
) -> Efficiency:
    """Of one cycle whose charges are given, unsigned.

    `time_s` is the time under current, charge and discharge together, in which the leak may have been off by
    `leak_uncertainty_a`: it takes from the charge and adds to the discharge by the same, so both errors have one sign
    and are added, not squared. The uncertainties of the charges themselves are independent. `leak_uncertainty_a` None:
    nobody has looked, and no digit is supported.
    """
    value = discharge_c / charge_c
    if leak_uncertainty_a is None:
        return Efficiency(value, None, None, f"about {value:.2g}, no leak check")
    leak = leak_uncertainty_a * time_s / 2.0 * (1.0 + value) / charge_c
    counting = value * math.hypot(
        charge_uncertainty_c / charge_c, discharge_uncertainty_c / discharge_c if discharge_c else 0.0
    )
    uncertainty = math.hypot(leak, counting)
    decimals = supported_decimals(uncertainty)
    return Efficiency(
        value, uncertainty, decimals, f"{value:.{decimals}f} ± {max(uncertainty, 10.0**-decimals / 2):.{decimals}f}"
    )
