"""Whether a contact lasts, and whether it is ohmic: at zero current first, then with a small current both ways."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bridge.analysis.contact_proof import OhmicTest, Proof, judge, levels
from drivers.errors import InvalidValue, RunFailed, Unsupported
from drivers.interfaces import Potentiostat
from drivers.plain import to_plain
from drivers.techniques import CurrentSequence, OpenCircuit

from .parameters import MakeContact

#: Samples of a level of the ohmic test at least.
_LEVEL = 8


class Unstable(Exception):
    """The contact did not last, or is none; the text says why."""


@dataclass(frozen=True, slots=True)
class Verified:
    """`ohmic` is None where the test was not made, which `why_not` says."""

    ocv_v: float
    ocv_std_v: float | None
    ohmic: OhmicTest | None
    why_not: str

    def to_dict(self, p: MakeContact) -> dict[str, Any]:
        """For the result. `contact_resistance_ohm` is the loop's resistance less the cell's, as far as that is told."""
        values: dict[str, Any] = {"ocv_v": self.ocv_v, "ocv_std_v": self.ocv_std_v}
        test = self.ohmic
        if test is None:
            return values | {
                "contact_resistance_ohm": None,
                "ohmic_test": {"verdict": "not done", "reason": self.why_not},
            }
        values["loop_resistance_ohm"] = test.resistance_ohm
        values["contact_resistance_ohm"] = test.resistance_ohm - p.cell_resistance_ohm
        values["contact_resistance_uncertainty_ohm"] = test.uncertainty_ohm
        values["contact_resistance_includes"] = (
            "leads"
            if p.cell_resistance_ohm
            else "leads"
            if p.pad == "bare"
            else "leads, and the cell (cell_resistance_ohm takes it off)"
        )
        told = asdict(test) | {
            "capacitance_f": test.capacitance_f if math.isfinite(test.capacitance_f) else None,
            "current_a": p.test_current_a,
            "level_s": p.test_s,
            "levels": "0, +I, -I, 0",
        }
        values["ohmic_test"] = to_plain(told)
        return values


async def verify(potentiostat: Potentiostat, p: MakeContact, lead_v: float, stray_f: float) -> Verified:
    """`lead_v` is where the lead was before it touched. Raises `Unstable`; `RunFailed` if nothing can be read."""
    block = await potentiostat.collect(OpenCircuit(duration_s=p.verify_s, interval_s=p.interval_s))
    voltage = block["voltage_v"]
    if not len(voltage):
        raise RunFailed("no voltage could be read on the contact", device=potentiostat.name)
    if not np.isfinite(voltage).all() or not _is_contact(voltage, p, lead_v):
        raise Unstable(
            f"between {np.nanmin(voltage):.4g} V and {np.nanmax(voltage):.4g} V within {p.verify_s:g} s of touching"
        )
    std = float(voltage.std(ddof=1)) if len(voltage) > 1 else None
    ohmic, why_not = await _ohmic(potentiostat, p, stray_f, std or 0.0)
    if ohmic is not None and ohmic.verdict is not Proof.OHMIC:
        raise Unstable(f"the ohmic test says {ohmic.verdict}: {ohmic.reason}")
    return Verified(float(voltage.mean()), std, ohmic, why_not)


def _is_contact(voltage: Any, p: MakeContact, lead_v: float) -> bool:
    if float(np.ptp(voltage)) > p.steady_v:
        return False
    if p.contact_voltage_v is not None:
        # a small cell's voltage may have been pulled toward that of a lead that was held below it
        lowest = min(p.contact_voltage_v - p.tolerance_v, lead_v)
        return bool(((voltage >= lowest) & (voltage <= p.contact_voltage_v + p.tolerance_v)).all())
    if p.sense != "voltage":
        return True  # what is touched may be at no voltage; the ohmic test tells
    return bool((np.abs(voltage - lead_v) >= p.threshold_v).all())


async def _ohmic(
    potentiostat: Potentiostat, p: MakeContact, stray_f: float, noise_v: float
) -> tuple[OhmicTest | None, str]:
    """The test; or None, and why it was not made."""
    if not p.test_current_a:
        return None, "test_current_a is 0"
    if CurrentSequence.name not in potentiostat.capabilities.techniques:
        return None, "this instrument cannot do a sequence of currents"
    count = max(_LEVEL, round(p.test_s / p.interval_s))
    try:
        block = await potentiostat.collect(
            CurrentSequence(currents_a=levels(p.test_current_a, count), interval_s=p.interval_s)
        )
    except (InvalidValue, Unsupported) as error:
        return None, error.message
    voltage = block["voltage_v"]
    if len(voltage) != 4 * count or not np.isfinite(voltage).all():
        raise RunFailed(
            f"{len(voltage)} of {4 * count} samples of the ohmic test, or some that are no numbers",
            device=potentiostat.name,
        )
    began = block.attributes.get("sampled_from_s", p.interval_s)
    middle = 0.5 * (1.0 + min(1.0, max(0.0, float(began) / p.interval_s)))
    return judge(voltage, p.test_current_a, count, p.interval_s, stray_f, noise_v, middle), ""
