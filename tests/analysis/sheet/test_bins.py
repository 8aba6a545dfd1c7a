"""Rules, bins, limits: from data, never from the program."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bridge.analysis.sheet import bins as bin_tables
from bridge.analysis.sheet import limits as limit_tables
from bridge.analysis.sheet.bins import frequencies_of, parse_at
from bridge.analysis.sheet.rules import parse_rule
from drivers.errors import InvalidValue
from tests.near import near

#: the domain note's bins, section 6, in its order; its numbers of a short from section 4
BINS = """
[[bin]]
soft = 8
hard = 8
name = "contact fail"
when = "z_100khz_ohm > 5000"
retest = true
[[bin]]
soft = 7
hard = 8
when = "repeat_change > 0.02"
retest = true
[[bin]]
soft = 3
hard = 3
when = "ocv_v < ocv_v.low and (abs(phase_0p1hz_deg) < 1 or z_0p1hz_ohm < r_min_ohm)"
[[bin]]
soft = 4
hard = 3
when = "z_1khz_ohm > 3000"
[[bin]]
soft = 5
hard = 3
when = "ocv_drop_v > 1e-3"
[[bin]]
soft = 6
hard = 3
when = "not ocv_v.low <= ocv_v <= ocv_v.high"
[[bin]]
soft = 2
hard = 2
when = "z_1khz_ohm > 1300"
pass = true
[[bin]]
soft = 1
hard = 1
when = "true"
pass = true
"""
LIMITS = '[limits.ocv_v]\nlow = "300 mV"\nhigh = "400 mV"\n[constants]\nr_min_ohm = 1000\n'


@pytest.mark.parametrize(
    ("values", "soft"),
    [
        ({"ocv_v": 0.0, "z_100khz_ohm": 16e3}, 8),
        ({"ocv_v": 0.35, "repeat_change": 0.05}, 7),
        ({"ocv_v": 0.0, "z_0p1hz_ohm": 9.95, "phase_0p1hz_deg": -0.08}, 3),  # 10 Ohm
        ({"ocv_v": 0.05, "z_0p1hz_ohm": 663.0, "phase_0p1hz_deg": -5.2}, 3),  # 1 kOhm
        ({"ocv_v": 0.33, "z_0p1hz_ohm": 1890.0, "phase_0p1hz_deg": -14.9, "ocv_drop_v": 2e-3}, 5),  # 100 kOhm
        ({"ocv_v": 0.35, "z_1khz_ohm": 1e6}, 4),
        ({"ocv_v": 0.43, "z_1khz_ohm": 1181.0}, 6),
        ({"ocv_v": 0.35, "z_1khz_ohm": 1400.0}, 2),
        ({"ocv_v": 0.35, "z_1khz_ohm": 1181.0}, 1),
    ],
)
def test_the_first_rule_that_holds_decides(values: dict[str, float], soft: int) -> None:
    table, limits = bin_tables.loads(BINS), limit_tables.loads(LIMITS)
    table.check(limits)
    assert table.classify({**limits.values(), **values}).soft == soft


def test_what_was_not_measured_is_neither_above_nor_below() -> None:
    assert not parse_rule("x < 1")({})
    assert not parse_rule("x >= 1")({"x": math.nan})
    assert parse_rule("not measured(x) or x > 1")({})
    assert parse_rule("1 < x + 2 * y <= 4 and -x < 0")({"x": 1.0, "y": 0.5})
    assert not parse_rule("x / y > 0")({"x": 1.0, "y": 0.0})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ocv_v",
        "ocv_v = 1",
        "__import__('os')",
        "x.__class__ < 1",
        "f(x) > 1",
        "x < 'a'",
        "[1] < 2",
        "x if y else z",
    ],
)
def test_what_is_no_condition_is_refused_and_never_run(text: str) -> None:
    with pytest.raises(InvalidValue, match="rule"):
        parse_rule(text)


def test_quantities_at_frequencies_name_them() -> None:
    assert parse_at("z_1khz_ohm") == ("z", 1000.0)
    assert parse_at("phase_0p1hz_deg") == ("phase", 0.1)
    assert parse_at("z_imag_100mhz_ohm") == ("z_imag", near(0.1))
    assert parse_at("ocv_v") is None
    assert frequencies_of(["z_1khz_ohm", "phase_10hz_deg", "z_real_10hz_ohm"]) == (1000.0, 10.0)


def test_a_name_that_is_nothing_is_refused_with_what_there_is() -> None:
    table = bin_tables.loads(
        '[[bin]]\nsoft = 1\nhard = 1\nwhen = "ocvv < 1"\npass = true\n[[bin]]\nsoft=2\nhard=2\nwhen="true"'
    )
    with pytest.raises(InvalidValue, match=r"bin 1 \(bin 1\): 'ocvv' is not known; quantities: .*ocv_v"):
        table.check(limit_tables.loads(LIMITS))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"no \[\[bin\]\]"),
        ('[[bin]]\nsoft=1\nhard=1\nwhen="true"', "no bin has pass = true"),
        ('[[bin]]\nsoft=1\nhard=1\nwhen="x < 1"\npass=true', "accepted: 'true'"),
        ('[[bin]]\nsoft=1\nhard=1\nwhen="true"\npass=true\n[[bin]]\nsoft=1\nhard=1\nwhen="true"', "is there twice"),
        ('[[bin]]\nsoft=-1\nhard=1\nwhen="true"\npass=true', "soft is -1; accepted: a whole number from 0 to 32767"),
        ('[[bin]]\nsoft=1\nhard=1\nif="true"\npass=true', "'if' is not known"),
        ("[[bin]", "is not TOML"),
    ],
)
def test_a_wrong_table_of_bins_is_told(text: str, told: str) -> None:
    with pytest.raises(InvalidValue, match=told):
        bin_tables.loads(text)


def test_limits_from_the_sheet_are_median_and_mad_and_read_back_to_the_bit() -> None:
    limits = limit_tables.loads("[robust.ocv_v]\nk = 6\n[robust.z_1khz_ohm]\nk_low = 3\nk_high = 9\nfloor = '50 ohm'\n")
    assert limits.missing == ("ocv_v", "z_1khz_ohm")
    ocv = np.array([0.34, 0.35, 0.36, 0.35, 0.33, 0.37, 0.35, 0.0, np.nan, 0.355])
    made = limits.completed({"ocv_v": ocv, "z_1khz_ohm": np.full(10, 1181.0)}, {"sheet": "S1"})
    median, mad = 0.35, 0.01
    assert made.limits["ocv_v"].low == near(median - 6 * mad)
    assert made.limits["ocv_v"].high == near(median + 6 * mad)
    assert (made.limits["z_1khz_ohm"].low, made.limits["z_1khz_ohm"].high) == (1131.0, 1231.0)
    assert made.provenance["ocv_v"]["cells"] == 9
    again = limit_tables.loads(limit_tables.dumps(made))
    assert again.limits == made.limits
    assert again.missing == ()
    assert again.provenance["ocv_v"]["sheet"] == "S1"


def test_too_few_cells_make_no_limit() -> None:
    limits = limit_tables.loads("[robust.ocv_v]\nk = 6\n")
    with pytest.raises(InvalidValue, match="only 7 cells have a value; at least 8"):
        limits.completed({"ocv_v": np.ones(7)}, {})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[limits.ocv_v]\nlow = 2\nhigh = 1\n", "low 2 is not below high 1"),
        ("[limits.ocv_v]\nlow = '3 A'\n", "limits.ocv_v.low is '3 A'"),
        ("[robust.ocv_v]\nfloor = 1\n", "accepted: k, or both, above 0"),
        ("[robust.ocv_v]\nk = 'six'\n", "robust.ocv_v.k"),
        ("[limit.ocv_v]\nlow = 1\n", "'limit' is not known; accepted: limits, robust"),
    ],
)
def test_wrong_limits_are_told(text: str, told: str) -> None:
    with pytest.raises(InvalidValue, match=told):
        limit_tables.loads(text)
