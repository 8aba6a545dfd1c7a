"""What the health watch does about what it finds: the table [watch], and the same for one run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.analysis.health.contact import ContactLimits
from bridge.analysis.health.detector import STRAY_F, Finding
from bridge.analysis.health.watch import Thresholds
from drivers.calls import split_unit
from drivers.errors import InvalidValue
from drivers.fields import parse_fields
from drivers.interfaces import Options, option

#: "off" does not even tell; "pause" stops a run that cannot be paused.
REACTIONS = ("off", "mark", "pause", "stop")


def _reaction(default: str, help: str) -> Any:
    return option(default, help=f"{help}: {', '.join(REACTIONS)}", choices=REACTIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions(Options):
    """Reactions and thresholds. A false stop costs the sample, so what it survives is only marked."""

    enabled: bool = option(True, help="false: nothing is looked at, nothing told")
    short: str = _reaction("stop", "a shorted cell")
    partial_short: str = _reaction("mark", "a leak smaller than the current")
    contact_lost: str = _reaction("stop", "a contact that is open and stays so")
    intermittent: str = _reaction("mark", "a contact that was open and came back")
    intermittent_often: str = _reaction("stop", "one that does so more than intermittent_per_minute times in a minute")
    overload: str = _reaction("mark", "the instrument over range")
    overload_stays: str = _reaction("stop", "over range for overload_stays_s")
    drift: str = _reaction("mark", "the current source off its set point")
    contact_resistance: str = _reaction("mark", "a contact whose resistance or noise grows")
    window: str = _reaction("stop", "a voltage beyond the hard window")
    contact_grace_s: float = option(5.0, unit="s", above=0.0, help="an open contact may take so long to come back")
    contact_excess_v: float = option(
        0.3, unit="V", above=0.0, help="the lead of an open contact may be so far from the cell's curve"
    )
    intermittent_per_minute: int = option(3, at_least=1, help="openings in a minute that are only marked")
    overload_stays_s: float = option(10.0, unit="s", above=0.0, help="over range for so long stays")
    drift_tolerance: float = option(0.2, unit="1", above=0.0, help="share of the set current that it may be off")
    leak_share: float = option(0.05, unit="1", above=0.0, help="share of the current from which on a leak is told")
    contact_growth: float = option(
        0.5, unit="1", above=0.0, help="share by which the resistance of contact and cell may grow within a run"
    )
    window_low_v: float | None = option(
        None, unit="V", help="hard lower limit; default 0.2 V below the procedure's voltage_min"
    )
    window_high_v: float | None = option(
        None, unit="V", help="hard upper limit; default 0.1 V above the procedure's voltage_max"
    )
    planned_c: float | None = option(
        None, unit="C", above=0.0, help="charge that a step is planned to take; 1.2 times it is told (partial_short)"
    )
    stray_f: float = option(STRAY_F, unit="F", above=0.0, help="capacitance of the lead where the procedure says none")
    area_m2: float | None = option(
        None,
        unit="m**2",
        above=0.0,
        help="area of the cell where the procedure says none; without it 10 s of each step are blind",
    )
    cell: str = option(
        "auto",
        help="is a cell connected? auto: as the procedure has it; not where a set current has neither window nor area",
        choices=("auto", "yes", "no"),
    )

    @property
    def thresholds(self) -> Thresholds:
        return Thresholds(
            contact=ContactLimits(
                grace_s=self.contact_grace_s, excess_v=self.contact_excess_v, per_minute=self.intermittent_per_minute
            ),
            overload_stays_s=self.overload_stays_s,
            drift_tolerance=self.drift_tolerance,
            leak_share=self.leak_share,
            contact_growth=self.contact_growth,
        )

    def reaction(self, finding: Finding) -> str:
        """One of `REACTIONS`."""
        name = finding.kind
        if name == "intermittent_contact":
            name = "intermittent_often" if finding.severity == "error" else "intermittent"
        elif name == "overload" and finding.severity == "error":
            name = "overload_stays"
        value: str = getattr(self, name)
        return value


def parse_watch(values: Any, base: WatchOptions | None = None) -> WatchOptions:
    """Options out of plain values (text with units accepted), those that are not given as in `base`.

    `false` and `"off"` switch the watch off. Raises `InvalidValue` naming the option, its value and what is accepted.
    """
    base = base or WatchOptions()
    if values is True:
        return dataclasses.replace(base, enabled=True)
    if values is False or values == "off":
        return dataclasses.replace(base, enabled=False)
    if not isinstance(values, Mapping):
        raise InvalidValue(f"watch is {values!r}; accepted: a table such as {{short: stop, drift: mark}}, or off")
    fresh = parse_fields(WatchOptions, values, noun="watch option")
    given = {field.name for field in dataclasses.fields(WatchOptions) if _is_given(field.name, values)}
    merged = dataclasses.replace(base, **{name: getattr(fresh, name) for name in given})
    low, high = merged.window_low_v, merged.window_high_v
    if low is not None and high is not None and low >= high:
        raise InvalidValue(f"window_low_v is {low:g} V, not below window_high_v, {high:g} V")
    return merged


def _is_given(name: str, values: Mapping[str, Any]) -> bool:
    short, unit = split_unit(name)
    return name in values or bool(unit and short in values)


def parse_assignments(texts: list[str]) -> dict[str, str | bool | int]:
    """`["short=stop", "drift=off"]`, as on a command line, or `["off"]`. Raises `InvalidValue`."""
    values: dict[str, str | bool | int] = {}
    for text in (part.strip() for given in texts for part in given.split(",")):
        name, equals, value = text.partition("=")
        if text == "off":
            values["enabled"] = False
        elif not equals or not name or not value:
            raise InvalidValue(f"--watch is {text!r}; accepted: OPTION=VALUE, such as short=stop, or off")
        else:
            values[name.strip().replace("-", "_")] = _plain(value.strip())
    return values


def _plain(text: str) -> str | bool | int:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.isdecimal() else text
