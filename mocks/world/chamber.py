"""Vacuum, stage and beam: what the circuit feels of the chamber around it, and what the beam hits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class StagePose:
    x_m: float = 0.0
    y_m: float = 0.0
    z_m: float = 0.0
    tilt_deg: float = 0.0
    rotation_deg: float = 0.0


class Chamber:
    """`touch_alarm` is "armed", "tripped" or "disabled". `pressure_pa` starts in the working vacuum."""

    def __init__(self, before_change: Callable[[], None], on_stage_motion: Callable[[bool], None]) -> None:
        self._before_change = before_change
        self._on_stage_motion = on_stage_motion
        self.pressure_pa = 5e-4
        self.stage = StagePose()
        self.touch_alarm = "armed"
        self._stage_moving = False
        self._beam_current_a = 0.0
        #: axes x and y at which the axis of rotation is under the beam, and z at which the stage's top is at the height
        #: of the axis of tilt, which the beam crosses
        self.rotation_centre_m = (0.0, 0.0)
        self.eucentric_z_m = 0.0
        #: electrons that leave for each ion that arrives; both are positive current into the sample
        self.secondary_yield = 1.0

    def set_stage(
        self,
        x_m: float | None = None,
        y_m: float | None = None,
        z_m: float | None = None,
        tilt_deg: float | None = None,
        rotation_deg: float | None = None,
    ) -> None:
        """Set the axes that are given; the others stay."""
        axes = {"x_m": x_m, "y_m": y_m, "z_m": z_m, "tilt_deg": tilt_deg, "rotation_deg": rotation_deg}
        self.stage = replace(self.stage, **{name: value for name, value in axes.items() if value is not None})

    def seen_at(self, feature_m: tuple[float, float, float]) -> tuple[float, float, float]:
        """Where a feature is, relative to the point where the beam crosses the axis of tilt; the beam goes along z.

        `feature_m` is fixed on the rotating top: from its axis of rotation in x and y, from its surface in z. The stage
        as it stands in the chamber: the tilt, about x, carries z, y and x, which carry the rotation.
        """
        a, b, c = feature_m
        turn, tilt = math.radians(self.stage.rotation_deg), math.radians(self.stage.tilt_deg)
        u = self.stage.x_m - self.rotation_centre_m[0] + math.cos(turn) * a - math.sin(turn) * b
        v = self.stage.y_m - self.rotation_centre_m[1] + math.sin(turn) * a + math.cos(turn) * b
        h = self.stage.z_m - self.eucentric_z_m + c
        return u, v * math.cos(tilt) - h * math.sin(tilt), v * math.sin(tilt) + h * math.cos(tilt)

    @property
    def stage_moving(self) -> bool:
        return self._stage_moving

    @stage_moving.setter
    def stage_moving(self, moving: bool) -> None:
        if moving != self._stage_moving:
            self._before_change()
            self._stage_moving = moving
            self._on_stage_motion(moving)

    @property
    def beam_current_a(self) -> float:
        """Current of the unblanked beam on the sample (ions positive, electrons negative); 0 when blanked."""
        return self._beam_current_a

    @beam_current_a.setter
    def beam_current_a(self, current_a: float) -> None:
        if current_a != self._beam_current_a:
            self._before_change()
            self._beam_current_a = current_a

    @property
    def beam_into_circuit_a(self) -> float:
        return self._beam_current_a * (1.0 + self.secondary_yield)
