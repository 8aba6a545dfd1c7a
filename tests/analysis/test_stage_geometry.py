"""Geometry and paths of the stage: worked numbers, and the path's order and sides."""

from __future__ import annotations

import math

import pytest

from bridge.analysis.stage_geometry import StageModel, displacement, kept_in_place, rotated
from bridge.analysis.stage_path import ORDER, check_path, legs, parse_order
from drivers.errors import InvalidValue
from drivers.interfaces import StagePosition
from tests.near import near

MODEL = StageModel(rotation_centre_x_m=0.060, rotation_centre_y_m=0.065)
HOME = StagePosition(0.0612, 0.0655, 0.030, 0.0, 0.0)


def test_a_feature_100_um_high_tilted_to_52_degrees() -> None:
    there = kept_in_place(MODEL, HOME, tilt_deg=52.0, height_m=100e-6)
    assert there.y_m - HOME.y_m == near(78.80e-6, abs=0.01e-6)
    assert there.z_m - HOME.z_m == near(-38.43e-6, abs=0.01e-6)
    assert there.x_m == HOME.x_m
    assert displacement(MODEL, HOME, there, 100e-6) == near((0.0, 0.0, 0.0), abs=1e-15)
    alone = kept_in_place(MODEL, HOME, tilt_deg=52.0, height_m=100e-6, keep_height=False)
    assert alone.y_m - HOME.y_m == near(127.99e-6, abs=0.01e-6)
    assert alone.z_m == HOME.z_m
    x, y, z = displacement(MODEL, HOME, alone, 100e-6)
    assert (x, y) == near((0.0, 0.0), abs=1e-15)
    assert z == near(100e-6 * (1 / math.cos(math.radians(52)) - 1), abs=1e-12)


def test_left_alone_it_goes_away() -> None:
    tilted = StagePosition(HOME.x_m, HOME.y_m, HOME.z_m, 52.0, 0.0)
    assert displacement(MODEL, HOME, tilted, 100e-6)[1] == near(-78.80e-6, abs=0.01e-6)
    assert displacement(MODEL, HOME, tilted, 0.0) == near((0.0, 0.0, 0.0), abs=1e-15), "eucentric: it stays"


def test_half_a_turn_goes_through_the_axis() -> None:
    there = kept_in_place(MODEL, HOME, rotation_deg=180.0)
    assert (there.x_m, there.y_m) == near((2 * 0.060 - 0.0612, 2 * 0.065 - 0.0655), abs=1e-15)
    assert kept_in_place(MODEL, there, rotation_deg=0.0).x_m == near(HOME.x_m, abs=1e-15)


@pytest.mark.parametrize("keep_height", [True, False])
def test_any_tilt_and_rotation_together(keep_height: bool) -> None:
    start = kept_in_place(MODEL, HOME, tilt_deg=20.0, height_m=-40e-6)
    there = kept_in_place(MODEL, start, tilt_deg=52.0, rotation_deg=137.0, height_m=-40e-6, keep_height=keep_height)
    x, y, _ = displacement(MODEL, start, there, -40e-6)
    assert (x, y) == near((0.0, 0.0), abs=1e-15)


def test_a_tool_that_counts_the_other_way() -> None:
    other = StageModel(rotation_centre_x_m=0.060, rotation_centre_y_m=0.065, rotation_sense=-1, tilt_sense=-1)
    there = kept_in_place(other, HOME, rotation_deg=90.0)
    same = kept_in_place(MODEL, HOME, rotation_deg=-90.0)
    assert (there.x_m, there.y_m) == near((same.x_m, same.y_m), abs=1e-15)
    assert kept_in_place(other, HOME, tilt_deg=52.0, height_m=1e-4).y_m == near(HOME.y_m - 78.80e-6, abs=1e-8)


def test_quarter_turns_are_exact() -> None:
    assert [rotated((1.0, 0.0), turn) for turn in (90, 180, 270, -90)] == [(0, 1), (-1, 0), (0, -1), (0, -1)]


def test_the_order_of_axes() -> None:
    target = StagePosition(0.05, 0.05, 0.028, 52.0, 180.0)
    start = StagePosition(0.0612, 0.0655, 0.030, 52.0, 0.0)
    path = legs(start, target, clear_z_m=0.020, backlash_m=1e-4, backlash_deg=2.0)
    assert [leg.why for leg in path] == [
        "z-down",
        "untilt",
        "take up the play",
        "rotation",
        "take up the play",
        "xy",
        "z-up",
        "tilt",
    ]
    assert path[0].axes == {"z_m": 0.020}
    assert path[2].axes == {"rotation_deg": 178.0}
    assert path[4].axes == {"x_m": near(0.0499), "y_m": near(0.0499)}, "from below, whichever way it came"
    assert path[-1].axes == {"tilt_deg": 52.0}


def test_down_comes_first_and_up_after_the_rest() -> None:
    down = legs(HOME, StagePosition(0.05, 0.0655, 0.010, 0.0, 0.0))
    assert [leg.why for leg in down] == ["z-down", "xy"]
    up = legs(HOME, StagePosition(0.05, 0.0655, 0.035, 10.0, 0.0))
    assert [leg.why for leg in up] == ["xy", "z-up", "tilt"]
    turned_round = legs(HOME, StagePosition(0.05, 0.0655, 0.035, 0.0, 0.0), z_down=1)
    assert [leg.why for leg in turned_round] == ["z-down", "xy"]
    assert legs(HOME, HOME) == []


def test_an_order_of_ones_own() -> None:
    assert parse_order("tilt, xy, z-down, rotation, z-up, untilt")[0] == "tilt"
    with pytest.raises(InvalidValue, match="each of z-down, untilt"):
        parse_order("tilt, xy")
    assert parse_order(", ".join(ORDER)) == ORDER


def test_limits_hold_on_the_way_too() -> None:
    path = legs(HOME, StagePosition(0.0, 0.0655, 0.030, 0.0, 0.0), backlash_m=1e-4)
    with pytest.raises(InvalidValue, match=r"x_m would be -0\.0001 m on the way \(take up the play\)"):
        check_path(path, {"x_m": (0.0, 0.1)})
