"""The schedule language as frozen values: steps, the conditions that end them, loops, counters, safety limits.

SI units. Positive current charges the cell. `docs/schedules.md` is the language as a user writes it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .amounts import Amount

#: What a step measures of itself: quantity, its unit, and the comparison that is meant where none is written.
STEP_QUANTITIES: Mapping[str, tuple[str, str]] = {
    "time": ("s", ">="),
    "voltage": ("V", ""),
    "current": ("A", "<="),
    "capacity": ("C", ">="),
    "energy": ("J", ">="),
    "dv_dt": ("V/s", "<"),
}

#: What the run counts: register, its unit, and the comparison that is meant where none is written.
REGISTERS: Mapping[str, tuple[str, str]] = {
    "cycle": ("1", ">="),
    "steps": ("1", ">="),
    "total_time": ("s", ">="),
    "cycle_time": ("s", ">="),
    "charge_capacity": ("C", ">="),
    "discharge_capacity": ("C", ">="),
    "total_charge": ("C", ">="),
    "total_discharge": ("C", ">="),
    "net_capacity": ("C", ">="),
    "last_charge_capacity": ("C", "<="),
    "last_discharge_capacity": ("C", "<="),
    "first_discharge_capacity": ("C", "<="),
    "retention": ("1", "<="),
    "efficiency": ("1", "<="),
}

#: What the comparisons of the language do; on arrays, sample by sample.
OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
}


@dataclass(frozen=True, slots=True)
class Test:
    """`quantity` (of the step, a register, or a counter of the user's) compared with a limit. `current` and `dv_dt` are
    magnitudes, `capacity` and `energy` what the step has passed, unsigned."""

    quantity: str
    operator: str
    limit: Amount

    @property
    def text(self) -> str:
        return f"{self.quantity} {self.operator} {self.limit.text}"


@dataclass(frozen=True, slots=True)
class Then:
    """Where a step's end leads: `kind` is next, goto, stop (a normal end of the schedule) or fault (an error)."""

    kind: str = "next"
    target: str = ""

    @property
    def text(self) -> str:
        return f"goto {self.target}" if self.kind == "goto" else self.kind


NEXT = Then()


@dataclass(frozen=True, slots=True)
class Condition:
    """True when all its tests are, at the same sample."""

    tests: tuple[Test, ...]
    then: Then = NEXT

    @property
    def text(self) -> str:
        return " and ".join(test.text for test in self.tests)

    def single(self, quantity: str) -> Test | None:
        """Its only test, if it is one of `quantity`."""
        return self.tests[0] if len(self.tests) == 1 and self.tests[0].quantity == quantity else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What all steps have. `number` counts from 1 in the order of the file."""

    kind: ClassVar[str]
    name: str
    number: int
    until: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Step):
    """A step with samples. `dv_dt_window_s` is the stretch over which a slope is fitted."""

    interval_s: float
    dv_dt_window_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest(Measured):
    """The cell disconnected, nothing measured; measured as an open circuit only if an end needs its voltage."""

    kind: ClassVar[str] = "rest"

    @property
    def looks(self) -> bool:
        """Whether it has to be measured."""
        return any(test.quantity in ("voltage", "dv_dt") for condition in self.until for test in condition.tests)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCircuit(Measured):
    """The voltage, with no current through the cell."""

    kind: ClassVar[str] = "open_circuit"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantCurrent(Measured):
    kind: ClassVar[str] = "cc"
    current: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantVoltage(Measured):
    """`current_limit` caps the current: where the cell would take more, that much flows until it is at the voltage."""

    kind: ClassVar[str] = "cv"
    voltage_v: float
    current_limit: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantCurrentVoltage(Measured):
    """Constant current to a voltage, then that voltage. Its ends are judged over both, `current` in the second only."""

    kind: ClassVar[str] = "cccv"
    current: Amount
    voltage_v: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse(Measured):
    """A current for `duration_s`, after `before_s` and before `after_s` of open circuit; the voltage steps give the
    resistance at `delays_s`. Its ends are judged during the pulse and mean that it was cut short."""

    kind: ClassVar[str] = "pulse"
    current: Amount
    duration_s: float
    before_s: float
    after_s: float
    delays_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep(Measured):
    """Cyclic voltammetry. Without `begin_v` it begins at the open-circuit voltage."""

    kind: ClassVar[str] = "sweep"
    begin_v: float | None
    vertex1_v: float
    vertex2_v: float
    rate_v_per_s: float
    step_v: float
    cycles: int
    current_limit: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Perform(Step):
    """Another procedure, with parameters as a client gives them."""

    kind: ClassVar[str] = "procedure"
    procedure: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(Step):
    """A question to the operator; each answer leads somewhere."""

    kind: ClassVar[str] = "ask"
    text: str
    choices: Mapping[str, Then]


@dataclass(frozen=True, slots=True, kw_only=True)
class Set(Step):
    """Counters of the user's: set to a value, or a value added."""

    kind: ClassVar[str] = "set"
    values: Mapping[str, float] = field(default_factory=dict)
    added: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch(Step):
    """Its ends are judged at once, on registers; if none is true the next step follows. `otherwise` leads elsewhere."""

    kind: ClassVar[str] = "branch"
    otherwise: Then = NEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop(Step):
    """Back to `to` until the steps from there have been done `times` times, or until one of its ends is true.

    `counts_cycles`: each time it is reached a cycle has been completed; None where the schedule does not say.
    """

    kind: ClassVar[str] = "loop"
    to: str
    times: int | None
    counts_cycles: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NextCycle(Step):
    """A cycle is complete; the next one begins. A schedule with such a step counts cycles by them, not by its loops."""

    kind: ClassVar[str] = "cycle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Safety:
    """Limits below the schedule. They never end a step normally: beyond one the cell is disconnected and the run has
    failed. A voltage is judged in the direction in which the step drives it, after two samples in a row."""

    voltage_min_v: float | None = None
    voltage_max_v: float | None = None
    current_max: Amount | None = None
    charge_factor: float = 1.2
    step_time_s: float = 172_800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """`capacity_c` is what C-rates refer to; with `reference` "measured" it is the last completed discharge's, once
    there is one. `counters` are the user's, with their first values."""

    name: str
    steps: tuple[Step, ...]
    safety: Safety
    area_m2: float | None = None
    capacity_c: float | None = None
    reference: str = "nominal"
    stray_f: float = 0.0
    counters: Mapping[str, float] = field(default_factory=dict)
    text: str = ""

    def index(self, name: str) -> int:
        """Position of a step. Raises `KeyError`."""
        for position, step in enumerate(self.steps):
            if step.name == name:
                return position
        raise KeyError(name)
