"""The manipulator's tip and the pad that it has to touch."""

from __future__ import annotations

import math
from collections.abc import Callable

Position = tuple[float, float, float]


class Tip:
    """Position of the tip in metres, in the manipulator's frame; it starts at the origin.

    The pad is a surface across z, inclined by `pad_slope_x` and `pad_slope_y` (rise over run). The tip touches when it
    has come to the pad's height, from the side where it started, and is above the pad within `pad_half_width_m` in x
    and y. Going on past the pad presses (`press_m`), it does not lose contact. The pad does not move with the stage:
    moving the stage in contact is what interlocks are there to refuse.

    Mechanics, all off at first: `film_ohm` is the contact's resistance at first touch, which falls as the tip is
    pressed on; a contact pressed less than `firm_press_m` opens and closes at random; with `drift_m_per_s` the pad
    comes nearer by itself (negative: goes away), on the time of the instrument that hangs on the circuit.
    """

    #: A tip pressed further than this bends the cell or pushes it off the grid (domain note, section 5).
    DAMAGE_M = 0.5e-6
    #: The press at which the film's resistance has halved.
    SOFT_M = 50e-9

    def __init__(self, before_change: Callable[[], None], pad_m: Position, pad_half_width_m: float) -> None:
        self._before_change = before_change
        self.pad_m = pad_m
        self.pad_half_width_m = pad_half_width_m
        self._side = math.copysign(1.0, -pad_m[2])
        self._position = [0.0, 0.0, 0.0]
        #: deepest press since the world began: what a reviewer of an approach looks at
        self.max_press_m = 0.0
        #: how often the tip has come down on the pad
        self.touches = 0
        #: what has gone through the contact since the world began: net (positive charges the cell), and its magnitude
        self.charge_c = 0.0
        self.charge_magnitude_c = 0.0
        self.pad_slope_x = 0.0
        self.pad_slope_y = 0.0
        self.film_ohm = 0.0
        self.firm_press_m = 0.0
        self.drift_m_per_s = 0.0
        self._drifted_m = 0.0
        self._drifted_ns = 0

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
        return self._gap(self._position)

    @property
    def resistance_ohm(self) -> float:
        """Of the contact, as the tip presses now."""
        return self.film_ohm / (1.0 + self.press_m / self.SOFT_M)

    @property
    def light(self) -> bool:
        """The tip touches, but not firmly."""
        return self.touching and self.press_m < self.firm_press_m

    @property
    def damaged(self) -> bool:
        return self.max_press_m > self.DAMAGE_M

    def live_until(self, now_ns: int) -> None:
        """Drift up to `now_ns`. Called by the instrument on the circuit, whose time it is, as it lives."""
        if self.drift_m_per_s and now_ns > self._drifted_ns:
            before = self.touching
            self._drifted_m += self.drift_m_per_s * (now_ns - self._drifted_ns) / 1e9
            self.touches += self.touching and not before
            self.max_press_m = max(self.max_press_m, self.press_m)
        self._drifted_ns = max(self._drifted_ns, now_ns)

    def carry(self, charge_c: float) -> None:
        """Charge has gone through the contact."""
        self.charge_c += charge_c
        self.charge_magnitude_c += abs(charge_c)

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
        return lateral <= self.pad_half_width_m and self._gap(position) <= 1e-12

    def _gap(self, position: list[float]) -> float:
        rise = self.pad_slope_x * (position[0] - self.pad_m[0]) + self.pad_slope_y * (position[1] - self.pad_m[1])
        return (position[2] - self.pad_m[2] - rise) * self._side - self._drifted_m

    def _move(self, axis: int, value: float) -> None:
        position = self._position.copy()
        position[axis] = value
        before, after = self._touches(self._position), self._touches(position)
        if before != after or (after and self.film_ohm):
            self._before_change()
        self._position = position
        self.touches += after and not before
        self.max_press_m = max(self.max_press_m, self.press_m)
