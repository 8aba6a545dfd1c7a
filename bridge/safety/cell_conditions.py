"""Conditions about the source: whether the cell is connected, and what flows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from bridge.analysis.formatting import si
from drivers.interfaces import option

from .acts import APPROACH, Act, Kind
from .condition import ALWAYS, Condition, Situation, Verdict, first_bad, is_number
from .motion_conditions import checked_names
from .observations import Seen

#: A potentiostat is asked every 5 s while it is idle: what was proven of its cell holds for two such periods.
CELL_MAX_AGE_S = 12.0


def _cell(situation: Situation, name: str, max_age_s: float) -> Seen:
    return situation.look(f"{name}.cell", max_age_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellsOff(Condition):
    """Every cell is disconnected; or, in mode approach, the act is one small step of a tip, what may flow is small, and
    samples come that would tell a touch."""

    name: ClassVar[str] = "cells_off"
    cells: Sequence[str] = option(help="names of the potentiostats")
    approach_step_m: float = option(1e-6, unit="m", above=0.0, help="longest step of an approach")
    approach_current_a: float = option(10e-12, unit="A", above=0.0, help="largest current that may flow meanwhile")
    approach_periods: float = option(2.0, above=0.0, help="a sample may be so many sampling intervals old")
    approach_least_age_s: float = option(0.5, unit="s", at_least=0.0, help="but it always may be so old")
    cell_max_age_s: float = option(CELL_MAX_AGE_S, unit="s", above=0.0, help="how long a proof that it is off holds")

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", checked_names("cells", self.cells))

    def inputs(self, act: Act) -> tuple[str, ...]:
        names = ["cell", "interval_s", "current_limit_a"] if act.mode == APPROACH else ["cell"]
        return tuple(f"{cell}.{name}" for cell in self.cells for name in names)

    def judge(self, situation: Situation) -> Verdict:
        return first_bad([self._of(cell, situation) for cell in self.cells])

    def _of(self, cell: str, situation: Situation) -> Verdict:
        seen = _cell(situation, cell, self.cell_max_age_s)
        if seen.ok and seen.value == "off":
            return Verdict(True, (seen,))
        if situation.act.mode != APPROACH or situation.act.interface != "manipulator":
            return Verdict(False, (seen,), str(seen), f"the cell of {cell} must be off, and proven off")
        if seen.value != "on":
            return Verdict(False, (seen,), str(seen), f"the cell of {cell} must be off, or on with its samples coming")
        return self._approach(cell, seen, situation)

    def _approach(self, cell: str, on: Seen, situation: Situation) -> Verdict:
        act = situation.act
        step_m = _length_m(act)
        if not step_m <= self.approach_step_m:
            how = "not one relative step" if math.isinf(step_m) else f"a step of {si(step_m, 'm')}"
            needs = f"in mode approach a relative step of at most {si(self.approach_step_m, 'm')} is accepted"
            return Verdict(False, (on,), f"the cell of {cell} is on, and {act.name} is {how}", needs)
        bound = situation.look(f"{cell}.current_limit_a", ALWAYS)
        if not bound.ok or not is_number(bound.value) or not abs(bound.value) <= self.approach_current_a * (1 + 1e-9):
            needs = f"in mode approach {cell} may be set to at most {si(self.approach_current_a, 'A')}"
            return Verdict(False, (on, bound), str(bound), needs)
        interval = situation.look(f"{cell}.interval_s", ALWAYS)
        allowed_s = self.approach_least_age_s
        if interval.ok and is_number(interval.value):
            allowed_s = max(allowed_s, self.approach_periods * interval.value)
        if not interval.ok or interval.age_s is None or not interval.age_s <= allowed_s:
            age = "no sample has come" if interval.age_s is None else f"the last sample is {interval.age_s:.3g} s old"
            needs = f"samples of {cell} must keep coming, none older than {allowed_s:g} s"
            return Verdict(False, (on, bound, interval), age, needs)
        return Verdict(True, (on, bound, interval))


def _length_m(act: Act) -> float:
    """Of a relative move; infinite for any other."""
    if act.method != "move_by" or act.kinds != frozenset({Kind.MOVE}):
        return math.inf
    lengths = [float(value) for name, value in act.arguments.items() if name.endswith("_m") and is_number(value)]
    length_m = math.hypot(*lengths)
    return length_m if math.isfinite(length_m) else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroCurrent(Condition):
    """Of each potentiostat: the cell is proven off, or what was measured just now is nothing."""

    name: ClassVar[str] = "zero_current"
    cells: Sequence[str] = option(help="names of the potentiostats")
    zero_a: float = option(1e-12, unit="A", above=0.0, help="less than this is nothing")
    cell_max_age_s: float = option(CELL_MAX_AGE_S, unit="s", above=0.0, help="how long a proof that it is off holds")

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", checked_names("cells", self.cells))

    def inputs(self, act: Act) -> tuple[str, ...]:
        return tuple(f"{cell}.{name}" for cell in self.cells for name in ("cell", "current_a"))

    def judge(self, situation: Situation) -> Verdict:
        return first_bad([self._of(cell, situation) for cell in self.cells])

    def _of(self, cell: str, situation: Situation) -> Verdict:
        needs = f"the cell of {cell} must be off, or carry less than {si(self.zero_a, 'A')}"
        seen = _cell(situation, cell, self.cell_max_age_s)
        if seen.ok and seen.value == "off":
            return Verdict(True, (seen,))
        if not seen.ok or seen.value != "on":
            return Verdict(False, (seen,), str(seen), needs)
        current = situation.look(f"{cell}.current_a")
        if current.ok and is_number(current.value) and abs(current.value) < self.zero_a:
            return Verdict(True, (seen, current))
        return Verdict(False, (seen, current), f"the cell of {cell} is on, and {current}", needs)


@dataclass(frozen=True, slots=True, kw_only=True)
class AtRest(Condition):
    """None of these moves or switches: the other side of a move that needs the cell off."""

    name: ClassVar[str] = "at_rest"
    devices: Sequence[str] = option(help="names of stages, manipulators and feedthroughs")

    def __post_init__(self) -> None:
        object.__setattr__(self, "devices", checked_names("devices", self.devices))

    def inputs(self, act: Act) -> tuple[str, ...]:
        return tuple(f"{device}.moving" for device in self.devices)

    def judge(self, situation: Situation) -> Verdict:
        looked = []
        for device in self.devices:
            if situation.observations.newest(f"{device}.moving") is None:
                continue  # the engine writes it when the first act begins
            seen = situation.look(f"{device}.moving", ALWAYS)
            looked.append(seen)
            if seen.value is not False:
                return Verdict(False, tuple(looked), f"{device} is moving", f"wait until {device} rests, or stop it")
        return Verdict(True, tuple(looked))
