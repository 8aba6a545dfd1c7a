"""The world of a simulated rig: clock, wiring, cell, noise, chamber."""

from __future__ import annotations

import math
from typing import Any

from .chamber import Chamber
from .clock import HostClock, Timeline
from .terminals import Terminals
from .tip import Tip
from .wiring import Wiring


class World:
    def __init__(
        self,
        *,
        seed: int = 0,
        speed: float = math.inf,
        flows: bool = False,
        cell: str = "good",
        area_m2: float = 1e-11,
        mains_hz: float = 50.0,
        noise: bool = True,
        **options: Any,
    ) -> None:
        self.speed, self._flows = speed, flows
        self._timelines: dict[str, Timeline] = {}
        self._terminals: dict[str, Terminals] = {}
        self.wiring = Wiring(self._catch_up)
        self.tip = Tip(self._catch_up, (0.0, 0.0, -20e-6), 2e-6)
        self.chamber = Chamber(self._catch_up)

    def timeline(self, device: str) -> Timeline:
        return self._timelines.setdefault(device, Timeline(self.speed, flows=self._flows))

    def host_clock(self, device: str) -> HostClock:
        return HostClock(self.timeline(device))

    def terminals(
        self, device: str, input_resistance_ohm: float = math.inf, bias_current_a: float = 0.0
    ) -> Terminals:
        if device not in self._terminals:
            self._terminals[device] = Terminals(self, device, input_resistance_ohm, bias_current_a)
        return self._terminals[device]

    def _catch_up(self) -> None:
        pass
