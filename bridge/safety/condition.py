"""What a condition is: values that say what must hold, a pure function that says whether it does, and of what."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from .acts import Act
from .observations import Observations, Seen

#: An age that no reading exceeds: of what holds until it is told otherwise, such as who answered when connecting.
ALWAYS = float("inf")


@dataclass(frozen=True, slots=True)
class Situation:
    """An act at a moment. `max_age_s` is the rule's, for readings that have no other."""

    act: Act
    observations: Observations
    now: float
    max_age_s: float

    def look(self, input: str, max_age_s: float | None = None) -> Seen:
        return self.observations.look(input, self.now, self.max_age_s if max_age_s is None else max_age_s)

    def look_or_stated(self, input: str) -> Seen:
        return self.observations.look_or_stated(input, self.now, self.max_age_s)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`why` it does not hold and what it `needs`, in plain words; the inputs as they were `seen` in any case."""

    ok: bool
    seen: tuple[Seen, ...] = ()
    why: str = ""
    needs: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition(ABC):
    """Derived classes are frozen dataclasses with fields made by `option`, so that a configuration can have them.

    `name` is what a configuration calls it.
    """

    name: ClassVar[str] = ""

    @abstractmethod
    def inputs(self, act: Act) -> tuple[str, ...]:
        """What it looks at."""

    @abstractmethod
    def judge(self, situation: Situation) -> Verdict:
        """Without side effects. An input that is missing, too old, invalid or not finite does not hold."""

    def wants_more(self, situation: Situation) -> bool:
        """Whether it does not hold, but may with the next reading of its inputs, however fresh the last one is."""
        return False

    def prepare(self, observations: Observations) -> None:  # noqa: B027  # most need nothing
        """Before the first reading comes: what has to be followed from the beginning."""


def unusable(seen: Seen, needs: str) -> Verdict:
    """The verdict about an input that cannot be relied on."""
    return Verdict(False, (seen,), str(seen), needs)


def first_bad(verdicts: list[Verdict]) -> Verdict:
    """All of them must hold: the first that does not, with the inputs of all."""
    seen = tuple(one for verdict in verdicts for one in verdict.seen)
    for verdict in verdicts:
        if not verdict.ok:
            return Verdict(False, seen, verdict.why, verdict.needs)
    return Verdict(True, seen)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
