"""Where each manipulator made contact last, for as long as this process lives: a stage does not move under a tip."""

from __future__ import annotations

import math

from drivers.interfaces import ManipulatorPosition

_LAST: dict[str, ManipulatorPosition] = {}


def remember_contact(manipulator: str, position: ManipulatorPosition) -> None:
    _LAST[manipulator] = position


def forget_contact(manipulator: str) -> None:
    _LAST.pop(manipulator, None)


def distance_from_contact(manipulator: str, position: ManipulatorPosition) -> float | None:
    """How far the tip is from where it touched, metres; None if no contact is known of."""
    touched = _LAST.get(manipulator)
    if touched is None:
        return None
    return math.dist((touched.x_m, touched.y_m, touched.z_m), (position.x_m, position.y_m, position.z_m))
