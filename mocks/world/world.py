"""The world of a simulated rig: clock, wiring, cell, noise, chamber."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from .cell import Cell
from .chamber import Chamber
from .clock import HostClock, Timeline
from .events import Event, Events
from .happenings import Happenings
from .noise import Noise
from .presets import PRESET_EVENTS, CellParameters, find_preset
from .terminals import Terminals
from .tip import Position, Tip
from .wiring import Wiring


class World:
    """Everything that the instruments of one rig share. Same seed and same calls give the same numbers, to the bit.

    `cell` is a preset's name (`mocks.world.presets`) or parameters of one's own; `cell_options` changes single
    parameters. `loop_resistance_ohm` is the test resistor of the loops of the noise test. `stray_f` is the lead's
    capacitance on the instrument's side of the contact. `events` is a script (`mocks.world.events`); a preset may
    bring events of its own (`fig8a`), which `preset_events=False` leaves out. Each instrument has its timeline; the
    cell lives on that of the instrument that last drove or measured it.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        speed: float = math.inf,
        flows: bool = False,
        cell: str | CellParameters = "good",
        cell_options: Mapping[str, Any] | None = None,
        area_m2: float = 1e-11,
        mains_hz: float = 50.0,
        noise: bool = True,
        loop_resistance_ohm: float = 1e9,
        stray_f: float = 100e-12,
        pad_m: Position = (0.0, 0.0, -20e-6),
        pad_half_width_m: float = 2e-6,
        events: Iterable[Mapping[str, Any]] = (),
        preset_events: bool = True,
    ) -> None:
        self.seed = seed
        self.speed = speed
        self.noise = noise
        self.mains_hz = mains_hz
        self.loop_resistance_ohm = loop_resistance_ohm
        self.stray_f = stray_f
        self._flows = flows
        self._timelines: dict[str, Timeline] = {}
        self._terminals: dict[str, Terminals] = {}
        parameters = find_preset(cell) if isinstance(cell, str) else cell
        self.cell = Cell(replace(parameters, **(cell_options or {})), area_m2)
        #: the instrument that last drove or measured the cell: the cell lives on its timeline
        self.cell_holder: Terminals | None = None
        self.wiring = Wiring(self.live_until_now)
        self.tip = Tip(self.live_until_now, pad_m, pad_half_width_m)
        self.chamber = Chamber(self.live_until_now, self._stage_moves)
        #: what was energised, moved and switched, and when, for tests to judge by
        self.happenings = Happenings()
        self.events = Events(seed, self.live_until_now, self._announce)
        if preset_events and isinstance(cell, str):
            self.events.script(PRESET_EVENTS.get(cell, ()))
        self.events.script(events)

    def timeline(self, device: str) -> Timeline:
        """The device's time; the same object each time."""
        if device not in self._timelines:
            self._timelines[device] = Timeline(self.speed, flows=self._flows)
        return self._timelines[device]

    def host_clock(self, device: str) -> HostClock:
        """The clock for the device's driver: what the driver waits for passes on the device's timeline."""
        return HostClock(self.timeline(device))

    def terminals(self, device: str, input_resistance_ohm: float = math.inf, bias_current_a: float = 0.0) -> Terminals:
        """The device's two sockets; the same object each time, made with what the first call said."""
        if device not in self._terminals:
            terminals = Terminals(
                self,
                device,
                input_resistance_ohm,
                bias_current_a,
                self.timeline(device).now_ns,
                Noise(self.seed, device, self.mains_hz),
            )
            for event in self.events.events:
                terminals.schedule.add(event, terminals.now_ns)
            self._terminals[device] = terminals
        return self._terminals[device]

    @property
    def loop_conductance_s(self) -> float:
        """Of the test resistors of all loops that are closed now."""
        loops = len([route for route in self.wiring.closed_routes if route != "cell"])
        return loops / self.loop_resistance_ohm

    def live_until_now(self) -> None:
        """Before the circuit changes: every instrument lives up to its own now with the circuit as it was."""
        for terminals in self._terminals.values():
            terminals.live_until(terminals.now_ns)

    def _stage_moves(self, moving: bool) -> None:
        for terminals in self._terminals.values():
            terminals.stage_moves(moving)

    def _announce(self, event: Event) -> None:
        for terminals in self._terminals.values():
            terminals.schedule.add(event, terminals.now_ns)
