"""The lead brought to a voltage before it touches: by small constant currents into its own capacitance.

A galvanostat that ends at a voltage is used rather than a potentiostat that holds it: nothing of low impedance is ever
on the lead, a contact that comes too early gets no more than current times time, and the ramp tells the capacitance.
Afterwards the lead is looked at with no current, and keeps its charge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from drivers.errors import InvalidValue, Refused
from drivers.interfaces import Potentiostat
from drivers.samples import EndReason, SampleBlock
from drivers.techniques import Galvanostatic

from .parameters import MakeContact

#: Ramps, each with this share of the current: each stops within a tenth of what the one before would overshoot.
_SHARES = (1.0, 0.1, 0.01)
#: Near enough.
_NEAR_V = 2e-3
#: A ramp may take this much longer than the lead's assumed capacitance needs.
_PATIENCE = 4.0
#: A ramp gives the capacitance if the voltage rose by at least this much.
_LEAST_V = 0.1


class LeadHeld(Refused):
    """The lead does not follow the current as its capacitance alone would."""


@dataclass(frozen=True, slots=True)
class Lead:
    """`capacitance_f` is None where no ramp was long enough to tell it. `charge_c` is what was put onto the lead."""

    voltage_v: float
    capacitance_f: float | None
    charge_c: float


async def charge_lead(potentiostat: Potentiostat, p: MakeContact, now_v: float, target_v: float) -> Lead:
    """From `now_v` to `target_v`; the tip must not touch. Raises `LeadHeld` if the lead does not follow.

    An instrument that cannot set the finer currents leaves the lead where the coarser ones brought it.
    """
    voltage, capacitance, charge = now_v, None, 0.0
    for share in _SHARES:
        current = share * p.precharge_current_a
        # The ramp aims short of the target by what a sample may overshoot; the next one does the rest.
        short = 1.5 * current * p.interval_s / p.stray_f if share != _SHARES[-1] else 0.0
        missing = abs(target_v - voltage) - short
        if missing < _NEAR_V:
            continue
        sign = math.copysign(1.0, target_v - voltage)
        goal = target_v - sign * short
        try:
            block = await _ramp(potentiostat, p, sign * current, goal, missing)
        except InvalidValue:
            if share == _SHARES[0]:
                raise
            break
        voltage = float(block["voltage_v"][-1])
        charge += sign * current * float(block["time_s"][-1])
        capacitance = capacitance or _capacitance(block, sign * current)
    return Lead(voltage, capacitance, charge)


async def _ramp(
    potentiostat: Potentiostat, p: MakeContact, current_a: float, goal_v: float, missing_v: float
) -> SampleBlock:
    duration = _PATIENCE * missing_v * p.stray_f / abs(current_a) + 10 * p.interval_s
    block = await potentiostat.collect(
        Galvanostatic(
            current_a=current_a,
            duration_s=duration,
            interval_s=p.interval_s,
            voltage_max_v=goal_v if current_a > 0 else None,
            voltage_min_v=goal_v if current_a < 0 else None,
        )
    )
    if block.end not in (EndReason.VOLTAGE_MAX, EndReason.VOLTAGE_MIN) or not len(block):
        reached = float(block["voltage_v"][-1]) if len(block) else math.nan
        raise LeadHeld(
            f"the lead does not follow: at {current_a:g} A for {duration:.3g} s it came to {reached:.4g} V "
            f"instead of {goal_v:.4g} V",
            device=potentiostat.name,
            hint="It touches something already, leaks, or has more capacitance than stray_f says. "
            "Draw the tip back and look at route and cable.",
        )
    return block


def _capacitance(block: SampleBlock, current_a: float) -> float | None:
    """Current over the slope of the ramp."""
    time, voltage = block["time_s"], block["voltage_v"]
    if len(time) < 4 or abs(float(voltage[-1] - voltage[0])) < _LEAST_V:
        return None
    slope = float(np.polyfit(time[1:], voltage[1:], 1)[0])
    return current_a / slope if slope * current_a > 0 else None
