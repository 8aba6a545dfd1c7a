"""The table [interlocks] of a configuration: thresholds, groups, which rules are off, and rules of one's own.

    [interlocks]
    vacuum = "required"                 # or "not_required": a noise test of the cathode's side is done vented
    vacuum_pa = "1e-5 mbar"             # three good readings in a row of at most this
    vacuum_off_pa = "2e-5 mbar"         # above this it is lost
    zero_current = "1 pA"               # the feedthrough is switched below it
    approach_step = "1 um"              # a tip's step with the cell on
    approach_current = "10 pA"          # what may flow meanwhile
    cells = ["pstat"]                   # potentiostats on the chamber's wires; default: all
    gauges = ["gauge"]                  # of the chamber; default: all
    stage_ground = ["stage-ground"]     # routes that use the stage as a lead
    lead_on_stage = false               # true: a lead is wired to the stage by hand; it never tilts
    off = ["relays-open"]               # rules that do not hold here; never at run time

    [interlocks.groups]                 # one lease and one mover each
    chamber = ["stage", "tip", "relays"]

    [interlocks.keep_out.pole-piece]    # a region that no way may lead through
    device = "stage"
    region = { tilt_deg = [30, 90], z_m = [0.03, 0.04] }

    [interlocks.rules.high-vacuum]            # a rule of one's own
    text = "the tip moves in high vacuum only"
    kinds = ["move"]
    devices = ["tip"]
    requires = "between"                # docs/safety.md lists what can be required
    with = { input = "gauge.pressure_pa", at_most = 1e-4 }
    max_age = "5 s"
    on_violation = "safe_state"         # refuse, stop, safe_state
    lasts = true
    override = { role = "administrator", seconds = 60 }

Numbers in `with` are in the SI unit of the input.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from drivers.errors import InvalidValue
from drivers.fields import parse_fields
from drivers.interfaces import Options, option

from .acts import KINDS, Kind
from .condition import Condition
from .conditions import CONDITIONS
from .motion_conditions import ClearOf
from .rules import MAX_AGE_S, REACTIONS, ROLES, Overriding, Rule

T = TypeVar("T")
_NAME = re.compile(r"[a-z0-9_-]{1,32}")
_INPUT = re.compile(r"[a-z0-9_-]{1,32}\.[a-z0-9_]{1,32}")

#: The group that stage, manipulators and feedthroughs are in unless the configuration says otherwise.
CHAMBER = "chamber"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds(Options):
    """What the rules of every rig compare with."""

    vacuum: str = option(
        "required", choices=("required", "not_required"), help="whether the source needs vacuum where there is a gauge"
    )
    vacuum_pa: float = option(1e-3, unit="Pa", above=0.0, help="good readings in a row are at most this: 1e-5 mbar")
    vacuum_off_pa: float = option(2e-3, unit="Pa", above=0.0, help="above this the vacuum is lost: 2e-5 mbar")
    vacuum_readings: int = option(3, at_least=1, help="so many good readings in a row")
    vacuum_grace_s: float = option(
        1.5, unit="s", at_least=0.0, help="of a running source: one bad reading, at one a second, does not end it"
    )
    zero_current_a: float = option(1e-12, unit="A", above=0.0, help="the feedthrough is switched below this")
    approach_step_m: float = option(1e-6, unit="m", above=0.0, help="longest step of a tip with the cell on")
    approach_current_a: float = option(10e-12, unit="A", above=0.0, help="largest current that may flow meanwhile")
    max_age_s: float = option(MAX_AGE_S, unit="s", above=0.0, help="a reading that is older counts as none")
    cell_max_age_s: float = option(12.0, unit="s", above=0.0, help="likewise the proof that a cell is off")
    lead_on_stage: bool = option(False, help="a lead is wired to the stage's ground by hand: no tilt")


@dataclass(frozen=True, slots=True, kw_only=True)
class InterlockOptions:
    """The whole table, checked. `groups` None: stage, manipulators and feedthroughs are one group, `CHAMBER`."""

    thresholds: Thresholds = field(default_factory=Thresholds)
    cells: tuple[str, ...] | None = None
    gauges: tuple[str, ...] | None = None
    stage_ground: tuple[str, ...] = ("stage-ground",)
    off: tuple[str, ...] = ()
    groups: Mapping[str, tuple[str, ...]] | None = None
    own: tuple[Rule, ...] = ()


LISTS = ("cells", "gauges", "stage_ground", "off")
_TABLES = ("groups", "keep_out", "rules")


def parse_interlocks(values: Any, devices: Mapping[str, str], known_rules: Sequence[str] = ()) -> InterlockOptions:
    """Options out of the table's values. `devices` are the configured ones, name to interface; `known_rules` the ids
    that `off` may name.

    Raises `InvalidValue` naming the key, its value and what is accepted.
    """
    if not isinstance(values, Mapping):
        raise InvalidValue(f"interlocks is {values!r}; accepted: a table [interlocks]")
    plain = {key: value for key, value in values.items() if key not in (*LISTS, *_TABLES)}
    thresholds = parse_fields(Thresholds, plain, noun="interlock option")
    if thresholds.vacuum_off_pa < thresholds.vacuum_pa:
        raise InvalidValue(
            f"vacuum_off_pa is {thresholds.vacuum_off_pa:g} Pa, below vacuum_pa, {thresholds.vacuum_pa:g} Pa"
        )
    own = (*_keep_outs(values.get("keep_out", {}), devices), *_own_rules(values.get("rules", {}), devices, known_rules))
    off = _names(values, "off")
    for rule in off or ():
        if known_rules and rule not in known_rules:
            raise InvalidValue(f"off has {rule!r}, which is no rule; accepted: {', '.join(known_rules)}")
    return InterlockOptions(
        thresholds=thresholds,
        cells=_devices_of(values, "cells", devices, "potentiostat"),
        gauges=_devices_of(values, "gauges", devices, "gauge"),
        stage_ground=_names(values, "stage_ground") or ("stage-ground",),
        off=off or (),
        groups=_groups(values.get("groups"), devices),
        own=own,
    )


def _names(values: Mapping[str, Any], key: str) -> tuple[str, ...] | None:
    if key not in values:
        return None
    given = values[key]
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise InvalidValue(f"{key} is {given!r}; accepted: a list of names")
    return tuple(given)


def _devices_of(
    values: Mapping[str, Any], key: str, devices: Mapping[str, str], interface: str
) -> tuple[str, ...] | None:
    names = _names(values, key)
    able = [name for name, its in devices.items() if its == interface]
    for name in names or ():
        if name not in able:
            raise InvalidValue(f"{key} has {name!r}, which is no {interface}; accepted: {', '.join(able) or 'none'}")
    return names


def _groups(values: Any, devices: Mapping[str, str]) -> dict[str, tuple[str, ...]] | None:
    if values is None:
        return None
    if not isinstance(values, Mapping):
        raise InvalidValue(f"groups is {values!r}; accepted: a table such as {{chamber = ['stage', 'tip']}}")
    groups: dict[str, tuple[str, ...]] = {}
    member_of: dict[str, str] = {}
    for group in values:
        if not _NAME.fullmatch(group) or group in devices:
            raise InvalidValue(f"groups has {group!r}; accepted: a name of a-z 0-9 _ - that no device has")
        members = _names(values, group) or ()
        for name in members:
            if name not in devices:
                raise InvalidValue(f"groups.{group} has {name!r}; accepted: {', '.join(devices) or 'none'}")
            if member_of.setdefault(name, group) != group:
                raise InvalidValue(f"groups.{group} has {name!r}, which groups.{member_of[name]} has already")
        groups[group] = members
    return groups


# --- rules of one's own ------------------------------------------------------------------------------------------


def _table(values: Any, key: str, accepted: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise InvalidValue(f"{key} is {values!r}; accepted: a table")
    for name in values:
        if accepted and name not in accepted:
            raise InvalidValue(f"{key} has {name!r}, which is not known; accepted: {', '.join(accepted)}")
    return values


def _keep_outs(values: Any, devices: Mapping[str, str]) -> list[Rule]:
    rules = []
    for name, given in _table(values, "keep_out", ()).items():
        key = f"keep_out.{name}"
        table = _table(given, key, ("device", "region"))
        device = table.get("device")
        movers = [device for device, its in devices.items() if its in ("stage", "manipulator")]
        if device not in movers:
            raise InvalidValue(f"{key}.device is {device!r}; accepted: {', '.join(movers) or 'none'}")
        rules.append(
            Rule(
                id=_rule_id(f"keep-out-{name}", key),
                text=f"{device} does not move through the region {name}",
                requires=_condition(key, ClearOf, {"region": table.get("region")}),
                kinds=frozenset({Kind.MOVE}),
                devices=frozenset({device}),
            )
        )
    return rules


_RULE_KEYS = (
    *("text", "kinds", "interfaces", "devices", "requires", "with", "max_age", "max_age_s", "on_violation", "lasts"),
    *("grace", "grace_s", "override"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Times(Options):
    max_age_s: float = option(MAX_AGE_S, unit="s", above=0.0, help="a reading that is older counts as none")
    grace_s: float = option(0.0, unit="s", at_least=0.0, help="how long it may be broken while an act lasts")
    lasts: bool = option(False, help="looked at as long as the act goes on")
    on_violation: str = option("refuse", choices=REACTIONS, help="what is done about an act under way")


def _own_rules(values: Any, devices: Mapping[str, str], known_rules: Sequence[str]) -> list[Rule]:
    rules = []
    for name, given in _table(values, "rules", ()).items():
        key = f"rules.{name}"
        table = _table(given, key, _RULE_KEYS)
        if name in known_rules:
            raise InvalidValue(f"{key} has the name of a rule that every rig has; accepted: another name")
        requires = table.get("requires")
        if not isinstance(requires, str) or requires not in CONDITIONS:
            raise InvalidValue(f"{key}.requires is {requires!r}; accepted: {', '.join(CONDITIONS)}")
        condition = _condition(key, CONDITIONS[requires], _table(table.get("with", {}), f"{key}.with", ()))
        _check_input(key, getattr(condition, "input", None), devices)
        _check_members(key, condition, devices)
        text = table.get("text")
        if not isinstance(text, str) or not text:
            raise InvalidValue(f"{key}.text is {text!r}; accepted: what the rule says, in a sentence")
        own = ("max_age", "max_age_s", "grace", "grace_s", "lasts", "on_violation")
        times = _within(key, _Times, {name: value for name, value in table.items() if name in own})
        rules.append(
            Rule(
                id=_rule_id(name, key),
                text=text,
                requires=condition,
                kinds=frozenset(Kind(kind) for kind in _subset(table, key, "kinds", KINDS)),
                interfaces=frozenset(_subset(table, key, "interfaces", tuple(dict.fromkeys(devices.values())))),
                devices=frozenset(_subset(table, key, "devices", tuple(devices))),
                max_age_s=times.max_age_s,
                on_violation=times.on_violation,
                lasts=times.lasts,
                grace_s=times.grace_s,
                override=_overriding(table.get("override"), key),
            )
        )
    return rules


def _rule_id(name: str, key: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidValue(f"{key} has a name that is not accepted; accepted: 1 to 32 characters of a-z 0-9 _ -")
    return name


def _condition(key: str, cls: type[Condition], values: Mapping[str, Any]) -> Condition:
    return _within(f"{key}.with" if cls is not ClearOf else key, cls, values)


def _within(key: str, cls: type[T], values: Mapping[str, Any]) -> T:
    try:
        return parse_fields(cls, values, noun="")
    except InvalidValue as error:
        raise InvalidValue(f"{key}: {error.message.strip()}") from error


def _check_input(key: str, input: str | None, devices: Mapping[str, str]) -> None:
    if input is not None and (not _INPUT.fullmatch(input) or input.partition(".")[0] not in devices):
        raise InvalidValue(
            f"{key}.with.input is {input!r}; accepted: DEVICE.QUANTITY with one of {', '.join(devices) or 'no device'}"
        )


def _check_members(key: str, condition: Condition, devices: Mapping[str, str]) -> None:
    for field_name in ("cells", "manipulators", "feedthroughs", "devices"):
        for name in getattr(condition, field_name, ()):
            if name not in devices:
                raise InvalidValue(
                    f"{key}.with.{field_name} has {name!r}; accepted: {', '.join(devices) or 'no device'}"
                )


def _subset(table: Mapping[str, Any], key: str, name: str, accepted: Sequence[str]) -> tuple[str, ...]:
    try:
        given = _names(table, name) or ()
    except InvalidValue as error:
        raise InvalidValue(f"{key}.{error.message}") from error
    for value in given:
        if value not in accepted:
            raise InvalidValue(f"{key}.{name} has {value!r}; accepted: {', '.join(accepted) or 'none'}")
    return given


def _overriding(values: Any, key: str) -> Overriding | None:
    if values is None:
        return None
    table = _table(values, f"{key}.override", ("role", "seconds"))
    role, seconds = table.get("role"), table.get("seconds")
    if role not in ROLES[1:]:
        raise InvalidValue(f"{key}.override.role is {role!r}; accepted: {', '.join(ROLES[1:])}")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= 3600:
        raise InvalidValue(f"{key}.override.seconds is {seconds!r}; accepted: above 0, up to 3600")
    return Overriding(role, float(seconds))
