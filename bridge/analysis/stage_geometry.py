"""Where a stage has to go for a feature to stay under the beam while it is tilted or rotated. Pure functions.

The stage as it stands in the chamber of a dual-beam microscope: the tilt, about the x axis at the eucentric height,
carries z, y and x, and those carry the rotation, whose axis moves along with them. A feature that the beam meets at
height H above the axis of tilt is, in the tilted frame, at

    v = H sin(tilt) across and h = H cos(tilt) along the tilted normal.

From the axis of rotation it is at q = (x_c - x, y_c - y + v), where (x_c, y_c) is the position at which that axis is
under the beam at zero tilt; a rotation by dr turns q. The rest is to solve for x, y, z with the feature where it was.
Worked numbers (tests/analysis/test_stage_geometry.py): a feature 100 um above the axis, tilted to 52 deg, needs y
+78.80 um and z -38.43 um, or y +127.99 um alone; left alone it goes 78.80 um away. Rotation by 180 deg takes (x, y) to
(2 x_c - x, 2 y_c - y).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from drivers.interfaces import StagePosition


@dataclass(frozen=True, slots=True, kw_only=True)
class StageModel:
    """`tilt_sense` and `rotation_sense` are -1 on a tool that counts the other way round."""

    rotation_centre_x_m: float = 0.0
    rotation_centre_y_m: float = 0.0
    tilt_sense: int = 1
    rotation_sense: int = 1


def kept_in_place(
    model: StageModel,
    now: StagePosition,
    *,
    tilt_deg: float | None = None,
    rotation_deg: float | None = None,
    height_m: float = 0.0,
    keep_height: bool = True,
) -> StagePosition:
    """Where the stage has to be for the feature that is under the beam now to be there at another tilt or rotation.

    `height_m` is the height of the feature above the axis of tilt, now: 0 where it was made eucentric. With
    `keep_height` it stays in focus too, by z; otherwise z stays and the feature goes up or down along the beam.
    """
    target = replace(
        now,
        tilt_deg=now.tilt_deg if tilt_deg is None else tilt_deg,
        rotation_deg=now.rotation_deg if rotation_deg is None else rotation_deg,
    )
    before, after = (math.radians(model.tilt_sense * tilt) for tilt in (now.tilt_deg, target.tilt_deg))
    across, along = height_m * math.sin(before), height_m * math.cos(before)
    if keep_height:
        across_after, along_after = height_m * math.sin(after), height_m * math.cos(after)
    else:
        across_after, along_after = along * math.tan(after), along
    from_axis = model.rotation_centre_x_m - now.x_m, model.rotation_centre_y_m - now.y_m + across
    turned = rotated(from_axis, model.rotation_sense * (target.rotation_deg - now.rotation_deg))
    return replace(
        target,
        x_m=model.rotation_centre_x_m - turned[0],
        y_m=model.rotation_centre_y_m + across_after - turned[1],
        z_m=now.z_m + along_after - along,
    )


def displacement(
    model: StageModel, now: StagePosition, then: StagePosition, height_m: float = 0.0
) -> tuple[float, float, float]:
    """How far the feature that is under the beam now is from there at `then`: x, y across the beam, z along it."""
    before, after = (math.radians(model.tilt_sense * pose.tilt_deg) for pose in (now, then))
    across, along = height_m * math.sin(before), height_m * math.cos(before)
    from_axis = model.rotation_centre_x_m - now.x_m, model.rotation_centre_y_m - now.y_m + across
    turned = rotated(from_axis, model.rotation_sense * (then.rotation_deg - now.rotation_deg))
    u = then.x_m - model.rotation_centre_x_m + turned[0]
    v = then.y_m - model.rotation_centre_y_m + turned[1]
    h = along + then.z_m - now.z_m
    return (
        u,
        v * math.cos(after) - h * math.sin(after),
        v * math.sin(after) + h * math.cos(after) - height_m,
    )


def rotated(point: tuple[float, float], by_deg: float) -> tuple[float, float]:
    """Counter-clockwise; exact for multiples of a quarter turn."""
    quarter = by_deg / 90.0
    if quarter == round(quarter):
        cosine, sine = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[round(quarter) % 4]
    else:
        cosine, sine = math.cos(math.radians(by_deg)), math.sin(math.radians(by_deg))
    x, y = point
    return cosine * x - sine * y, sine * x + cosine * y
