from __future__ import annotations

import math

import pytest

from bridge.analysis.formatting import area, duration, percent, si, with_uncertainty


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.02e-12, "A", "1.02 pA"),
        (1e-12, "A", "1 pA"),
        (-5e-12, "A", "-5 pA"),
        (0.5, "A/m2", "50 uA/cm2"),
        (12.5, "A/m2", "1.25 mA/cm2"),
        (0.125, "Ah/m2", "12.5 uAh/cm2"),
        (9.996e-13, "A", "1 pA"),
        (9.99e-13, "A", "999 fA"),
        (1e10, "Ohm", "10 GOhm"),
        (4.2, "V", "4.2 V"),
        (0.0, "A", "0 A"),
        (math.nan, "A", "unknown"),
        (None, "A", "unknown"),
        (math.inf, "Ohm", "infinite"),
        (1e-21, "A", "0.001 aA"),
    ],
)
def test_numbers_as_people_say_them(value: float | None, unit: str, text: str) -> None:
    assert si(value, unit) == text


def test_uncertainty_gives_the_digits() -> None:
    assert with_uncertainty(1.00213e-12, 4.76e-15, "A") == "(1.0021 ± 0.0048) pA"
    assert with_uncertainty(1.05e-11, 9e-13, "A") == "(10.50 ± 0.90) pA"
    assert with_uncertainty(1e-12, math.inf, "A") == "1 pA"


def test_areas_durations_percent() -> None:
    assert area(1e-11) == "10 um2"
    assert area(1e-5) == "0.1 cm2"
    assert duration(303.5) == "303.5 s"
    assert duration(900) == "15 min 0 s"
    assert duration(7500) == "2 h 5 min"
    assert percent(0.343) == "34.3 %"
