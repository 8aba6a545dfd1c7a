"""From packets to columns of samples."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ...errors import ProtocolError
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


#: beyond the interval, what a device may take before the first sample
_START_S = 0.02
#: this many packets in a row that say nothing of what was asked for are no damage on the way
_FOREIGN_PACKETS = 3

#: variable types of a column, the likeliest first; what is measured before what is applied
_KINDS: dict[str, tuple[str, ...]] = {
    "time_s": ("eb",),
    "voltage_v": ("ab", "da", *(f"a{letter}" for letter in "cdefghi"), *(f"i{letter}" for letter in "abcd")),
    "current_a": ("ba", "db", "bb", *(f"h{letter}" for letter in "abcd")),
    "frequency_hz": ("dc",),
    "z_real_ohm": ("cc",),
    "z_imag_ohm": ("cd",),
}
_COLUMN_OF = {kind: name for name, kinds in _KINDS.items() for kind in kinds}


def places_of(names: list[str], types: tuple[str, ...]) -> dict[str, int] | None:
    """Where in a packet of these types the columns are; None if that cannot be told.

    By type, in whatever order; a column whose type is not there once is at the place that the script gave it, unless
    what stands there is by its type something else. `time_s` may be absent.
    """
    known: dict[str, int] = {}
    for name in names:
        kind = next((kind for kind in _KINDS[name] if types.count(kind) == 1), None)
        if kind is not None:
            known[name] = types.index(kind)
    for expected in (names, [name for name in names if name != "time_s"]):
        missing = [name for name in expected if name not in known]
        by_place = {name: expected.index(name) for name in missing} if len(types) == len(expected) else {}
        usable = all(
            place not in known.values()
            and (_COLUMN_OF.get(types[place], name) in missing)
            and (types[place] != "eb" or name == "time_s")
            for name, place in by_place.items()
        )
        if len(by_place) == len(missing) and usable:
            return {name: place for name, place in (known | by_place).items() if name in expected}
    return None


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
        self._technique = plan.technique
        self._interval_s = plan.interval_s
        names = [column.name for column in self.columns if column.name != "flags"]
        self._unmeasured = ["current_a"] if isinstance(plan.technique, OpenCircuit) else []
        self._names = [name for name in names if name not in self._unmeasured]
        self._ranged = "z_real_ohm" if isinstance(plan.technique, Impedance) else "current_a"
        self._types: tuple[str, ...] | None = None
        self._places: dict[str, int] = {}
        self._layouts = 0
        self._foreign = 0
        self._foreign_types: tuple[str, ...] = ()
        self._count = 0
        self._missing = False
        #: how `time_s` was made up, if the device sends none
        self.time_is_computed = ""
        self._last_time: float | None = None
        self._last_values: Array | None = None

    def lost_line(self) -> None:
        """A line could not be read: samples are missing before the next one."""
        self._missing = True
        self._count += 1

    def check_end(self) -> None:
        """Raises `ProtocolError` if there were packets, but none that could be read as what was asked for."""
        if self._foreign and not self._layouts:
            raise self._not_asked_for()

    def add(self, packets: Packets) -> list[Segment]:
        """The packets as columns, cut where the range changes. A packet with other variables counts as a lost line.

        Raises `ProtocolError` if such packets keep coming.
        """
        if packets.types != self._types and not self._understand(packets):
            return []
        self._foreign = 0
        packets = self._once(packets)
        if not len(packets):
            return []
        data: dict[str, Array] = {
            name: np.ascontiguousarray(packets.values[:, place]) for name, place in self._places.items()
        }
        if "time_s" not in data:
            data["time_s"] = self._computed_time(len(packets))
        self._count += len(packets)
        for name in self._unmeasured:
            data[name] = np.zeros(len(packets))
        data["flags"] = self._flags(packets, data["time_s"])
        if self._ranged not in self._places:
            return [Segment(data, NO_RANGE)]
        ranges = packets.ranges[:, self._places[self._ranged]]
        cuts = [0, *(np.flatnonzero(ranges[1:] != ranges[:-1]) + 1).tolist(), len(ranges)]
        return [
            Segment({name: column[begin:end] for name, column in data.items()}, int(ranges[begin]))
            for begin, end in pairwise(cuts)
        ]

    def _once(self, packets: Packets) -> Packets:
        """Without those that came twice: all the same again, where the device's time is finer than its interval."""
        if "time_s" not in self._places:
            return packets
        time = packets.values[:, self._places["time_s"]]
        before = self._last_values
        if before is None or len(before) != packets.values.shape[1]:
            before = np.full(packets.values.shape[1], np.inf)
        ahead = np.vstack((before, packets.values[:-1]))
        same = ((packets.values == ahead) | (np.isnan(packets.values) & np.isnan(ahead))).all(axis=1)
        again = same & (_step_of(time) < (self._interval_s or _CLOSEST_POINTS_S))
        self._last_values = packets.values[-1]
        if not again.any():
            return packets
        kept = ~again
        return Packets(packets.types, packets.values[kept], packets.status[kept], packets.ranges[kept])

    def _understand(self, packets: Packets) -> bool:
        """Find out which variable is which column. A time that was there once must stay: else the line is damaged."""
        places = places_of(self._names, packets.types)
        timed = places is not None and "time_s" in places
        if places is None or (self._layouts and timed != ("time_s" in self._places)):
            self._foreign += len(packets)
            self._foreign_types = packets.types
            for _ in range(len(packets)):
                self.lost_line()
            if self._foreign >= _FOREIGN_PACKETS:
                raise self._not_asked_for()
            return False
        self._types, self._places = packets.types, places
        self._layouts += 1
        if not timed:
            self.time_is_computed = (
                f"computed: the instrument sends none; samples are {self._interval_s:g} s apart"
                if self._interval_s
                else "not known: the instrument sends none"
            )
        return True

    def _not_asked_for(self) -> ProtocolError:
        return ProtocolError(
            f"the packets hold variables of the types {', '.join(self._foreign_types)}, in which"
            f" {', '.join(self._names)} cannot be found"
        )

    def _computed_time(self, count: int) -> Array:
        if not self._interval_s:
            return np.full(count, np.nan)
        return (self._count + np.arange(1, count + 1)) * self._interval_s

    def _flags(self, packets: Packets, time: Array) -> Array:
        flags: Array = np.bitwise_or.reduce(_FLAGS[packets.status & 0x0F], axis=1)
        nothing = np.isnan(packets.values).any(axis=1)
        if nothing.any():
            flags[nothing] |= np.uint32(Flag.INVALID)
        if self._interval_s and not self.time_is_computed:
            before = 0.0 if self._last_time is None else self._last_time
            slack = _step_of(time)
            slack[0] += _START_S if self._last_time is None else 0.0
            late = np.diff(time, prepend=before) > _GAP_INTERVALS * self._interval_s + slack
            flags[late] |= np.uint32(Flag.GAP)
        if self._missing:
            flags[0] |= np.uint32(Flag.GAP)
            self._missing = False
        self._last_time = float(time[-1])
        return flags


def _step_of(time: Array) -> Array:
    """The resolution of the device's own time, in seconds."""
    return np.where(time < _MICROSECONDS_TO_S, 1e-6, np.where(time < _MILLISECONDS_TO_S, 1e-3, 1.0))
