"""Positions, skip lists, and the map from design to stage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bridge.analysis.sheet.alignment import Alignment, align
from bridge.analysis.sheet.positions import from_csv, from_list, grid, name_of, parse_skip
from drivers.errors import InvalidValue
from tests.near import near


def test_a_grid_by_pitch_and_origin() -> None:
    cells = grid(2, 3, 5e-3, -4e-3, (1e-3, 2e-3))
    assert len(cells) == 6
    last = cells[-1]
    assert (last.row, last.column) == (1, 2)
    assert (last.x_m, last.y_m) == (near(11e-3), near(-2e-3))
    assert last.name == name_of((1, 2)) == "r1c2"
    with pytest.raises(InvalidValue, match="rows is 0"):
        grid(0, 3, 1e-3, 1e-3, (0, 0))
    with pytest.raises(InvalidValue, match="pitch_x is 0"):
        grid(1, 3, 0.0, 1e-3, (0, 0))


def test_a_list_and_a_file_say_the_same() -> None:
    listed = from_list([[0, 0, "1 mm", 0], [0, 1, "6 mm", "0.5 mm"]])
    assert from_csv("Row, column, x_mm, y_mm\n0,0,1,0\n0,1,6,0.5\n") == listed
    assert from_csv("row,column,x_m,y_m\n0,0,0.001,0\n0,1,0.006,0.0005\n") == listed
    with pytest.raises(InvalidValue, match="row 0, column 0 is there twice"):
        from_list([[0, 0, 0, 0], [0, 0, 1, 1]])
    with pytest.raises(InvalidValue, match="lacks the column 'y_m'"):
        from_csv("row,column,x_m\n0,0,0\n", "cells.csv")
    with pytest.raises(InvalidValue, match="no row or column"):
        from_list([[0.5, 0, 0, 0]])
    with pytest.raises(InvalidValue, match="no positions"):
        from_csv("row,column,x_m,y_m\n")


def test_skip_lists() -> None:
    cells = grid(4, 4, 1e-3, 1e-3, (0, 0))
    assert parse_skip(["r1c2", "R0"], cells) == {(1, 2), (0, 0), (0, 1), (0, 2), (0, 3)}
    assert parse_skip(["c3", "r2c0:r1c1"], cells) == {(r, 3) for r in range(4)} | {(1, 0), (1, 1), (2, 0), (2, 1)}
    for wrong in ("r9c9", "row 3", 7, "r1c1:r2"):
        with pytest.raises(InvalidValue, match="skip"):
            parse_skip([wrong], cells)


def test_three_marks_give_shift_rotation_scale_and_shear() -> None:
    turn = math.radians(-1.5)
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]) @ np.diag([1.001, 0.998])
    design = [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5)]
    seen = [tuple(matrix @ point + [0.02, -0.01]) for point in design]
    found = align(design, seen)
    assert found.rotation_deg == near(-1.5, rel=1e-9)
    assert found.scale == (near(1.001, rel=1e-9), near(0.998, rel=1e-9))
    assert found.shear_deg < 1e-9
    assert found.residual_m < 1e-12
    assert found.distortion_m > 1e-4  # 0.3 % of half a metre: the two scales differ
    x, y = found.apply(0.25, 0.3)
    assert found.invert(x, y) == (near(0.25, rel=1e-9), near(0.3, rel=1e-9))


def test_more_marks_show_a_residual_and_a_mirrored_stage_is_no_distortion() -> None:
    design = [(0.0, 0.0), (0.1, 0.0), (0.0, 0.1), (0.1, 0.1)]
    seen = [(-x, y) for x, y in design]
    assert align(design, seen).distortion_m < 1e-12
    seen[3] = (-0.1 + 40e-6, 0.1)
    assert align(design, seen).residual_m == near(10e-6, rel=1e-6)


def test_marks_in_a_line_are_refused() -> None:
    with pytest.raises(InvalidValue, match="lie in a line"):
        align([(0, 0), (1, 1), (2, 2)], [(0, 0), (1, 0), (0, 1)])
    with pytest.raises(InvalidValue, match="at least three"):
        align([(0, 0), (1, 1)], [(0, 0), (1, 0)])
    assert Alignment.identity().apply(1.0, 2.0) == (1.0, 2.0)
