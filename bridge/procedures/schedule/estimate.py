"""How long a schedule takes and what charge it passes, by walking through it with a cell of the reference capacity."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from bridge.analysis.capacity import ah

from .flow import after_loop, apply_set, is_true, next_of
from .language import (
    STEP_QUANTITIES,
    Ask,
    Branch,
    ConstantCurrent,
    ConstantCurrentVoltage,
    ConstantVoltage,
    Loop,
    Measured,
    NextCycle,
    Perform,
    Pulse,
    Schedule,
    Set,
    Step,
    Sweep,
    Test,
    Then,
)
from .registers import Registers

#: So many steps are walked at most: a schedule whose end depends on the cell goes on in the estimate for ever.
_WALK_MAX = 200_000
#: Share of the reference capacity that goes in at constant voltage after a constant current.
_TAPER_SHARE = 0.1
#: What a rest takes that ends by its slope and has no time limit.
_SLOPE_REST_S = 3600.0


@dataclass(slots=True)
class Estimate:
    """Seconds and coulombs. `complete` is false if the walk was cut off: the schedule may take longer without bound."""

    duration_s: float = 0.0
    charge_c: float = 0.0
    discharge_c: float = 0.0
    steps: int = 0
    cycles: int = 0
    complete: bool = True
    assumptions: list[str] = field(default_factory=list)
    by_step: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "duration_s": self.duration_s,
            "charge_ah": ah(self.charge_c),
            "discharge_ah": ah(self.discharge_c),
            "steps": self.steps,
            "cycles": self.cycles,
            "complete": self.complete,
            "assumptions": self.assumptions,
            "by_step_s": self.by_step,
        }


def estimate(schedule: Schedule) -> Estimate:
    """Assumes a cell that holds the reference capacity exactly, is empty at the start and never ages."""
    return _Walk(schedule).walk()


class _Walk:
    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._result = Estimate()
        self._registers = Registers(counters=dict(schedule.counters))
        self._inside_c = 0.0
        self._said: dict[str, None] = {}

    def walk(self) -> Estimate:
        place, result = 0, self._result
        while 0 <= place < len(self._schedule.steps):
            if result.steps >= _WALK_MAX:
                result.complete = False
                self._say(f"cut off after {_WALK_MAX} steps: the end depends on the cell")
                break
            place = self._after(place, self._do(self._schedule.steps[place]))
        result.cycles = self._registers.cycle - 1
        result.assumptions = list(self._said)
        return result

    def _after(self, place: int, then: Then) -> int:
        if then.kind == "goto":
            return self._schedule.index(then.target)
        return place + 1 if then.kind == "next" else len(self._schedule.steps)

    def _do(self, step: Step) -> Then:
        self._result.steps += 1
        if isinstance(step, Measured):
            return self._measured(step)
        if isinstance(step, Set):
            apply_set(step, self._registers)
        elif isinstance(step, NextCycle):
            self._registers.complete_capacities()
            self._registers.next_cycle()
        elif isinstance(step, Branch):
            return next_of(step, self._registers, self._schedule.capacity_c) or step.otherwise
        elif isinstance(step, Loop):
            return after_loop(step, self._registers, self._schedule.capacity_c)
        elif isinstance(step, Ask):
            self._say("the operator answers at once, the first choice")
            return next(iter(step.choices.values()))
        elif isinstance(step, Perform):
            self._say(f"the procedure {step.procedure} takes no time")
        return Then()

    def _say(self, text: str) -> None:
        self._said.setdefault(text)

    def _spend(self, step: Step, seconds: float, charge_c: float) -> None:
        """Signed charge."""
        result = self._result
        result.duration_s += seconds
        result.by_step[step.name] = result.by_step.get(step.name, 0.0) + seconds
        charge, discharge = max(charge_c, 0.0), max(-charge_c, 0.0)
        result.charge_c += charge
        result.discharge_c += discharge
        self._registers.add(seconds, charge, discharge)
        self._inside_c += charge_c

    def _measured(self, step: Measured) -> Then:
        reference = self._schedule.capacity_c
        if isinstance(step, Pulse):
            seconds = step.before_s + step.duration_s + step.after_s
            self._spend(step, seconds, step.current.si(reference) * step.duration_s)
            return Then()
        if isinstance(step, Sweep):
            begin = step.vertex1_v if step.begin_v is None else step.begin_v
            path = abs(step.vertex1_v - begin) + abs(step.vertex2_v - step.vertex1_v) + abs(begin - step.vertex2_v)
            self._spend(step, path * step.cycles / step.rate_v_per_s, 0.0)
            self._say("a sweep passes as much charge out as in")
            return Then()
        ends = [(self._seconds(step, condition.tests), condition.then) for condition in step.until]
        seconds, then = min(ends, key=lambda end: end[0], default=(math.inf, Then()))
        if not math.isfinite(seconds):
            self._say(f"step {step.name!r} takes {_SLOPE_REST_S:g} s: when it ends only the cell knows")
            seconds = _SLOPE_REST_S
        self._spend(step, seconds, self._charge(step, seconds))
        return then

    def _seconds(self, step: Measured, tests: tuple[Test, ...]) -> float:
        return max(self._seconds_of(step, test) for test in tests)

    def _seconds_of(self, step: Measured, test: Test) -> float:
        """How long until a test is true; infinity where that is not known."""
        reference = self._schedule.capacity_c
        if test.quantity == "time":
            return test.limit.value
        if test.quantity not in STEP_QUANTITIES:
            return 0.0 if is_true(test, self._registers, reference) else math.inf
        current = _current(step, reference)
        if test.quantity == "capacity" and current:
            return test.limit.si(reference) / abs(current)
        if test.quantity == "voltage" and current and reference is not None:
            self._say("between the voltage limits the cell holds the reference capacity")
            room = reference - self._inside_c if current > 0 else self._inside_c
            return max(room, 0.0) / abs(current)
        if test.quantity == "current" and reference is not None:
            return self._taper_s(step, test.limit.si(reference), reference)
        return math.inf

    def _taper_s(self, step: Measured, limit_a: float, reference_c: float) -> float:
        """At the cap until the last tenth of the capacity, which goes in by an exponential down to the limit."""
        cap = abs(_current(step, reference_c))
        if limit_a >= cap:
            return 0.0
        self._say(f"at constant voltage the last {_TAPER_SHARE * 100:g} % of the capacity goes in by an exponential")
        charging = self._charging(step)
        room = max(reference_c - self._inside_c if charging else self._inside_c, 0.0)
        tail = min(_TAPER_SHARE * reference_c, room)
        tau = tail / (cap - limit_a)
        return (room - tail) / cap + tau * math.log(cap / limit_a)

    def _charging(self, step: Measured) -> bool:
        """Whether a step puts charge in; one at constant voltage does unless the cell is full."""
        if isinstance(step, ConstantCurrent | ConstantCurrentVoltage):
            return step.current.value > 0
        return self._inside_c < (self._schedule.capacity_c or 0.0) / 2

    def _charge(self, step: Measured, seconds: float) -> float:
        reference = self._schedule.capacity_c
        current = _current(step, reference)
        if isinstance(step, ConstantCurrent):
            return current * seconds
        if isinstance(step, ConstantVoltage | ConstantCurrentVoltage) and reference is not None:
            charging = self._charging(step)
            room = max(reference - self._inside_c if charging else self._inside_c, 0.0)
            return min(room, abs(current) * seconds) * (1 if charging else -1)
        return 0.0


def _current(step: Measured, reference_c: float | None) -> float:
    """Set or allowed, signed where it is set."""
    if isinstance(step, ConstantCurrent | ConstantCurrentVoltage):
        return step.current.si(reference_c)
    return step.current_limit.si(reference_c) if isinstance(step, ConstantVoltage) else 0.0
