"""What is known of the rig now: the newest reading of each input, a little of what came before, what people stated.

Names of inputs are `<device>.<quantity>`, such as `gauge.pressure_pa`, `tip.contact`, `pstat.cell`; docs/safety.md
lists them. Times are monotonic seconds of one clock, whichever the daemon has.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from drivers.errors import InvalidValue

from .windows import Window, WindowLimits

#: A reading of a device that does not tell.
UNKNOWN = "unknown"

#: Which method of a device reads a quantity; the others are known to whoever commands the device.
READ_BY: Mapping[str, str] = {
    "position": "position",
    "position_known": "position",
    "contact": "position",
    "touch_alarm": "touch_alarm",
    "route": "route",
    "pressure_pa": "pressure",
    "cell": "identify",
}

#: Readings kept of each input.
HISTORY = 16
#: The longest that a person's word holds, seconds.
STATEMENT_MAX_S = 3600.0


@dataclass(frozen=True, slots=True)
class Reading:
    """`valid` is what the device says of its own value; `at_s` when it was read."""

    value: Any
    at_s: float
    valid: bool = True


@dataclass(frozen=True, slots=True)
class Statement:
    """What a person has seen where the device cannot tell: who, and until when it counts."""

    input: str
    value: Any
    by: str
    until_s: float


@dataclass(frozen=True, slots=True)
class Seen:
    """An input as a rule found it. `problem` says why it cannot be relied on (empty: it can)."""

    input: str
    value: Any
    age_s: float | None
    problem: str = ""
    stated_by: str = ""

    @property
    def ok(self) -> bool:
        return not self.problem

    def __str__(self) -> str:
        if self.age_s is None and not self.stated_by:
            return f"{self.input} is {self.problem or 'not known'}"
        text = f"{self.input} is {_shown(self.value)}"
        if self.stated_by:
            return f"{text}, says {self.stated_by}"
        return f"{text} ({self.problem})" if self.problem else f"{text} ({self.age_s:.3g} s old)"

    def to_dict(self) -> dict[str, Any]:
        """As an error's detail and the state have it."""
        return {
            "input": self.input,
            "value": self.value,
            "age_s": self.age_s,
            "problem": self.problem or None,
            "stated_by": self.stated_by or None,
        }


class Observations:
    """Fed by whoever reads the devices. Nothing in it decides."""

    def __init__(self) -> None:
        self._readings: dict[str, deque[Reading]] = {}
        self._statements: dict[str, Statement] = {}
        self._windows: dict[str, dict[WindowLimits, Window]] = {}

    def see(self, input: str, value: Any, at_s: float, valid: bool = True) -> None:
        """One reading. One that is older than the newest is dropped: it came late, and is no news."""
        kept = self._readings.setdefault(input, deque(maxlen=HISTORY))
        if kept and at_s < kept[-1].at_s:
            return
        kept.append(Reading(value, at_s, valid))
        for window in self._windows.get(input, {}).values():
            window.see(value, at_s, valid)

    def forget(self, device: str, *, but: frozenset[str] = frozenset({"moving"})) -> None:
        """All that was read from a device, as when it is lost. `but` are quantities that stay: what we had it do.

        What people stated of it goes too: it may not be the same device that comes back.
        """
        for name in [name for name in self._readings if _is_of(name, device, but)]:
            self.forget_one(name)
        for name in [name for name in self._statements if _is_of(name, device, but)]:
            del self._statements[name]

    def forget_one(self, input: str) -> None:
        """One input, of which nothing is known any more."""
        self._readings.pop(input, None)
        for limits in self._windows.get(input, {}):
            self._windows[input][limits] = Window(limits)

    def newest(self, input: str) -> Reading | None:
        kept = self._readings.get(input)
        return kept[-1] if kept else None

    def recent(self, input: str) -> tuple[Reading, ...]:
        """Oldest first, at most `HISTORY`."""
        return tuple(self._readings.get(input, ()))

    def known(self) -> tuple[str, ...]:
        """The inputs that were seen."""
        return tuple(self._readings)

    def age_s(self, input: str, now: float) -> float | None:
        """None if it was never seen."""
        reading = self.newest(input)
        return None if reading is None else max(0.0, now - reading.at_s)

    # --- what people say -----------------------------------------------------------------------------------------

    def state(self, input: str, value: Any, by: str, now: float, seconds: float) -> Statement:
        """A person's word for `seconds` from `now`; counts only where the device does not tell.

        Raises `InvalidValue` for no name or a time that is not above 0 and at most `STATEMENT_MAX_S`.
        """
        if not by:
            raise InvalidValue("by is empty; accepted: the name of whoever has seen it")
        if not 0 < seconds <= STATEMENT_MAX_S:
            raise InvalidValue(f"seconds is {seconds:g}; accepted: above 0, up to {STATEMENT_MAX_S:g} s")
        made = Statement(input, value, by, now + seconds)
        self._statements[input] = made
        return made

    def withdraw(self, input: str) -> None:
        """What was stated of an input counts no more: it was moved, or was told otherwise."""
        self._statements.pop(input, None)

    def statement(self, input: str, now: float) -> Statement | None:
        """What counts at `now`."""
        found = self._statements.get(input)
        return found if found is not None and now < found.until_s else None

    def statements(self, now: float) -> tuple[Statement, ...]:
        return tuple(found for found in self._statements.values() if now < found.until_s)

    # --- limits with hysteresis ------------------------------------------------------------------------------------

    def watch(self, input: str, limits: WindowLimits) -> Window:
        """The window of an input; made the first time, out of what is remembered of it, and kept current from then."""
        windows = self._windows.setdefault(input, {})
        if limits not in windows:
            windows[limits] = Window(limits)
            for reading in self.recent(input):
                windows[limits].see(reading.value, reading.at_s, reading.valid)
        return windows[limits]

    # --- as a rule looks -------------------------------------------------------------------------------------------

    def look(self, input: str, now: float, max_age_s: float) -> Seen:
        """The newest reading, with what is wrong with it: missing, invalid, not finite, too old."""
        reading = self.newest(input)
        if reading is None:
            return Seen(input, None, None, "not known: it was never read")
        age_s = max(0.0, now - reading.at_s)
        problem = ""
        if not reading.valid:
            problem = "not valid, says the device"
        elif isinstance(reading.value, float) and not math.isfinite(reading.value):
            problem = "no finite number"
        elif not age_s <= max_age_s:
            problem = f"{age_s:.3g} s old; at most {max_age_s:g} s is accepted"
        return Seen(input, reading.value, age_s, problem)

    def look_or_stated(self, input: str, now: float, max_age_s: float) -> Seen:
        """As `look`; where the device answers that it does not know, what a person has stated."""
        seen = self.look(input, now, max_age_s)
        stated = self.statement(input, now)
        if stated is None or not seen.ok or seen.value != UNKNOWN:
            return seen
        return Seen(input, stated.value, seen.age_s, stated_by=stated.by)


def reads(inputs: Iterable[str]) -> frozenset[tuple[str, str]]:
    """What has to be called to have the inputs read: devices with their methods."""
    parts = (input.rpartition(".") for input in inputs)
    return frozenset((device, READ_BY[quantity]) for device, _, quantity in parts if quantity in READ_BY)


def _is_of(name: str, device: str, but: frozenset[str]) -> bool:
    owner, _, quantity = name.rpartition(".")
    return owner == device and quantity not in but


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items())
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)
