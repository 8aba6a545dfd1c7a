"""What the daemon sees of its devices, told to the interlocks: connections, answers, what a source does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bridge.procedures.contact.touched import distance_from_contact
from bridge.safety.feeding import Feed
from bridge.safety.observations import Observations
from drivers.interfaces import Device, ManipulatorPosition
from drivers.samples import SampleBlock
from drivers.techniques import Technique

#: Samples are told to the interlocks no more often than this: they ask for ages of half a second and more.
BLOCKS_EVERY_S = 0.05


class Observer:
    """One `Feed` a device, and what only the daemon knows: what its own acts have left behind."""

    def __init__(self, observations: Observations, clock: Callable[[], float] = time.monotonic) -> None:
        self.observations = observations
        #: devices whose position counts as unknown although they tell one: they were lost in a move
        self.adrift: set[str] = set()
        self._clock = clock
        self._feeds: dict[str, Feed] = {}
        #: of sources: "on", "off" or "unknown"
        self._cells: dict[str, str] = {}
        self._block_s: dict[str, float] = {}

    def now(self) -> float:
        """To be taken when a device is asked."""
        return self._clock()

    def connected(self, name: str, device: Device) -> None:
        """It has answered, it is the configured one, and connecting has made it safe."""
        limits = getattr(getattr(device, "capabilities", None), "limits", None)
        self._feed(name).connected(self.now(), limits)
        if device.interface == "potentiostat":
            self.cell(name, "off")

    def lost(self, name: str, *, moving: bool = False, wrong_device: bool = False) -> None:
        """Nothing that was read of it counts any more. What counts steps has lost count if it is lost in a move."""
        self._feed(name).lost(self.now(), wrong_device=wrong_device)
        self._cells.pop(name, None)
        if moving:
            self.adrift.add(name)

    def forget(self, name: str) -> None:
        """It is no device of this rig any more."""
        self._feeds.pop(name, None)
        self.observations.forget(name, but=frozenset())
        self.adrift.discard(name)
        self._cells.pop(name, None)
        self._block_s.pop(name, None)

    def answered(self, name: str, method: str, value: Any, asked_s: float) -> None:
        """What a device has answered, whoever asked it and when."""
        feed = self._feed(name)
        away_m = distance_from_contact(name, value) if isinstance(value, ManipulatorPosition) else None
        feed.result(method, value, asked_s, away_m)
        if name in self.adrift:
            feed.see("position_known", False, asked_s)
        if self._cells.get(name) == "off":  # nobody else may switch it, so it still is
            feed.cell("off", asked_s)

    def failed(self, name: str, method: str) -> None:
        """A call that may have left something half done."""
        self._feed(name).failed(method, self.now())

    # --- the source --------------------------------------------------------------------------------------------------

    def cell(self, name: str, state: str) -> None:
        """ "on", "off" (proven) or "unknown"."""
        self._cells[name] = state
        self._feed(name).cell(state, self.now())

    def energised(self, name: str) -> bool:
        """Whether a technique is under way."""
        return self._cells.get(name) == "on"

    def unproven(self, name: str) -> bool:
        """Whether a source was on, and nobody has seen it off since."""
        return self._cells.get(name) == "unknown"

    def begins(self, name: str, technique: Technique) -> None:
        """A technique is about to be started."""
        self.cell(name, "on")
        self._feed(name).technique(technique, self.now())
        self._block_s.pop(name, None)

    def block(self, name: str, block: SampleBlock, technique: Technique) -> None:
        """Samples have come."""
        now = self.now()
        if len(block) and now - self._block_s.get(name, -1.0) >= BLOCKS_EVERY_S:
            self._block_s[name] = now
            self._feed(name).block(block, technique, now)

    def _feed(self, name: str) -> Feed:
        if name not in self._feeds:
            self._feeds[name] = Feed(self.observations, name)
        return self._feeds[name]
