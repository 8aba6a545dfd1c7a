"""Capacity as it was measured, and corrected for what did not go through the cell: contact gaps, lead, leak.

The charge on the lead is not the cell's: of a current that flows for dt, C dV stays on the lead's capacitance. While
the contact is open all of it does; when it closes again, C times the excess voltage goes into the cell at once. A leak
takes from a charge and adds to what a discharge has to take out (domain note, sections 0.3, 3).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from .health.contact import ContactGap


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of lead and leak. `stray_f` with its standard uncertainty; `leak_a` positive discharges the cell,
    `leak_uncertainty_a` is how far it may be off (95 %), None where nobody has looked."""

    stray_f: float = 0.0
    stray_uncertainty_f: float = 0.0
    leak_a: float = 0.0
    leak_uncertainty_a: float | None = None


@dataclass(frozen=True, slots=True)
class Capacity:
    """One step's charge in coulombs. `raw_c` is the integral of the current, unsigned, and the other parts are what was
    taken off it (negative ones were added): `corrected_c` = raw - open + returned - stray - leak.

    `open_c` flowed while the contact was open, `returned_c` of it came back when it closed. `stray_c` stayed on the
    lead. `leak_c` did not stay in the cell, or (negative) left it beside the discharge. `uncertainty_c` (95 %) has
    what is listed in `METHOD`; the leak's share of it is `leak_uncertainty_c`, None where nobody has looked.
    """

    raw_c: float
    open_c: float
    returned_c: float
    stray_c: float
    leak_c: float
    corrected_c: float
    uncertainty_c: float
    leak_uncertainty_c: float | None
    open_s: float
    gaps: int


METHOD = (
    "raw: integral of the measured current. Corrected: less the set current times the time in which the contact was "
    "open, plus C dV that came back when it closed, less C dV of the lead over the closed part, less leak times time. "
    "Uncertainty (95 %): half a sampling interval at each end of the step and of each gap, the lead's capacitance, and "
    "the leak's where it is known"
)


def corrected(
    raw_c: float,
    *,
    charging: bool,
    current_a: float,
    duration_s: float,
    voltage_change_v: float,
    interval_s: float,
    gaps: Iterable[ContactGap] = (),
    known: Known | None = None,
) -> Capacity:
    """`raw_c` unsigned; `current_a` and `duration_s` of the step (the mean current where it is not set);
    `voltage_change_v`, signed, over the part of the step in which the contact was closed at both ends."""
    known = known or Known()
    sign = 1.0 if charging else -1.0
    gaps = tuple(gaps)
    open_c = sum(sign * gap.open_c for gap in gaps)
    returned_c = sum(sign * gap.returned_c for gap in gaps)
    stray_c = sign * known.stray_f * voltage_change_v
    leak_c = sign * known.leak_a * duration_s
    swings = abs(voltage_change_v) + sum(abs(gap.excess_v) for gap in gaps)
    stray_doubt = 2.0 * known.stray_uncertainty_f * swings
    ends = abs(current_a) * interval_s / 2.0 * math.sqrt(1 + 2 * len(gaps))
    leak_doubt = None if known.leak_uncertainty_a is None else known.leak_uncertainty_a * duration_s
    return Capacity(
        raw_c=raw_c,
        open_c=open_c,
        returned_c=returned_c,
        stray_c=stray_c,
        leak_c=leak_c,
        corrected_c=raw_c - open_c + returned_c - stray_c - leak_c,
        uncertainty_c=math.hypot(ends, stray_doubt, leak_doubt or 0.0),
        leak_uncertainty_c=leak_doubt,
        open_s=sum(gap.to_s - gap.from_s for gap in gaps),
        gaps=len(gaps),
    )
