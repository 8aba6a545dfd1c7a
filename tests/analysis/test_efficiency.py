"""Coulombic efficiency and its digits, against the leaks of the domain note (section 3)."""

from __future__ import annotations

import pytest

from bridge.analysis.efficiency import apparent_efficiency, coulombic_efficiency, supported_decimals
from tests.near import near


@pytest.mark.parametrize(
    ("leak_a", "current_a", "apparent"), [(1e-12, 25e-12, 0.923), (0.1e-12, 5e-12, 0.961), (0.1e-12, 125e-12, 0.9984)]
)
def test_a_leak_makes_a_perfect_cell_look_worse(leak_a: float, current_a: float, apparent: float) -> None:
    assert apparent_efficiency(current_a, leak_a) == near(apparent, abs=5e-4)


@pytest.mark.parametrize(
    ("leak_a", "current_a", "text"),
    [(1e-12, 25e-12, "0.92 ± 0.07"), (0.1e-12, 5e-12, "0.96 ± 0.04"), (0.1e-12, 125e-12, "0.998 ± 0.002")],
)
def test_no_more_digits_than_the_leak_check_supports(leak_a: float, current_a: float, text: str) -> None:
    """If all that is known is that the leak is no more than this, its whole effect is in doubt."""
    found = coulombic_efficiency(
        current_a * 1000.0,
        apparent_efficiency(current_a, leak_a) * current_a * 1000.0,
        time_s=1000.0 * (1 + apparent_efficiency(current_a, leak_a)),
        leak_uncertainty_a=leak_a,
    )
    assert found.text == text
    assert found.uncertainty == near(1 - apparent_efficiency(current_a, leak_a), rel=0.05)


def test_without_a_leak_check_no_uncertainty_is_claimed() -> None:
    found = coulombic_efficiency(4.5e-9, 4.4e-9, time_s=1800.0)
    assert (found.uncertainty, found.decimals) == (None, None)
    assert found.text == "about 0.98, no leak check"


def test_counting_limits_the_digits_too() -> None:
    """31 ms of timing on a 900 s step is 34 ppm (domain note, section 1.4): five digits and no more."""
    step_c = 5e-12 * 900
    found = coulombic_efficiency(
        step_c,
        step_c * 0.99966,
        charge_uncertainty_c=5e-12 * 0.031,
        discharge_uncertainty_c=5e-12 * 0.031,
        time_s=1800.0,
        leak_uncertainty_a=0.0,
    )
    assert found.uncertainty == near(34.4e-6 * 2**0.5, rel=0.01)
    assert found.text == "0.99966 ± 0.00005"


@pytest.mark.parametrize(
    ("uncertainty", "decimals"), [(0.5, 1), (0.1, 1), (0.096, 1), (0.094, 2), (0.0016, 3), (3.0, 0), (0.0, 7)]
)
def test_the_last_place_is_that_of_the_uncertainty_s_first_digit(uncertainty: float, decimals: int) -> None:
    assert supported_decimals(uncertainty) == decimals
