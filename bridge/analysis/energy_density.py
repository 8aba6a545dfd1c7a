"""Volumetric energy density of a thin-film cell, from its energy and the thickness of its layers.

All layers count, the steel substrate too; packaging does not. A cell whose anode is plated lithium grows while it is
charged, so an energy density needs the state of charge that it is for (domain note, section 1.4).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from drivers.errors import InvalidValue
from drivers.quantities import quantity

from .energy import wh

#: Ampere-hours by area that 1 m of dense LiCoO2 gives for half a lithium: 69.1 uAh/cm2 and um (domain note, 1.4).
LICOO2_AH_PER_M3 = 0.691e6
#: Thickness of plated lithium by charge and area: 4.85 um per mAh/cm2 (domain note, 1.4).
LITHIUM_M_PER_AH_PER_M2 = 4.85e-6 / 10.0

_LITRES_PER_M3 = 1000.0
_LAYER = re.compile(r"\s*(?P<name>.*?)\s*[:=]?\s*(?P<thickness>\d[\d.]*(?:[eE][+-]?\d+)?\s*[A-Za-zµ]+)\s*")

#: Longer text is no layer, and would keep the expression busy.
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a stack."""

    name: str
    thickness_m: float


def parse_layers(text: str) -> tuple[Layer, ...]:
    """ "steel 10 um, LiCoO2 10 um, LiPON 1.8 um" as layers. Raises `InvalidValue` naming what is no layer."""
    layers: list[Layer] = []
    for part in text.split(","):
        match = _LAYER.fullmatch(part) if len(part) <= _LONGEST else None
        if match is None:
            said = f"{part.strip()!r:.200}"
            raise InvalidValue(f"stack has {said}; layers such as 'steel 10 um, LiCoO2 10 um' are accepted")
        thickness = quantity(match["thickness"], "m", field=f"stack: {match['name'] or 'a layer'}")
        if not thickness > 0:
            raise InvalidValue(f"stack has {part.strip()!r}; a thickness above zero is accepted")
        layers.append(Layer(match["name"] or f"layer {len(layers) + 1}", thickness))
    return tuple(layers)


def thickness_m(layers: Sequence[Layer]) -> float:
    return sum(layer.thickness_m for layer in layers)


@dataclass(frozen=True, slots=True)
class EnergyDensity:
    """Wh/L of the bare stack. `discharged_wh_per_l` is for its thickness as made; `charged_wh_per_l` for the one with
    the lithium that the charge has plated, None where the anode is a host that takes it up."""

    thickness_m: float
    discharged_wh_per_l: float
    plated_m: float | None
    charged_wh_per_l: float | None


def energy_density(
    energy_j_per_m2: float, layers: Sequence[Layer], *, plated_ah_per_m2: float | None = None
) -> EnergyDensity:
    """Of a discharge that gave `energy_j_per_m2`. With `plated_ah_per_m2`, the charge that plates lithium, also for the
    charged state. Raises `InvalidValue` for a stack without thickness."""
    height = thickness_m(layers)
    if not height > 0:
        raise InvalidValue("the stack has no layers; give some such as 'steel 10 um, LiCoO2 10 um'")
    plated = None if plated_ah_per_m2 is None else plated_ah_per_m2 * LITHIUM_M_PER_AH_PER_M2
    per_area = wh(energy_j_per_m2) / _LITRES_PER_M3
    return EnergyDensity(height, per_area / height, plated, None if plated is None else per_area / (height + plated))
