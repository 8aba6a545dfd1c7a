"""A limit with hysteresis over readings: opened by several good ones in a row, closed by one beyond a second limit."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WindowLimits:
    """Opens after `readings` in a row of at most `on_at_most`, none more than `max_gap_s` after the one before; closes
    above `off_above`, or after `bad_readings` in a row that are no valid number, or after such a gap."""

    on_at_most: float
    off_above: float
    readings: int = 3
    bad_readings: int = 2
    max_gap_s: float = 2.0


class Window:
    """Whether the limit was held, by the readings that it has seen; how old the last one is, it cannot know."""

    def __init__(self, limits: WindowLimits) -> None:
        self.limits = limits
        self.is_open = False
        #: readings in a row that were good enough to open it
        self.good = 0
        self._bad = 0
        self._last_s = -math.inf

    def see(self, value: object, at_s: float, valid: bool) -> None:
        """One reading, in the order of time."""
        limits = self.limits
        if at_s - self._last_s > limits.max_gap_s:
            self._close()
        self._last_s = at_s
        number = value if valid and isinstance(value, int | float) and not isinstance(value, bool) else math.nan
        if not math.isfinite(number):
            self.good = 0
            self._bad += 1
            if self._bad >= limits.bad_readings:
                self._close()
            return
        self._bad = 0
        if number > limits.off_above:
            self._close()
        self.good = self.good + 1 if number <= limits.on_at_most else 0
        if self.good >= limits.readings:
            self.is_open = True

    def _close(self) -> None:
        self.is_open = False
        self.good = 0
        self._bad = 0
