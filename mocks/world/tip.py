"""The manipulator's tip and the pad that it has to touch."""

from __future__ import annotations

import math
from collections.abc import Callable

Position = tuple[float, float, float]


class Tip:
    """Position of the tip in metres, in the manipulator's frame; it starts at the origin.

    The pad is a surface across z. The tip touches when it has come to the pad's height, from the side where it
    started, and is above the pad within `pad_half_width_m` in x and y. Going on past the pad presses (`press_m`), it
    does not lose contact. The pad does not move with the stage: moving the stage in contact is what interlocks are
    there to refuse.
    """

    def __init__(self, before_change: Callable[[], None], pad_m: Position, pad_half_width_m: float) -> None:
        self._before_change = before_change
        self.pad_m = pad_m
        self.pad_half_width_m = pad_half_width_m
        self._side = math.copysign(1.0, -pad_m[2])
        self._position = [0.0, 0.0, 0.0]
        #: deepest press since the world began: what a reviewer of an approach looks at
        self.max_press_m = 0.0

    @property
    def x_m(self) -> float:
        return self._position[0]

    @x_m.setter
    def x_m(self, value: float) -> None:
        self._move(0, value)

    @property
    def y_m(self) -> float:
        return self._position[1]

    @y_m.setter
    def y_m(self, value: float) -> None:
        self._move(1, value)

    @property
    def z_m(self) -> float:
        return self._position[2]

    @z_m.setter
    def z_m(self, value: float) -> None:
        self._move(2, value)

    @property
    def gap_m(self) -> float:
        """Height of the tip above the pad; negative when it presses."""
        return (self._position[2] - self.pad_m[2]) * self._side

    @property
    def press_m(self) -> float:
        return max(0.0, -self.gap_m) if self.touching else 0.0

    @property
    def touching(self) -> bool:
        return self._touches(self._position)

    def touch(self) -> None:
        """Put the tip on the pad, without pressing."""
        self.x_m, self.y_m, self.z_m = self.pad_m

    def retract(self, height_m: float = 1e-5) -> None:
        """Lift the tip off the pad."""
        self.z_m = self.pad_m[2] + self._side * height_m

    def _touches(self, position: list[float]) -> bool:
        lateral = max(abs(position[0] - self.pad_m[0]), abs(position[1] - self.pad_m[1]))
        # A picometre of tolerance: positions are sums of steps and not exact.
        return lateral <= self.pad_half_width_m and (position[2] - self.pad_m[2]) * self._side <= 1e-12

    def _move(self, axis: int, value: float) -> None:
        position = self._position.copy()
        position[axis] = value
        if self._touches(position) != self._touches(self._position):
            self._before_change()
        self._position = position
        self.max_press_m = max(self.max_press_m, self.press_m)
