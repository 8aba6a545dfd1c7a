"""Conditions about one input, for rules of one's own, and the register of all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from drivers.errors import InvalidValue
from drivers.interfaces import option

from .acts import Act
from .cell_conditions import AtRest, CellsOff, ZeroCurrent
from .condition import Condition, Situation, Verdict, is_number, unusable
from .motion_conditions import (
    ClearOf,
    Identified,
    Never,
    PositionKnown,
    RouteIs,
    RouteIsNot,
    SoleMover,
    TipClear,
    TouchAlarmArmed,
    WithinLimits,
)
from .observations import Observations, Seen
from .windows import WindowLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfOneInput(Condition):
    input: str = option(help="what is looked at, such as gauge.pressure_pa")

    def inputs(self, act: Act) -> tuple[str, ...]:
        return (self.input,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Equals(_OfOneInput):
    """The input has this value."""

    name: ClassVar[str] = "equals"
    value: Any = option(help="text, a number, true or false")  # noqa: RUF009  # the import of Any hides what it is

    def judge(self, situation: Situation) -> Verdict:
        seen = situation.look_or_stated(self.input)
        needs = f"{self.input} must be {self.value}"
        if not seen.ok:
            return unusable(seen, needs)
        same = type(seen.value) is type(self.value) or (is_number(seen.value) and is_number(self.value))
        if same and seen.value == self.value:
            return Verdict(True, (seen,))
        return Verdict(False, (seen,), str(seen), needs)


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOf(_OfOneInput):
    """The input has one of these values."""

    name: ClassVar[str] = "one_of"
    values: Sequence[Any] = option(help="a list")

    def __post_init__(self) -> None:
        if isinstance(self.values, str) or not isinstance(self.values, Sequence) or not self.values:
            raise InvalidValue(f"values is {self.values!r}; accepted: a list that is not empty")

    def judge(self, situation: Situation) -> Verdict:
        seen = situation.look_or_stated(self.input)
        needs = f"{self.input} must be one of {', '.join(map(str, self.values))}"
        if not seen.ok:
            return unusable(seen, needs)
        if any(type(seen.value) is type(value) and seen.value == value for value in self.values):
            return Verdict(True, (seen,))
        return Verdict(False, (seen,), str(seen), needs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Between(_OfOneInput):
    """The input is a number from `at_least` to `at_most`; of its amount, with `magnitude`."""

    name: ClassVar[str] = "between"
    at_least: float = option(-math.inf, help="lower limit")
    at_most: float = option(math.inf, help="upper limit")
    magnitude: bool = option(False, help="true: the limits are for the value without its sign")

    def __post_init__(self) -> None:
        for name in ("at_least", "at_most"):
            if not is_number(getattr(self, name)):
                raise InvalidValue(f"{name} is {getattr(self, name)!r}; accepted: a number, in the input's SI unit")
        if not self.at_least <= self.at_most:
            raise InvalidValue(f"at_least is {self.at_least:g}, not below at_most, {self.at_most:g}")
        if math.isinf(self.at_least) and math.isinf(self.at_most):
            raise InvalidValue("at_least and at_most are both missing; one of them is needed")

    def judge(self, situation: Situation) -> Verdict:
        seen = situation.look(self.input)
        subject = f"the amount of {self.input}" if self.magnitude else self.input
        limits = [
            f"at {which} {limit:g}"
            for which, limit in (("least", self.at_least), ("most", self.at_most))
            if math.isfinite(limit)
        ]
        needs = f"{subject} must be {' and '.join(limits)}"
        if not seen.ok:
            return unusable(seen, needs)
        if (
            is_number(seen.value)
            and self.at_least <= (abs(seen.value) if self.magnitude else seen.value) <= self.at_most
        ):
            return Verdict(True, (seen,))
        return Verdict(False, (seen,), str(seen), needs)


@dataclass(frozen=True, slots=True, kw_only=True)
class SteadyBelow(_OfOneInput):
    """The input was at most `on_at_most` several times in a row, and has not been above `off_above` since."""

    name: ClassVar[str] = "steady_below"
    on_at_most: float = option(help="good readings are at most this")
    off_above: float = option(help="above this it holds no more, until it was good several times again")
    readings: int = option(3, at_least=1, help="good readings in a row")
    max_gap_s: float = option(2.0, unit="s", above=0.0, help="readings further apart are not in a row")

    def __post_init__(self) -> None:
        for name in ("on_at_most", "off_above"):
            if not is_number(getattr(self, name)) or not math.isfinite(getattr(self, name)):
                raise InvalidValue(f"{name} is {getattr(self, name)!r}; accepted: a finite number")
        if self.off_above < self.on_at_most:
            raise InvalidValue(f"off_above is {self.off_above:g}, below on_at_most, {self.on_at_most:g}")

    @property
    def limits(self) -> WindowLimits:
        return WindowLimits(self.on_at_most, self.off_above, self.readings, max_gap_s=self.max_gap_s)

    def prepare(self, observations: Observations) -> None:
        observations.watch(self.input, self.limits)

    def wants_more(self, situation: Situation) -> bool:
        return not situation.observations.watch(self.input, self.limits).is_open and self._is_good(situation)

    def _is_good(self, situation: Situation) -> bool:
        seen = situation.look(self.input)
        return seen.ok and is_number(seen.value) and bool(seen.value <= self.on_at_most)

    def judge(self, situation: Situation) -> Verdict:
        window = situation.observations.watch(self.input, self.limits)
        seen = situation.look(self.input)
        needs = f"{self.readings} good, fresh readings of {self.input} in a row, of at most {self.on_at_most:g}"
        if not seen.ok:
            return unusable(seen, needs)
        if not is_number(seen.value):
            return Verdict(False, (Seen(seen.input, seen.value, seen.age_s, "no number"),), "it is no number", needs)
        if window.is_open:
            return Verdict(True, (seen,))
        return Verdict(False, (seen,), f"{seen}, with {window.good} good readings in a row so far", needs)


#: What a rule can require, by the name that a configuration uses.
CONDITIONS: Mapping[str, type[Condition]] = {
    condition.name: condition
    for condition in (
        Equals,
        OneOf,
        Between,
        SteadyBelow,
        Identified,
        PositionKnown,
        WithinLimits,
        ClearOf,
        SoleMover,
        TipClear,
        TouchAlarmArmed,
        RouteIs,
        RouteIsNot,
        CellsOff,
        ZeroCurrent,
        AtRest,
        Never,
    )
}
