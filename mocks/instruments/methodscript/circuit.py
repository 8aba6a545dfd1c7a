"""The analogue side: what the cell sees, and what the converters make of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...world import CurrentDrive, OpenDrive, Terminals, Timeline, VoltageDrive
from .models import MockModel, MockRange

GALVANOSTAT = 6
HIGH_SPEED = 3
TIMING, OVERLOAD, UNDERLOAD, WARNING = 1, 2, 4, 8


@dataclass(frozen=True)
class Measured:
    """A value as it goes into a variable. `range_index` is None for what has no range."""

    value: float
    status: int = 0
    range_index: int | None = None


class Circuit:
    """The relay, the set points and the ranges of one channel."""

    def __init__(self, model: MockModel, terminals: Terminals, timeline: Timeline) -> None:
        self._model, self._terminals, self._timeline = model, terminals, timeline
        self.mode = 0
        self.cell_is_on = False
        self.potential_v = 0.0
        self.current_a = 0.0
        self.lowest_a = self.highest_a = 0.0
        self.drive()

    def drive(self) -> None:
        """Tell the world what is in force from now on."""
        now = self._timeline.now_ns
        if not self.cell_is_on:
            self._terminals.set_drive(now, OpenDrive(connected=False))
        elif self.mode == GALVANOSTAT:
            limit = max(abs(self._model.low_v), self._model.high_v)
            self._terminals.set_drive(now, CurrentDrive(self.current_a, limit))
        else:
            self._terminals.set_drive(now, VoltageDrive(self.potential_v, self._model.current_max_a))

    def listen(self) -> None:
        """Open circuit with the voltmeter on it."""
        self._terminals.set_drive(self._timeline.now_ns, OpenDrive(connected=True))

    def measure(self, end_ns: int, duration_ns: int) -> tuple[Measured, Measured, bool]:
        """Potential and current over the `duration_ns` before `end_ns`; and whether the instrument was at its limit."""
        reading = self._terminals.measure(end_ns - duration_ns, duration_ns)
        lsb = self._model.voltage_lsb_v
        status = OVERLOAD if reading.compliance and self.mode == GALVANOSTAT else 0
        potential = Measured(round(reading.voltage_v / lsb) * lsb, status)
        return potential, self.ranged(reading.current_a), reading.compliance

    def impedance(self, frequency_hz: float) -> complex:
        """Of now: contact and cell may have changed since the point before."""
        self._terminals.live_until(self._timeline.now_ns)
        return self._terminals.impedance(frequency_hz)

    @property
    def _ranges(self) -> tuple[MockRange, ...]:
        return self._model.fast_ranges if self.mode == HIGH_SPEED else self._model.ranges

    def set_ranges(self, lowest_a: float, highest_a: float) -> None:
        self.lowest_a, self.highest_a = lowest_a, highest_a

    def ranged(self, current_a: float) -> Measured:
        """A current as the range that the instrument chooses for it shows it."""
        ranges = self._ranges
        last = next((i for i, r in enumerate(ranges) if self.highest_a <= r.full_a), len(ranges) - 1)
        first = next((i for i, r in enumerate(ranges) if self.lowest_a <= r.full_a), len(ranges) - 1)
        first = min(first, last)
        size = abs(current_a)
        chosen = next((r for r in ranges[first : last + 1] if size <= r.warn_a), ranges[last])
        status = 0
        if size > chosen.full_a:
            status, current_a = OVERLOAD, math.copysign(chosen.full_a, current_a)
        elif size > chosen.warn_a:
            status = WARNING
        elif size < chosen.under_a and chosen is not ranges[0]:
            status = UNDERLOAD
        return Measured(round(current_a / chosen.lsb_a) * chosen.lsb_a, status, chosen.index)
