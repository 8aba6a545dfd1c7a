"""Microscope stages."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from .device import Device


@dataclass(frozen=True, slots=True)
class StagePosition:
    """Metres and degrees, in the stage's own axes."""

    x_m: float
    y_m: float
    z_m: float
    tilt_deg: float
    rotation_deg: float


class TouchAlarm(StrEnum):
    ARMED = "armed"
    TRIPPED = "tripped"
    DISABLED = "disabled"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class StageCapabilities:
    """`limits` are the soft limits in force: axis name (as in `StagePosition`) to (lowest, highest).

    `tolerance_m`, `tolerance_deg`: how near to its target a finished move must be. `notes`: what a person should know
    about this stage, such as what its controller lacks.
    """

    limits: dict[str, tuple[float, float]]
    tolerance_m: float
    tolerance_deg: float
    can_home: bool = False
    has_touch_alarm: bool = False
    notes: tuple[str, ...] = ()


class Stage(Device):
    """Moves are complete when the stage is proven to be at rest and at its target."""

    interface: ClassVar[str] = "stage"

    @property
    @abstractmethod
    def capabilities(self) -> StageCapabilities: ...

    @abstractmethod
    async def position(self) -> StagePosition: ...

    @abstractmethod
    async def move_to(
        self,
        x_m: float | None = None,
        y_m: float | None = None,
        z_m: float | None = None,
        tilt_deg: float | None = None,
        rotation_deg: float | None = None,
    ) -> StagePosition:
        """Absolute move of the axes given; the others stay. Returns the position reached.

        Raises `InvalidValue` (outside the soft limits, nothing sent), `Refused` (not initialised), `MoveFailed` (ended
        elsewhere, or stopped), `DeviceError`, `LinkError`s. Never repeated automatically.
        """

    @abstractmethod
    async def move_by(
        self,
        x_m: float = 0.0,
        y_m: float = 0.0,
        z_m: float = 0.0,
        tilt_deg: float = 0.0,
        rotation_deg: float = 0.0,
    ) -> StagePosition:
        """Relative move; otherwise as `move_to`."""

    @abstractmethod
    async def stop(self) -> StagePosition:
        """Stop, wait until the stage is at rest, and return where it is. A move under way ends with `MoveFailed`."""

    @abstractmethod
    async def home(self) -> StagePosition:
        """Raises `Unsupported` where the device has no such command."""

    @abstractmethod
    async def touch_alarm(self) -> TouchAlarm: ...

    async def make_safe(self) -> None:
        await self.stop()
