"""In which order the axes of a stage go, and from which side they arrive. Pure functions.

Why the order is what it is by default:

1. `z-down`: down first. Whatever follows sweeps the sample and its holder below the pole piece, the gas injector and
   the detectors; each of the other axes is harmless the further the stage is below them.
2. `untilt`: before a rotation of more than `untilt_above_deg` the stage is level. A tilted stage that rotates swings
   its far edge up on a cone, and the rotation's own centring holds at zero tilt only.
3. `rotation`, then 4. `xy`: at the level and below; a rotation moves the point under the beam, so x and y come after.
5. `z-up`: along a straight line, with the sample level and already in its place, so that what comes up is what is seen.
6. `tilt`: last. It is the axis that brings the holder's edge nearest to the pole piece; at its target nothing else
   moves any more, and the person at the chamberscope watches one motion.

Every axis arrives at its target from below (x, y by `backlash_m`, rotation by `backlash_deg`), so that the play of its
gear is always taken up on the same side. z and tilt do not: for them a detour would go toward the pole piece.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from drivers.errors import InvalidValue
from drivers.interfaces import StagePosition

ORDER = ("z-down", "untilt", "rotation", "xy", "z-up", "tilt")

#: Moves smaller than this are none.
_LEAST_M, _LEAST_DEG = 1e-9, 1e-6


@dataclass(frozen=True, slots=True)
class Leg:
    """One command: the axes that move, with their targets, and why."""

    why: str
    axes: Mapping[str, float]


def parse_order(text: str) -> tuple[str, ...]:
    """ "z-down, xy, ..." with each part of `ORDER` once. Raises `InvalidValue`."""
    parts = tuple(part.strip() for part in text.split(","))
    if sorted(parts) != sorted(ORDER):
        raise InvalidValue(f"order is {text!r}; accepted: each of {', '.join(ORDER)} once, in any order")
    return parts


def legs(
    now: StagePosition,
    target: StagePosition,
    *,
    order: Sequence[str] = ORDER,
    z_down: int = -1,
    clear_z_m: float | None = None,
    backlash_m: float = 0.0,
    backlash_deg: float = 0.0,
    untilt_above_deg: float = 10.0,
) -> list[Leg]:
    """From `now` to `target`. `z_down` is the sign of z that leads away from the pole piece.

    With `clear_z_m` the stage goes down to there first (never up to it), and up to its target after x and y.
    """
    found: list[Leg] = []
    here = now
    lowest_z = target.z_m
    if clear_z_m is not None and (clear_z_m - target.z_m) * z_down > 0:
        lowest_z = clear_z_m
    turn = abs(target.rotation_deg - now.rotation_deg)
    for part in order:
        axes: dict[str, float] = {}
        if part == "z-down" and (lowest_z - here.z_m) * z_down > _LEAST_M:
            axes = {"z_m": lowest_z}
        elif part == "untilt" and turn > untilt_above_deg and abs(here.tilt_deg) > _LEAST_DEG:
            axes = {"tilt_deg": 0.0}
        elif part == "rotation" and turn > _LEAST_DEG:
            axes = {"rotation_deg": target.rotation_deg}
            if backlash_deg:
                found.append(Leg("take up the play", {"rotation_deg": target.rotation_deg - backlash_deg}))
        elif part == "xy":
            axes = {
                name: getattr(target, name)
                for name in ("x_m", "y_m")
                if abs(getattr(target, name) - getattr(here, name)) > _LEAST_M
            }
            if axes and backlash_m:
                found.append(Leg("take up the play", {name: value - backlash_m for name, value in axes.items()}))
        elif part == "z-up" and abs(target.z_m - here.z_m) > _LEAST_M:
            axes = {"z_m": target.z_m}
        elif part == "tilt" and abs(target.tilt_deg - here.tilt_deg) > _LEAST_DEG:
            axes = {"tilt_deg": target.tilt_deg}
        if axes:
            found.append(Leg(part, axes))
            here = replace(here, **axes)
    return found


def check_path(path: Sequence[Leg], limits: Mapping[str, tuple[float, float]]) -> None:
    """Every point of the path within the stage's soft limits, rotation modulo a turn. Raises `InvalidValue` that names
    the leg.
    """
    for leg in path:
        for axis, value in leg.axes.items():
            unit = axis.rpartition("_")[2]
            low, high = limits.get(axis, (-float("inf"), float("inf")))
            seen = value % 360.0 if axis == "rotation_deg" else value
            if not low <= seen <= high:
                raise InvalidValue(
                    f"{axis} would be {value:.9g} {unit} on the way ({leg.why}); "
                    f"{low:.9g} to {high:.9g} {unit} is accepted",
                    hint="Nothing was moved. A smaller backlash keeps the detour within the limits.",
                )
