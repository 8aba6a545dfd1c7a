"""From packets to columns of samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ...samples import IMPEDANCE_COLUMNS, SAMPLE_COLUMNS, Array, Flag
from ...techniques import Impedance, OpenCircuit
from .script import Plan
from .values import NO_RANGE, Packets

#: status digit to flags (bits 1 timing, 2 overload, 4 underload, 8 overload warning)
_FLAGS = np.array(
    [
        (Flag.TIMING if status & 1 else 0)
        | (Flag.OVERLOAD if status & 2 else 0)
        | (Flag.UNDERLOAD if status & 4 else 0)
        | (Flag.OVERLOAD_WARNING if status & 8 else 0)
        for status in range(16)
    ],
    np.uint32,
)

#: a time step longer than this many intervals means that samples are missing
_GAP_INTERVALS = 1.5
#: largest times that 28 bits hold in microseconds and in milliseconds; beyond, the device's time comes in whole seconds
_MICROSECONDS_TO_S = 2**27 * 1e-6
_MILLISECONDS_TO_S = 2**27 * 1e-3
#: points of a sweep or a spectrum are further apart than this
_CLOSEST_POINTS_S = 1e-4


def _is_potential(kind: str) -> bool:
    return kind == "da" or (kind[0] in "ai" and kind != "aa")


def _is_current(kind: str) -> bool:
    return kind in ("ba", "bb", "db") or kind[0] == "h"


_IS: dict[str, Callable[[str], bool]] = {
    "time_s": lambda kind: kind == "eb",
    "voltage_v": _is_potential,
    "current_a": _is_current,
    "frequency_hz": lambda kind: kind == "dc",
    "z_real_ohm": lambda kind: kind == "cc",
    "z_imag_ohm": lambda kind: kind == "cd",
}


@dataclass(slots=True)
class Segment:
    """Samples taken on one current range. `range_index` is `NO_RANGE` where the device does not tell."""

    data: dict[str, Array]
    range_index: int

    def __len__(self) -> int:
        return len(self.data["flags"])


class Assembler:
    """Knows which variable is which column: by its type, or by its place in the packet where the types do not tell.

    (That the potential of constant current is sent as ab, and its current as ba or db, is not verified.)
    """

    def __init__(self, plan: Plan) -> None:
        self.columns = IMPEDANCE_COLUMNS if isinstance(plan.technique, Impedance) else SAMPLE_COLUMNS
        self._interval_s = plan.interval_s
        names = [column.name for column in self.columns if column.name != "flags"]
        self._unmeasured = ["current_a"] if isinstance(plan.technique, OpenCircuit) else []
        self._names = [name for name in names if name not in self._unmeasured]
        self._ranged = "z_real_ohm" if isinstance(plan.technique, Impedance) else "current_a"
        self._types: tuple[str, ...] | None = None
        self._places: list[int] = []
        self._missing = False
        self._last_time: float | None = None

    def lost_line(self) -> None:
        """A line could not be read: samples are missing before the next one."""
        self._missing = True

    def add(self, packets: Packets) -> list[Segment]:
        """The packets as columns, cut where the range changes. Packets with other variables count as lost lines."""
        if packets.types != self._types:
            if len(packets.types) != len(self._names):
                self.lost_line()
                return []
            self._types, self._places = packets.types, self._order(packets.types)
        packets = self._once(packets)
        if not len(packets):
            return []
        data: dict[str, Array] = {
            name: np.ascontiguousarray(packets.values[:, place])
            for name, place in zip(self._names, self._places, strict=True)
        }
        for name in self._unmeasured:
            data[name] = np.zeros(len(packets))
        data["flags"] = self._flags(packets, data["time_s"])
        if self._ranged not in self._names:
            return [Segment(data, NO_RANGE)]
        ranges = packets.ranges[:, self._places[self._names.index(self._ranged)]]
        cuts = [0, *(np.flatnonzero(ranges[1:] != ranges[:-1]) + 1).tolist(), len(ranges)]
        return [
            Segment({name: column[begin:end] for name, column in data.items()}, int(ranges[begin]))
            for begin, end in pairwise(cuts)
        ]

    def _once(self, packets: Packets) -> Packets:
        """Without those that came twice: the same time again, where the device's time is finer than its interval."""
        time = packets.values[:, self._places[self._names.index("time_s")]]
        before = -np.inf if self._last_time is None else self._last_time
        again = (np.diff(time, prepend=before) == 0) & (_step_of(time) < (self._interval_s or _CLOSEST_POINTS_S))
        if not again.any():
            return packets
        kept = ~again
        return Packets(packets.types, packets.values[kept], packets.status[kept], packets.ranges[kept])

    def _order(self, types: tuple[str, ...]) -> list[int]:
        places = []
        for name in self._names:
            matching = [place for place, kind in enumerate(types) if _IS[name](kind)]
            if len(matching) != 1:
                return list(range(len(types)))
            places.append(matching[0])
        return places

    def _flags(self, packets: Packets, time: Array) -> Array:
        flags: Array = np.bitwise_or.reduce(_FLAGS[packets.status & 0x0F], axis=1)
        nothing = np.isnan(packets.values).any(axis=1)
        if nothing.any():
            flags[nothing] |= np.uint32(Flag.INVALID)
        if self._interval_s:
            before = time[0] if self._last_time is None else self._last_time
            late = np.diff(time, prepend=before) > _GAP_INTERVALS * self._interval_s + _step_of(time)
            flags[late] |= np.uint32(Flag.GAP)
        if self._missing:
            flags[0] |= np.uint32(Flag.GAP)
            self._missing = False
        self._last_time = float(time[-1])
        return flags


def _step_of(time: Array) -> Array:
    """The resolution of the device's own time, in seconds."""
    return np.where(time < _MICROSECONDS_TO_S, 1e-6, np.where(time < _MILLISECONDS_TO_S, 1e-3, 1.0))
