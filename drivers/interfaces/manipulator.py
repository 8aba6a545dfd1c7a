"""Micromanipulators."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from .device import Device


@dataclass(frozen=True, slots=True)
class ManipulatorPosition:
    """Metres, in the manipulator's own axes. `closed_loop` false: counted steps times a nominal step, which slip."""

    x_m: float
    y_m: float
    z_m: float
    closed_loop: bool


@dataclass(frozen=True, slots=True)
class ManipulatorCapabilities:
    """`limits`: axis name (as in `ManipulatorPosition`) to (lowest, highest), metres. `resolution_m`: smallest step."""

    limits: dict[str, tuple[float, float]]
    resolution_m: float
    speed_max_m_per_s: float
    closed_loop: bool
    can_insert: bool = False


class Manipulator(Device):
    """Moves are complete when every axis is proven to be at rest and at its target."""

    interface: ClassVar[str] = "manipulator"

    @property
    @abstractmethod
    def capabilities(self) -> ManipulatorCapabilities: ...

    @abstractmethod
    async def position(self) -> ManipulatorPosition: ...

    @abstractmethod
    async def move_to(
        self, x_m: float | None = None, y_m: float | None = None, z_m: float | None = None
    ) -> ManipulatorPosition:
        """Absolute move of the axes given; the others stay. Returns the position reached.

        Raises `InvalidValue` (outside the limits, nothing sent), `MoveFailed` (ended elsewhere, or stopped),
        `DeviceError`, `LinkError`s. Never repeated automatically.
        """

    @abstractmethod
    async def move_by(self, x_m: float = 0.0, y_m: float = 0.0, z_m: float = 0.0) -> ManipulatorPosition:
        """Relative move; otherwise as `move_to`."""

    @abstractmethod
    async def stop(self) -> ManipulatorPosition:
        """Stop all axes, wait until at rest, and return where it is. A move under way ends with `MoveFailed`."""

    @abstractmethod
    async def set_speed(self, speed_m_per_s: float) -> None:
        """Speed of the moves to come. Raises `InvalidValue` if the device cannot go that fast or that slow."""

    @abstractmethod
    async def insert(self) -> ManipulatorPosition:
        """Insert to the park position. Raises `Unsupported` where the device has no such command."""

    @abstractmethod
    async def retract(self) -> None:
        """Raises `Unsupported` where the device has no such command."""

    async def make_safe(self) -> None:
        await self.stop()
