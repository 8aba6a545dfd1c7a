"""What goes wrong with the contact and the cell, by script or at run time.

An event is a dictionary (so that a TOML file can hold it):

- `{kind = "open", at_s = 150.0, for_s = 0.5}`: the contact is lost for a while
- `{kind = "resistance", at_s = 150.0, for_s = 1.0, ohm = 20e9}`: the contact gets a resistance
- `{kind = "creep", at_s = 10.0, ohm_per_s = 0.5}`: the contact's resistance grows, until `for_s` is over
- `{kind = "short", at_s = 300.0, ohm = 10e9}`: a resistance across the cell's terminals
- `{kind = "chatter", rate_hz = 0.2, open_s = 0.02}`: openings at random, this many a second, of this mean length
- `{kind = "vibration", mean_closed_s = 20.0, mean_open_s = 0.05}`: random telegraph, as a vibrating tip makes it

All take `at_s` (default 0), `for_s` (default: for ever) and `since`: "start" (the instrument's timeline, the default),
"drive" (when a drive other than zero first meets the cell) or "now" (when the event was added). Times are those of the
instrument that is connected. At run time there are also three switches: `contact_lost`, `contact_ohm` and `short_ohm`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .clock import NS
from .randomness import exponential, make_key

FOREVER_NS = 1 << 62

#: Fields of each kind beside `at_s`, `for_s` and `since`, with their defaults; None has to be given.
_FIELDS: dict[str, dict[str, float | None]] = {
    "open": {},
    "resistance": {"ohm": None},
    "creep": {"ohm_per_s": None},
    "short": {"ohm": None},
    "chatter": {"rate_hz": None, "open_s": 0.02},
    "vibration": {"mean_open_s": 0.05, "mean_closed_s": 20.0},
}
_SINCE = ("start", "drive", "now")


@dataclass(frozen=True, slots=True)
class Event:
    """One event, checked. `mean_closed_s` above zero makes it a random telegraph within its time. `ohm` of a creep is
    what a second adds."""

    key: int
    kind: str
    since: str
    at_s: float
    for_s: float
    ohm: float
    mean_closed_s: float
    mean_open_s: float


def parse_event(key: int, spec: Mapping[str, Any]) -> Event:
    """Raises `ValueError` that names the field and what would be accepted."""
    kind = spec.get("kind")
    if kind not in _FIELDS:
        raise ValueError(f"event kind {kind!r}: expected one of {', '.join(_FIELDS)}")
    since = spec.get("since", "start")
    if since not in _SINCE:
        raise ValueError(f"event since {since!r}: expected one of {', '.join(_SINCE)}")
    values: dict[str, float | None] = {"at_s": 0.0, "for_s": math.inf, **_FIELDS[kind]}
    unknown = set(spec) - set(values) - {"kind", "since"}
    if unknown:
        raise ValueError(f"event {kind!r} has no {', '.join(sorted(unknown))}; it takes {', '.join(values)} and since")
    numbers: dict[str, float] = {}
    for name, default in values.items():
        value = spec.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise ValueError(f"event {kind!r} needs {name} as a number of zero or more, not {value!r}")
        numbers[name] = float(value)
    for name in {"rate_hz", "open_s", "mean_open_s", "mean_closed_s"} & set(numbers):
        if numbers[name] == 0:
            raise ValueError(f"event {kind!r} needs {name} above zero")
    closed_s, open_s = numbers.get("mean_closed_s", 0.0), numbers.get("mean_open_s", 0.0)
    if kind == "chatter":
        closed_s, open_s = 1.0 / numbers["rate_hz"], numbers["open_s"]
    ohm = numbers.get("ohm", numbers.get("ohm_per_s", 0.0))
    return Event(key, kind, since, numbers["at_s"], numbers["for_s"], ohm, closed_s, open_s)


@dataclass(frozen=True, slots=True)
class Contact:
    """How the cell is connected: not at all, through `series_ohm`, with `shunt_s` across it."""

    closed: bool = True
    series_ohm: float = 0.0
    shunt_s: float = 0.0


class _Windows:
    """When one event is active on one timeline: instants at which it alternately begins and ends."""

    def __init__(self, event: Event, origin_ns: int) -> None:
        self.event = event
        start = origin_ns + round(event.at_s * NS)
        self._end_ns = FOREVER_NS if math.isinf(event.for_s) else start + round(event.for_s * NS)
        self._changes = [start] if event.mean_closed_s == 0 else []
        self._drawn_ns = start
        if event.mean_closed_s == 0:
            self._changes.append(self._end_ns)
            self._drawn_ns = FOREVER_NS

    def state(self, now_ns: int) -> tuple[bool, int]:
        """Whether the event is active at `now_ns`, and when that changes next."""
        self._draw(now_ns)
        i = bisect_right(self._changes, now_ns)
        if i < len(self._changes):
            return bool(i % 2), self._changes[i]
        # Nothing drawn beyond now: look again where drawing goes on, if it does.
        return bool(i % 2), self._drawn_ns if self._drawn_ns < self._end_ns else FOREVER_NS

    def seconds(self, now_ns: int) -> float:
        """Since the event began."""
        return (now_ns - self._changes[0]) / NS

    def _draw(self, now_ns: int) -> None:
        while self._drawn_ns <= now_ns and self._drawn_ns < self._end_ns:
            n = len(self._changes)
            begin = self._drawn_ns + 1 + round(exponential(self.event.key, n, self.event.mean_closed_s) * NS)
            end = begin + 1 + round(exponential(self.event.key, n + 1, self.event.mean_open_s) * NS)
            self._drawn_ns = end
            if begin < self._end_ns:
                self._changes += [begin, min(end, self._end_ns)]


class Schedule:
    """All events as one instrument lives them on its timeline."""

    def __init__(self) -> None:
        self._windows: list[_Windows] = []
        self._waiting: list[Event] = []
        self._driven_ns: int | None = None

    def add(self, event: Event, now_ns: int) -> None:
        if event.since == "drive" and self._driven_ns is None:
            self._waiting.append(event)
        else:
            origin = {"start": 0, "now": now_ns, "drive": self._driven_ns or 0}[event.since]
            self._windows.append(_Windows(event, origin))

    def driven(self, now_ns: int) -> bool:
        """A drive other than zero meets the cell; True the first time."""
        if self._driven_ns is not None:
            return False
        self._driven_ns = now_ns
        self._windows += [_Windows(event, now_ns) for event in self._waiting]
        self._waiting.clear()
        return True

    def contact(self, now_ns: int, base: Contact) -> tuple[Contact, int]:
        """The contact at `now_ns`, the switches' state being `base`, and until when it stays so."""
        if not self._windows:
            return base, FOREVER_NS
        closed, series, shunt, until = base.closed, base.series_ohm, base.shunt_s, FOREVER_NS
        for windows in self._windows:
            active, change = windows.state(now_ns)
            until = min(until, change)
            if not active:
                continue
            if windows.event.kind == "resistance":
                series += windows.event.ohm
            elif windows.event.kind == "creep":
                series += windows.event.ohm * windows.seconds(now_ns)
            elif windows.event.kind == "short":
                shunt += 1.0 / max(windows.event.ohm, 1e-3)
            else:
                closed = False
        return Contact(closed, series, shunt), until


class Events:
    """The world's events. A change takes effect from each instrument's now on; the time before is lived as it was."""

    def __init__(self, seed: int, before_change: Callable[[], None], announce: Callable[[Event], None]) -> None:
        self._seed = seed
        self._before_change = before_change
        self._announce = announce
        self.events: list[Event] = []
        self.switches = Contact()

    def add(self, kind: str, **fields: Any) -> None:
        """One event: `add("open", at_s=2.0, for_s=0.5, since="now")`. Raises `ValueError` for a wrong field."""
        event = parse_event(make_key(self._seed, "event", len(self.events)), {"kind": kind, **fields})
        self._before_change()
        self.events.append(event)
        self._announce(event)

    def script(self, specs: Iterable[Mapping[str, Any]]) -> None:
        """Several events, as a configuration holds them."""
        for spec in specs:
            fields = dict(spec)
            self.add(fields.pop("kind", ""), **fields)

    @property
    def contact_lost(self) -> bool:
        return not self.switches.closed

    @contact_lost.setter
    def contact_lost(self, lost: bool) -> None:
        self._switch(Contact(not lost, self.switches.series_ohm, self.switches.shunt_s))

    @property
    def contact_ohm(self) -> float:
        """Resistance of the contact; 0 is a good weld."""
        return self.switches.series_ohm

    @contact_ohm.setter
    def contact_ohm(self, ohm: float) -> None:
        self._switch(Contact(self.switches.closed, ohm, self.switches.shunt_s))

    @property
    def short_ohm(self) -> float:
        """Resistance across the cell; infinite without a short."""
        return 1.0 / self.switches.shunt_s if self.switches.shunt_s else math.inf

    @short_ohm.setter
    def short_ohm(self, ohm: float) -> None:
        self._switch(Contact(self.switches.closed, self.switches.series_ohm, 1.0 / max(ohm, 1e-3)))

    def _switch(self, switches: Contact) -> None:
        if switches != self.switches:
            self._before_change()
            self.switches = switches
