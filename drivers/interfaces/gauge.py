"""Vacuum gauges."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from .device import Device


class GaugeStatus(StrEnum):
    OK = "ok"
    UNDERRANGE = "underrange"
    OVERRANGE = "overrange"
    SENSOR_ERROR = "sensor_error"
    OFF = "off"
    NO_SENSOR = "no_sensor"
    IDENTIFICATION_ERROR = "identification_error"


@dataclass(frozen=True, slots=True)
class Pressure:
    """`pressure_pa` is NaN unless the gauge gave a number; `valid` only for status ok and a finite number > 0."""

    pressure_pa: float
    valid: bool
    status: GaugeStatus


class Gauge(Device):
    """Reads the chamber's pressure, in pascal."""

    interface: ClassVar[str] = "gauge"

    @abstractmethod
    async def pressure(self) -> Pressure: ...

    async def make_safe(self) -> None:
        """A gauge energises and moves nothing."""
