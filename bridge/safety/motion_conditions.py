"""Conditions about stage, tip and feedthrough."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from drivers.errors import InvalidValue
from drivers.interfaces import TouchAlarm, option

from .acts import Act
from .condition import ALWAYS, Condition, Situation, Verdict, first_bad, is_number, unusable
from .observations import UNKNOWN, Seen


def checked_names(field: str, value: Any) -> tuple[str, ...]:
    """Names as a tuple. Raises `InvalidValue` for anything but a list of text."""
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(name, str) for name in value):
        raise InvalidValue(f"{field} is {value!r}; accepted: a list of names")
    return tuple(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified(Condition):
    """The device is connected, and is the one that the configuration names."""

    name: ClassVar[str] = "identified"

    def inputs(self, act: Act) -> tuple[str, ...]:
        return (f"{act.device}.connected", f"{act.device}.identity_ok")

    def judge(self, situation: Situation) -> Verdict:
        device = situation.act.device
        verdicts = []
        for input, needs in zip(
            self.inputs(situation.act),
            (f"{device} must be connected", f"{device} must be the device that the configuration names"),
            strict=True,
        ):
            seen = situation.look(input, ALWAYS)
            verdicts.append(Verdict(seen.ok and seen.value is True, (seen,), str(seen), needs))
        return first_bad(verdicts)


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionKnown(Condition):
    """The device knows where it is."""

    name: ClassVar[str] = "position_known"

    def inputs(self, act: Act) -> tuple[str, ...]:
        return (f"{act.device}.position_known",)

    def judge(self, situation: Situation) -> Verdict:
        seen = situation.look(f"{situation.act.device}.position_known")
        needs = f"initialise or home {situation.act.device}, so that its position is known; relative moves are possible"
        return Verdict(seen.ok and seen.value is True, (seen,), str(seen), needs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Never(Condition):
    """What the configuration excludes, whatever is read."""

    name: ClassVar[str] = "never"
    because: str = option(help="why not")
    needs: str = option("a change of the configuration", help="what would be needed")

    def inputs(self, act: Act) -> tuple[str, ...]:
        return ()

    def judge(self, situation: Situation) -> Verdict:
        return Verdict(False, (), self.because, self.needs)


def axes_of(seen: Seen) -> dict[str, float]:
    """A position's axes that are known."""
    if not seen.ok or not isinstance(seen.value, Mapping):
        return {}
    return {axis: value for axis, value in seen.value.items() if is_number(value) and math.isfinite(value)}


def target_of(act: Act, start: Mapping[str, float]) -> dict[str, float]:
    """Where the axes that an act moves will be: NaN for a step of an axis that `start` has not."""
    given = {name: value for name, value in act.arguments.items() if is_number(value)}
    if act.method != "move_by":
        return given
    return {name: start.get(name, math.nan) + value for name, value in given.items() if value != 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class WithinLimits(Condition):
    """Every axis that moves ends within its soft limits.

    The limits are one interval an axis, so whichever order the axes take, what begins and ends within stays within; an
    axis that begins outside may come back in.
    """

    name: ClassVar[str] = "within_limits"

    def inputs(self, act: Act) -> tuple[str, ...]:
        position = (f"{act.device}.position",) if act.method == "move_by" else ()
        return (f"{act.device}.limits", *position)

    def judge(self, situation: Situation) -> Verdict:
        act = situation.act
        limits = situation.look(f"{act.device}.limits", ALWAYS)
        if not limits.ok or not isinstance(limits.value, Mapping):
            return unusable(limits, f"the soft limits of {act.device} must be known")
        looked = [limits]
        start: dict[str, float] = {}
        if act.method == "move_by":
            position = situation.look(f"{act.device}.position")
            start = axes_of(position)
            if not start:
                return unusable(position, f"the position of {act.device} must be known to tell where a step ends")
            looked.append(position)
        for axis, value in target_of(act, start).items():
            ends = limits.value.get(axis, (-math.inf, math.inf))
            if not is_interval(ends):
                return Verdict(False, tuple(looked), f"the limits of {axis} are {ends!r}", "two numbers")
            if not _within(axis, value, ends):
                unit = axis.rpartition("_")[2]
                why = f"{axis} would be {value:.6g} {unit}" if math.isfinite(value) else f"{axis} is not known"
                needs = f"{axis} from {ends[0]:.6g} to {ends[1]:.6g} {unit} is accepted"
                return Verdict(False, tuple(looked), why, needs)
        return Verdict(True, tuple(looked))


def is_interval(ends: Any) -> bool:
    """Whether it is two numbers, the lower one first."""
    fits = isinstance(ends, Sequence) and len(ends) == 2 and all(is_number(end) for end in ends)
    return fits and bool(ends[0] <= ends[1])


def _within(axis: str, value: float, ends: Sequence[float]) -> bool:
    low, high = ends
    return low <= value <= high or (axis == "rotation_deg" and low <= value % 360.0 <= high)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearOf(Condition):
    """Whichever order the axes take, the way does not lead through a region: one interval an axis, all at once.

    From inside it, only a move that ends outside is accepted.
    """

    name: ClassVar[str] = "clear_of"
    region: Mapping[str, Sequence[float]] = option(help="such as {tilt_deg = [30, 90], z_m = [0.03, 0.04]}")

    def __post_init__(self) -> None:
        if not isinstance(self.region, Mapping) or not self.region:
            raise InvalidValue(f"region is {self.region!r}; accepted: a table such as {{z_m = [0.03, 0.04]}}")
        for axis, ends in self.region.items():
            if not is_interval(ends):
                raise InvalidValue(f"region has {axis} = {ends!r}; accepted: [lowest, highest], in m or degrees")

    def inputs(self, act: Act) -> tuple[str, ...]:
        return (f"{act.device}.position",)

    def judge(self, situation: Situation) -> Verdict:
        act = situation.act
        seen = situation.look(f"{act.device}.position")
        needs = f"a way that keeps out of {self._region_text}"
        start = axes_of(seen)
        if not start:
            return unusable(seen, f"the position of {act.device} must be known to tell where its way leads")
        target = start | target_of(act, start)
        starts_in = self._touched(start, start)
        ends_in = self._touched(target, target)
        crosses = self._touched(start, target)
        if crosses and (ends_in or not starts_in):
            return Verdict(False, (seen,), f"the way leads through {self._region_text}", needs)
        return Verdict(True, (seen,))

    def _touched(self, start: Mapping[str, float], target: Mapping[str, float]) -> bool:
        return all(_meets(start.get(axis), target.get(axis), ends) for axis, ends in self.region.items())

    @property
    def _region_text(self) -> str:
        return " and ".join(f"{axis} {low:g} to {high:g}" for axis, (low, high) in self.region.items())


def _meets(a: float | None, b: float | None, ends: Sequence[float]) -> bool:
    """Whether the way from `a` to `b` has a point within `ends`; true where it cannot be told."""
    if a is None or b is None or not (math.isfinite(a) and math.isfinite(b)):
        return True
    return min(a, b) <= ends[1] and max(a, b) >= ends[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class SoleMover(Condition):
    """Nothing else of the group moves or switches."""

    name: ClassVar[str] = "sole_mover"
    devices: Sequence[str] = option(help="the group")

    def __post_init__(self) -> None:
        object.__setattr__(self, "devices", checked_names("devices", self.devices))

    def inputs(self, act: Act) -> tuple[str, ...]:
        return tuple(f"{device}.moving" for device in self.devices if device != act.device)

    def judge(self, situation: Situation) -> Verdict:
        looked = []
        for input in self.inputs(situation.act):
            reading = situation.observations.newest(input)
            if reading is None:  # the engine writes it when the first act begins
                continue
            seen = situation.look(input, ALWAYS)
            looked.append(seen)
            if seen.value is not False:
                mover = input.removesuffix(".moving")
                return Verdict(False, tuple(looked), f"{mover} is moving", f"wait until {mover} rests, or stop it")
        return Verdict(True, tuple(looked))


@dataclass(frozen=True, slots=True, kw_only=True)
class TipClear(Condition):
    """No tip is inserted, or touches the sample.

    A device that tells that it is drawn back is believed. One that does not must be known not to touch: by how far it
    is from where it touched last, or by the word of a person.
    """

    name: ClassVar[str] = "tip_clear"
    manipulators: Sequence[str] = option(help="their names")

    def __post_init__(self) -> None:
        object.__setattr__(self, "manipulators", checked_names("manipulators", self.manipulators))

    def inputs(self, act: Act) -> tuple[str, ...]:
        return tuple(f"{name}.{what}" for name in self.manipulators for what in ("inserted", "contact"))

    def judge(self, situation: Situation) -> Verdict:
        return first_bad([self._of(name, situation) for name in self.manipulators])

    def _of(self, name: str, situation: Situation) -> Verdict:
        contact = situation.look_or_stated(f"{name}.contact")
        inserted = situation.look(f"{name}.inserted", ALWAYS)  # told by insert and retract, and holds until it moves
        looked = (inserted, contact)
        needs = f"{name} must be drawn back from the sample, told by its device or stated by somebody who has seen it"
        if contact.value is True:
            return Verdict(False, looked, f"the tip of {name} is in contact", needs)
        if inserted.value is True:
            return Verdict(False, looked, f"{name} is inserted", needs)
        if inserted.ok and inserted.value is False:
            return Verdict(True, looked)
        if contact.ok and contact.value is False:
            return Verdict(True, looked)
        return Verdict(False, looked, str(contact), needs)


@dataclass(frozen=True, slots=True, kw_only=True)
class TouchAlarmArmed(Condition):
    """The touch alarm would stop the stage: the stage says so, or, where it cannot tell, a person does."""

    name: ClassVar[str] = "touch_alarm_armed"

    def inputs(self, act: Act) -> tuple[str, ...]:
        return (f"{act.device}.touch_alarm",)

    def judge(self, situation: Situation) -> Verdict:
        stage = situation.act.device
        seen = situation.look_or_stated(f"{stage}.touch_alarm")
        needs = f"the touch alarm of {stage} must be armed"
        if seen.ok and seen.value == TouchAlarm.ARMED:
            return Verdict(True, (seen,))
        if seen.ok and seen.value == UNKNOWN:
            needs += "; the stage does not tell, so somebody has to state that it is"
        elif seen.value == TouchAlarm.TRIPPED:
            needs += ": find out what touches"
        return Verdict(False, (seen,), str(seen), needs)


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfRoutes(Condition):
    feedthroughs: Sequence[str] = option(help="their names")
    routes: Sequence[str] = option(help="names of routes")

    def __post_init__(self) -> None:
        object.__setattr__(self, "feedthroughs", checked_names("feedthroughs", self.feedthroughs))
        object.__setattr__(self, "routes", checked_names("routes", self.routes))

    def inputs(self, act: Act) -> tuple[str, ...]:
        return tuple(f"{name}.route" for name in self.feedthroughs)

    def judge(self, situation: Situation) -> Verdict:
        return first_bad([self._of(name, situation.look(f"{name}.route")) for name in self.feedthroughs])

    @abstractmethod
    def _of(self, name: str, seen: Seen) -> Verdict:
        """About one feedthrough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteIs(_OfRoutes):
    """Every feedthrough has one of these routes closed."""

    name: ClassVar[str] = "route_is"

    def _of(self, name: str, seen: Seen) -> Verdict:
        needs = f"{name} must be at {' or '.join(self.routes)}"
        return Verdict(seen.ok and seen.value in self.routes, (seen,), str(seen), needs)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteIsNot(_OfRoutes):
    """No feedthrough has one of these routes closed."""

    name: ClassVar[str] = "route_is_not"

    def _of(self, name: str, seen: Seen) -> Verdict:
        known = seen.ok and isinstance(seen.value, str) and seen.value != UNKNOWN
        needs = f"{name} must be at another route than {' and '.join(self.routes)}, and known to be"
        return Verdict(known and seen.value not in self.routes, (seen,), str(seen), needs)
