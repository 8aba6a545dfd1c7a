"""Cells by name.

Areal parameters of the LiCoO2/LiPON/Si nanobattery (domain note, section 7.2), turned from the field's units into SI.
The resistance of 130 Ohm cm2 of the note is split as section 6 has it: 50 for 1 um of LiPON with its 14.7 nF/cm2 and
80 for the interfaces with 2 uF/cm2; both are settled within a millisecond, so at one sample a second they are the
note's series resistance. On top comes a slow diffusion element of 4 Ohm cm2: 5 mV at 1.25 mA/cm2, within the note's
tolerance of 20 mV.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

UAH_PER_CM2 = 36.0
"""C/m2"""
OHM_CM2 = 1e-4
"""Ohm m2"""
F_PER_CM2 = 1e4
"""F/m2"""


@dataclass(frozen=True, slots=True)
class CellParameters:
    """One cell, per area. Charges in C/m2, resistances in Ohm m2, capacitances in F/m2.

    `cathode_c_per_m2` is the charge of one unit of the lithium fraction y; `anode_c_per_m2` fills the silicon. Of what
    is charged for the first time only `reversible_fraction` can come out again. `leak_ohm_m2` is in parallel with the
    cell, `short_ohm` (not per area) too. A cell that is not `alive` was shorted when it was made: nothing but its
    short is left. `hysteresis_c_per_m2` is the charge within which the anode goes from one branch of its potential to
    the other, and `hysteresis_rest_s` the time in which it forgets at rest. `warburg` counts in impedance only.
    `layers` cells of this kind are stacked in parallel on one pair of terminals: charges and conductances add, a short
    is still one short.
    """

    anode_c_per_m2: float = 65.3 * UAH_PER_CM2
    cathode_c_per_m2: float = 230.0 * UAH_PER_CM2
    lithium_fraction: float = 0.985
    anode: str = "silicon"
    series_ohm_m2: float = 0.0
    electrolyte_ohm_m2: float = 50.0 * OHM_CM2
    electrolyte_f_per_m2: float = 14.7e-9 * F_PER_CM2
    interface_ohm_m2: float = 80.0 * OHM_CM2
    interface_f_per_m2: float = 2e-6 * F_PER_CM2
    diffusion_ohm_m2: float = 4.0 * OHM_CM2
    diffusion_s: float = 300.0
    warburg_ohm_m2_per_sqrt_s: float = 0.0
    reversible_fraction: float = 1.0
    leak_ohm_m2: float = math.inf
    short_ohm: float = math.inf
    alive: bool = True
    fade_per_cycle: float = 0.0
    hysteresis_c_per_m2: float = 0.5 * UAH_PER_CM2
    hysteresis_rest_s: float = 3e4
    layers: int = 1


_NANOBATTERY = CellParameters()

_SHEET = CellParameters(
    anode="lithium",
    cathode_c_per_m2=1382.0 * UAH_PER_CM2,
    series_ohm_m2=0.5 * OHM_CM2,
    electrolyte_ohm_m2=75.0 * OHM_CM2,
    electrolyte_f_per_m2=9.8e-9 * F_PER_CM2,
    interface_ohm_m2=60.0 * OHM_CM2,
    interface_f_per_m2=2e-6 * F_PER_CM2,
    diffusion_ohm_m2=40.0 * OHM_CM2,
    diffusion_s=100.0,
    warburg_ohm_m2_per_sqrt_s=40.0 * OHM_CM2,
    hysteresis_c_per_m2=UAH_PER_CM2,
)

#: Of 150 cycles 95 % are left: 0.95^(1/150) (domain note, section 1.4).
_FADE = 3.42e-4

#: The leak of a preset is given for 1e-7 cm2 (10 um2).
_LEAK_AREA_M2 = 1e-11

PRESETS: dict[str, CellParameters] = {
    "good": replace(
        _NANOBATTERY,
        reversible_fraction=0.95,
        leak_ohm_m2=1e16 * _LEAK_AREA_M2,
        diffusion_ohm_m2=30.0 * OHM_CM2,
        fade_per_cycle=_FADE,
    ),
    "fig8a": replace(_NANOBATTERY, anode_c_per_m2=30.0 * UAH_PER_CM2),
    "fig8a_nominal": _NANOBATTERY,
    "fig8b": replace(_NANOBATTERY, anode_c_per_m2=130.0 * UAH_PER_CM2),
    "fig9": replace(_NANOBATTERY, reversible_fraction=0.35),
    "fig9_leak": replace(_NANOBATTERY, leak_ohm_m2=1.16e12 * _LEAK_AREA_M2),
    "fig10": replace(_NANOBATTERY, alive=False, short_ohm=10e9),
    "sheet": _SHEET,
    "sheet_fading": replace(_SHEET, fade_per_cycle=_FADE),
    "stack": replace(_SHEET, fade_per_cycle=_FADE, layers=6),
}

#: Events that belong to a preset (see `mocks.world.events`): Figure 8a has lost its contact at 150 s of the charge.
PRESET_EVENTS: dict[str, list[dict[str, object]]] = {
    "fig8a": [{"kind": "open", "at_s": 150.0, "for_s": 0.5, "since": "drive"}],
}

SHEET_AREA_M2 = 1e-5
"""0.1 cm2: the area for which the numbers of the `sheet` cell are known."""


def find_preset(name: str) -> CellParameters:
    """Parameters of a named cell. Raises `ValueError` that lists the names."""
    try:
        return PRESETS[name]
    except KeyError:
        raise ValueError(f"no cell named {name!r}; there are: {', '.join(sorted(PRESETS))}") from None
