"""The cross-section of a cell that an ion beam has cut."""

from __future__ import annotations

from drivers.errors import InvalidValue

from .formatting import si


def effective_area_m2(
    length_m: float, width_m: float, damage_depth_m: float = 0.0, *, field: str = "damage_depth_m"
) -> float:
    """(L - 2d)(W - 2d): without the layer that the ion beam has left dead on each surface (domain note, 1.1).

    Raises `InvalidValue`, naming the depth as `field`, if nothing is left.
    """
    shorter = min(length_m, width_m)
    if not 2.0 * damage_depth_m < shorter:
        raise InvalidValue(
            f"{field} is {si(damage_depth_m, 'm')}: nothing is left of {si(length_m, 'm')} x {si(width_m, 'm')}; "
            f"less than half of {si(shorter, 'm')} is accepted"
        )
    return (length_m - 2.0 * damage_depth_m) * (width_m - 2.0 * damage_depth_m)
