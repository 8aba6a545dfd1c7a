"""From the sheet's design coordinates to those of the stage, by marks that were found with the microscope.

Three marks fix an affine map (shift, rotation, two scales, shear) exactly, so its own residual says nothing. What does
is how far the marks are from a plain shift and rotation with one scale: a sheet of steel neither shears nor stretches
by much, a mark that was mistaken does both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from drivers.errors import InvalidValue

Floats = npt.NDArray[np.float64]
Point = tuple[float, float]

#: marks whose triangle is thinner than this (height over longest side) do not fix an orientation
_THINNEST = 0.02


@dataclass(frozen=True, slots=True)
class Alignment:
    """seen = matrix @ design + offset; `matrix` has shape (2, 2), `offset_m` shape (2,).

    `residual_m` is the root mean square distance of the marks from the affine map (0 with three marks),
    `distortion_m` the largest one from the best shift, rotation and single scale.
    """

    matrix: Floats
    offset_m: Floats
    residual_m: float = 0.0
    distortion_m: float = 0.0
    marks: int = 0

    @staticmethod
    def identity() -> Alignment:
        return Alignment(np.eye(2), np.zeros(2))

    def apply(self, x_m: float, y_m: float) -> Point:
        """Design to stage."""
        matrix, offset = self.matrix, self.offset_m
        return (
            float(matrix[0, 0] * x_m + matrix[0, 1] * y_m + offset[0]),
            float(matrix[1, 0] * x_m + matrix[1, 1] * y_m + offset[1]),
        )

    def invert(self, x_m: float, y_m: float) -> Point:
        """Stage to design."""
        found = np.linalg.solve(self.matrix, np.array([x_m, y_m]) - self.offset_m)
        return float(found[0]), float(found[1])

    @property
    def rotation_deg(self) -> float:
        """Of the x axis, counter-clockwise."""
        return math.degrees(math.atan2(self.matrix[1, 0], self.matrix[0, 0]))

    @property
    def scale(self) -> Point:
        """Along design x and y."""
        return float(np.hypot(*self.matrix[:, 0])), float(np.hypot(*self.matrix[:, 1]))

    @property
    def shear_deg(self) -> float:
        """By how much the axes are off a right angle."""
        x, y = self.matrix[:, 0], self.matrix[:, 1]
        cosine = abs(float(x @ y)) / (float(np.hypot(*x)) * float(np.hypot(*y)))
        return math.degrees(math.asin(min(1.0, cosine)))

    def describe(self) -> dict[str, object]:
        """For the result."""
        return {
            "matrix": self.matrix,
            "offset_m": self.offset_m,
            "rotation_deg": self.rotation_deg,
            "scale_x": self.scale[0],
            "scale_y": self.scale[1],
            "shear_deg": self.shear_deg,
            "residual_m": self.residual_m,
            "distortion_m": self.distortion_m,
            "marks": self.marks,
            "method": "affine, least squares; distortion: largest distance of a mark from shift, rotation, one scale",
        }


def align(design_m: Sequence[Point], seen_m: Sequence[Point]) -> Alignment:
    """The affine map of three or more marks, least squares. Raises `InvalidValue` for fewer, or marks in a line."""
    if len(design_m) != len(seen_m) or len(design_m) < 3:
        raise InvalidValue(f"{len(design_m)} marks with {len(seen_m)} found positions; at least three are needed")
    design, seen = np.asarray(design_m, dtype=float), np.asarray(seen_m, dtype=float)
    for what, points in (("design", design), ("found", seen)):
        spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
        if spread[0] == 0 or spread[1] < _THINNEST * spread[0]:
            raise InvalidValue(
                f"the {what} positions of the marks lie in a line: {points.tolist()}",
                hint="Take marks that span a triangle, such as three corners of the sheet.",
            )
    columns = np.column_stack([design, np.ones(len(design))])
    solution, *_ = np.linalg.lstsq(columns, seen, rcond=None)
    residual = columns @ solution - seen
    return Alignment(
        matrix=solution[:2].T.copy(),
        offset_m=solution[2].copy(),
        residual_m=float(np.sqrt((residual**2).sum(axis=1).mean())),
        distortion_m=_distortion(design, seen),
        marks=len(design),
    )


def _distortion(design: Floats, seen: Floats) -> float:
    """Largest distance of a mark from the best similarity (Umeyama 1991), a mirrored sheet included."""
    centred, target = design - design.mean(axis=0), seen - seen.mean(axis=0)
    u, s, vt = np.linalg.svd(target.T @ centred)
    rotation = u @ vt
    scale = s.sum() / (centred**2).sum()
    return float(np.sqrt(((scale * centred @ rotation.T - target) ** 2).sum(axis=1)).max())
