"""Values held to what `option` says of a field: limits, choices, kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from drivers.errors import InvalidValue
from drivers.fields import parse_fields
from drivers.interfaces import Options, option


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited(Options):
    current_a: float = option(1e-12, unit="A", above=0, at_most=1e-8, help="current")
    tilt_deg: float | None = option(None, unit="deg", at_least=0, at_most=54, help="tilt")
    times: int = option(3, at_least=1, at_most=20, help="how often")
    mode: str = option("quick", choices=("quick", "careful"), help="how")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"current_a": 0}, "option 'current_a' is 0 A; accepted: more than 0 A"),
        ({"current": "-1 pA"}, "option 'current_a' is -1e-12 A; accepted: more than 0 A"),
        ({"current": "11 nA"}, "option 'current_a' is 1.1e-08 A; accepted: at most 1e-08 A"),
        ({"tilt": "-1 deg"}, "option 'tilt_deg' is -1 deg; accepted: at least 0 deg"),
        ({"tilt": "1 rad"}, "option 'tilt_deg' is 57.2958 deg; accepted: at most 54 deg"),
        ({"times": 0}, "option 'times' is 0; accepted: at least 1"),
        ({"times": "21"}, "option 'times' is 21; accepted: at most 20"),
        ({"mode": "slow"}, "option 'mode' is 'slow'; accepted: quick, careful"),
    ],
)
def test_a_value_beyond_a_limit_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_fields(Limited, values)
    assert caught.value.message == message


def test_the_limits_themselves_are_accepted() -> None:
    parsed = parse_fields(Limited, {"current_a": 1e-8, "tilt_deg": 0, "times": 20, "mode": "careful"})
    assert parsed == Limited(current_a=1e-8, tilt_deg=0.0, times=20, mode="careful")
    assert parse_fields(Limited, {"tilt_deg": 54}).tilt_deg == 54
    assert parse_fields(Limited, {"times": 1}).times == 1


def test_what_may_be_left_out_has_no_limits() -> None:
    assert parse_fields(Limited, {"tilt_deg": None}).tilt_deg is None


def test_a_number_that_is_none_is_within_no_limit() -> None:
    with pytest.raises(InvalidValue):
        parse_fields(Limited, {"current_a": float("nan")})
    with pytest.raises(InvalidValue):
        parse_fields(Limited, {"current_a": float("inf")})
