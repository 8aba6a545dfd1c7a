"""Energy, and volumetric energy density against the figures of the anodeless cell (domain note, section 1.4)."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.analysis.energy import energies, ratio, wh
from bridge.analysis.energy_density import LICOO2_AH_PER_M3, energy_density, parse_layers, thickness_m
from drivers.errors import InvalidValue
from tests.near import near

#: 2.538 mWh/cm2 in J/m2
ENERGY_J_PER_M2 = 2.538e-3 * 3600 * 1e4


def stack(steel_um: float) -> str:
    """r of the note: 10 um of LiCoO2 and 1.83 um of electrolyte and collector."""
    return f"steel {steel_um} um, LiCoO2 10 um, LiPON and Cu 1.83 um"


@pytest.mark.parametrize(("steel_um", "expected"), [(10, 1163), (25, 689), (50, 411), (75, 292), (100, 227)])
def test_energy_density_falls_with_the_steel(steel_um: float, expected: float) -> None:
    found = energy_density(ENERGY_J_PER_M2, parse_layers(stack(steel_um)))
    assert found.discharged_wh_per_l == near(expected, rel=2e-3)
    assert found.charged_wh_per_l is None


def test_all_of_the_cathode_at_3_9_v_is_1232_wh_per_l() -> None:
    energy = LICOO2_AH_PER_M3 * 10e-6 * 3.9 * 3600
    assert energy_density(energy, parse_layers(stack(10))).discharged_wh_per_l == near(1232, rel=3e-3)


def test_plated_lithium_makes_the_charged_cell_thicker() -> None:
    """0.651 mAh/cm2 plate 3.2 um; the charged cell has about 1016 Wh/L."""
    found = energy_density(ENERGY_J_PER_M2, parse_layers(stack(10)), plated_ah_per_m2=6.51)
    assert found.plated_m == near(3.2e-6, rel=0.02)
    assert found.charged_wh_per_l == near(1016, rel=1e-3)


def test_layers_are_read_as_people_write_them() -> None:
    layers = parse_layers("SS: 10 um, LiCoO2=10um, 1.8 µm")
    assert [layer.name for layer in layers] == ["SS", "LiCoO2", "layer 3"]
    assert thickness_m(layers) == near(21.8e-6)


@pytest.mark.parametrize("text", ["steel", "steel 10 V", "steel 0 um", "", "steel 10 um,"])
def test_what_is_no_layer_is_named(text: str) -> None:
    with pytest.raises(InvalidValue, match="stack"):
        parse_layers(text)


def test_energy_is_the_integral_of_the_power() -> None:
    """5 pA for 900 s at 3.6 V is 1.25 pAh and 4.5 pWh; then the same way out at 3.4 V."""
    time = np.arange(0.0, 901.0)
    into, out = energies(time, np.full(901, 3.6), np.full(901, 5e-12))
    assert (wh(into), out) == (near(4.5e-12), 0.0)
    back = energies(time, np.full(901, 3.4), np.full(901, -5e-12))
    assert ratio(back[1], into) == near(3.4 / 3.6)
    assert ratio(None, 1.0) is None
    assert ratio(1.0, 0.0) is None
