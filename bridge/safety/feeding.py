"""What a device answers, as the inputs of the rules: one place that knows which answer tells what."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from drivers.interfaces import ManipulatorPosition, Pressure, StagePosition, TouchAlarm
from drivers.samples import SampleBlock
from drivers.techniques import Technique

from .acts import current_bound_a
from .observations import UNKNOWN, Observations

#: A tip so near to where it touched last counts as touching, metres.
CLEARANCE_M = 50e-6


class Feed:
    """Of one device. `at_s` is when the device was asked, not when the answer came: an age is never told too low."""

    def __init__(self, observations: Observations, device: str) -> None:
        self._observations = observations
        self._device = device

    def see(self, quantity: str, value: Any, at_s: float, valid: bool = True) -> None:
        self._observations.see(f"{self._device}.{quantity}", value, at_s, valid)

    # --- the connection ----------------------------------------------------------------------------------------------

    def connected(self, at_s: float, limits: Mapping[str, tuple[float, float]] | None = None) -> None:
        """It is there, is the configured one, and was made safe; `limits` are its soft limits, of stage and tip."""
        self.see("connected", True, at_s)
        self.see("identity_ok", True, at_s)
        if limits is not None:
            self.see("limits", dict(limits), at_s)

    def lost(self, at_s: float, *, wrong_device: bool = False) -> None:
        """It is gone, or another one answers: nothing that was read of it counts, nor what people stated."""
        self._observations.forget(self._device)
        self.see("connected", False, at_s)
        if wrong_device:
            self.see("identity_ok", False, at_s)

    # --- answers -----------------------------------------------------------------------------------------------------

    def result(self, method: str, value: Any, at_s: float, away_m: float | None = None) -> None:
        """Of a call, whichever it was. `away_m`: how far a tip is from where it touched last; None if that is not
        known. `inserted` is known from `insert` and `retract` only, until the tip moves again.
        """
        if isinstance(value, StagePosition | ManipulatorPosition):
            axes = {axis: at for axis, at in asdict(value).items() if isinstance(at, float)}
            self.see("position", axes, at_s)
            self.see("position_known", bool(axes) and all(map(math.isfinite, axes.values())), at_s)
        if isinstance(value, ManipulatorPosition):
            self.see("contact", UNKNOWN if away_m is None else away_m < CLEARANCE_M, at_s)
        elif isinstance(value, TouchAlarm):
            self.see("touch_alarm", str(value), at_s)
        elif isinstance(value, Pressure):
            self.see("pressure_pa", value.pressure_pa, at_s, value.valid)
        elif method in ("route", "select"):
            self.see("route", value, at_s)
        if method in ("insert", "retract"):
            self.see("inserted", method == "insert", at_s)

    def failed(self, method: str, at_s: float) -> None:
        """A call that may have left something half done: where things are has to be read again."""
        if method in ("select", "route"):
            self.see("route", UNKNOWN, at_s)
        elif method == "position":
            self.see("position_known", False, at_s)

    # --- the source --------------------------------------------------------------------------------------------------

    def cell(self, state: str, at_s: float) -> None:
        """`off` where it was proven, `on`, or `unknown` where it could not be proven off."""
        self.see("cell", state, at_s)

    def technique(self, technique: Technique, at_s: float) -> None:
        """A technique that is about to begin. No sample has come yet, so an approach does not begin either."""
        self._observations.forget_one(f"{self._device}.interval_s")
        self._observations.forget_one(f"{self._device}.current_a")
        self.see("current_limit_a", current_bound_a(technique), at_s)

    def block(self, block: SampleBlock, technique: Technique, at_s: float) -> None:
        """Samples as they come, `at_s` when they came."""
        if not len(block):
            return
        self.cell("on", at_s)
        self.see("interval_s", float(getattr(technique, "interval_s", math.inf)), at_s)
        names = {column.name for column in block.columns}
        self.see("current_a", float(block["current_a"][-1]) if "current_a" in names else math.nan, at_s)
