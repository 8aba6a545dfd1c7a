"""What every detector of the health watch takes and gives.

A detector looks at one run, block by block, and keeps what it needs between blocks. It is told of each technique's
start (`begin`) and end (`finish`). What it finds never depends on how the samples are cut into blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from drivers.plain import to_plain
from drivers.samples import EndReason
from drivers.techniques import Galvanostatic, Impedance, Potentiostatic, Technique

Array = npt.NDArray[Any]

#: Cable, domain note 2.3: 1 m of coax.
STRAY_F = 100e-12

#: Areal resistance of the LiPON nanobattery between its terminals, domain note 7.2: 130 Ohm cm2.
CELL_OHM_M2 = 130e-4

#: The smallest differential capacitance that a cell of the field shows anywhere in its window: where 80 nm of silicon
#: runs empty its potential falls by 100 V per unit of 65.3 uAh/cm2 (domain note 7.1).
CELL_LEAST_F_PER_M2 = 65.3 * 36.0 / 100.0

#: V per C/m2: the steepest that a cell of the field gets when it runs empty. Plated lithium that is used up lets the
#: potential go by 1000 V per unit of the 65.3 uAh/cm2; nothing on an instrument's time scale is steeper.
STEEPEST_V_M2_PER_C = 1000.0 / (65.3 * 36.0)

#: Nothing is judged for this long after a commanded change, where the cell's own settling is not longer.
QUIET_S = 1.0
#: The same where the cell's area, and so its settling, is not known (domain note 2.3).
QUIET_UNKNOWN_S = 10.0


@dataclass(frozen=True, slots=True)
class Samples:
    """Consecutive samples, or means over `stride` of them. Every array has shape (n,).

    `time_s` counts from the start of the technique. `index` is that of the first sample within the technique.
    """

    time_s: Array
    voltage_v: Array
    current_a: Array
    flags: Array
    index: int = 0
    stride: int = 1

    def __len__(self) -> int:
        return len(self.time_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the samples were taken in.

    `area_m2` is None where nobody said it. `range_a` is the full scale of the current range. `low_v` and `high_v` are
    the hard window. `planned_c` is the charge that a step is planned to take. `settle_s` is the range's settling time.
    `cell` False leaves out what makes sense for a cell only: a noise test's resistor is not shorted.
    """

    technique: Technique
    stray_f: float = STRAY_F
    area_m2: float | None = None
    range_a: float | None = None
    low_v: float | None = None
    high_v: float | None = None
    planned_c: float | None = None
    settle_s: float = 0.0
    cell: bool = True

    @property
    def set_a(self) -> float | None:
        """The current that is set, 0 at open circuit, None where a voltage is set."""
        if isinstance(self.technique, Galvanostatic):
            return self.technique.current_a
        if isinstance(self.technique, Potentiostatic) or not hasattr(self.technique, "duration_s"):
            return None
        return 0.0

    @property
    def interval_s(self) -> float:
        return float(getattr(self.technique, "interval_s", 0.0))

    @property
    def sampled(self) -> bool:
        """Whether its samples are voltage and current over time."""
        return not isinstance(self.technique, Impedance)

    @property
    def cell_ohm(self) -> float | None:
        """Between the terminals of a healthy cell."""
        return None if self.area_m2 is None else CELL_OHM_M2 / self.area_m2

    @property
    def quiet_s(self) -> float:
        """For how long after the start of the technique nothing can be judged: five times RC (the lead is charged
        through the cell), the range's settling."""
        if self.cell_ohm is None:
            return max(QUIET_UNKNOWN_S, self.settle_s)
        return max(QUIET_S, 5.0 * self.cell_ohm * self.stray_f, self.settle_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault. Times count from the start of the technique; samples `first_index` up to but without `next_index`.

    `severity` is "warning" for what the sample survives and "error" for what ends it. `evidence` holds the numbers
    that decided, with the unit in the name. `charge_c` passed between onset and finding (unsigned), `delay_s` later.
    `action` is what to do, in words.
    """

    kind: str
    from_s: float
    to_s: float
    first_index: int
    next_index: int
    severity: str
    charge_c: float
    delay_s: float
    action: str
    text: str
    evidence: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        plain: dict[str, Any] = to_plain({name: getattr(self, name) for name in self.__slots__})
        return plain


class Detector(Protocol):
    """One kind of fault, or a few that share their evidence."""

    def begin(self, situation: Situation) -> None:
        """A technique starts; its samples' time starts at zero."""

    def add(self, samples: Samples, situation: Situation) -> list[Finding]:
        """The next samples of the technique."""

    def finish(self, end: EndReason | None, situation: Situation) -> list[Finding]:
        """The technique has ended; all of its samples have been added."""


NOTHING = Samples(np.empty(0), np.empty(0), np.empty(0), np.empty(0, np.uint32))
"""No samples."""


class Tail:
    """The last `length` samples of a technique, put before each new block: windows then never notice the cuts."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._kept: Samples | None = None

    def clear(self) -> None:
        self._kept = None

    def join(self, samples: Samples) -> tuple[Samples, int]:
        """Tail and samples as one, and where the new ones begin in it."""
        kept = self._kept
        joined = samples if kept is None else _joined(kept, samples)
        new = len(joined) - len(samples)
        cut = max(0, len(joined) - self._length)
        self._kept = part(joined, cut, len(joined))
        return joined, new


def part(samples: Samples, start: int, stop: int) -> Samples:
    return Samples(
        samples.time_s[start:stop],
        samples.voltage_v[start:stop],
        samples.current_a[start:stop],
        samples.flags[start:stop],
        samples.index + start * samples.stride,
        samples.stride,
    )


def _joined(left: Samples, right: Samples) -> Samples:
    return Samples(
        np.concatenate((left.time_s, right.time_s)),
        np.concatenate((left.voltage_v, right.voltage_v)),
        np.concatenate((left.current_a, right.current_a)),
        np.concatenate((left.flags, right.flags)),
        left.index,
        left.stride,
    )
