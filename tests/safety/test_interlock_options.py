"""The table [interlocks]: what it accepts, what it says about the rest, and rules of one's own."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from bridge.safety import interlock_options
from bridge.safety.default_rules import DEFAULT_RULES, RigDevice, default_rules, groups_of
from bridge.safety.interlock_options import InterlockOptions, parse_interlocks
from drivers.errors import InvalidValue

from ..near import near
from .rig import DEVICES, Rig

RULE: dict[str, Any] = {
    "text": "the tip moves in high vacuum only",
    "kinds": ["move"],
    "devices": ["tip"],
    "requires": "between",
    "with": {"input": "gauge.pressure_pa", "at_most": 1e-4},
}


def parse(values: Any) -> InterlockOptions:
    return parse_interlocks(values, DEVICES, DEFAULT_RULES)


def test_an_empty_table_is_the_default() -> None:
    assert parse({}) == InterlockOptions()


def test_the_example_of_the_module_is_accepted() -> None:
    text = interlock_options.__doc__ or ""
    example = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))
    options = parse(tomllib.loads(example)["interlocks"])
    assert options.thresholds.vacuum_pa == near(1e-3)
    assert options.thresholds.vacuum_off_pa == near(2e-3)
    assert options.thresholds.zero_current_a == near(1e-12)
    assert options.off == ("relays-open",)
    assert options.groups == {"chamber": ("stage", "tip", "relays")}
    assert [rule.id for rule in options.own] == ["keep-out-pole-piece", "high-vacuum"]
    assert options.own[1].max_age_s == near(5.0)
    assert options.own[1].lasts


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("none", "interlocks is 'none'; accepted: a table"),
        ({"vacum_pa": 1e-3}, "interlock option 'vacum_pa' is not known; accepted: vacuum, vacuum_pa"),
        ({"vacuum": "off"}, "'vacuum' is 'off'; accepted: required, not_required"),
        ({"vacuum_pa": 0}, "'vacuum_pa' is 0 Pa; accepted: more than 0 Pa"),
        ({"vacuum_pa": "3 V"}, "vacuum_pa"),
        ({"vacuum_pa": 1e-3, "vacuum_off_pa": 5e-4}, "vacuum_off_pa is 0.0005 Pa, below vacuum_pa, 0.001 Pa"),
        ({"zero_current": "5"}, "'zero_current' is '5', without a unit"),
        ({"max_age_s": float("nan")}, "max_age_s"),
        ({"cells": "pstat"}, "cells is 'pstat'; accepted: a list of names"),
        ({"cells": ["stage"]}, "cells has 'stage', which is no potentiostat; accepted: pstat"),
        ({"gauges": ["g2"]}, "gauges has 'g2', which is no gauge; accepted: gauge"),
        ({"off": ["tip_clear"]}, "off has 'tip_clear', which is no rule; accepted: identity, tip-clear"),
        ({"groups": {"stage": ["tip"]}}, "groups has 'stage'; accepted: a name"),
        ({"groups": {"a": ["tip"], "b": ["tip"]}}, "groups.b has 'tip', which groups.a has already"),
        ({"groups": {"a": ["nobody"]}}, "groups.a has 'nobody'; accepted: pstat, stage"),
        ({"groups": []}, "groups is []; accepted: a table"),
        ({"keep_out": {"p": {"device": "pstat"}}}, "keep_out.p.device is 'pstat'; accepted: stage, tip"),
        ({"keep_out": {"p": {"device": "stage", "region": {"z_m": [1, 0]}}}}, "region has z_m = [1, 0]"),
        ({"keep_out": {"p": {"device": "stage"}}}, "region is None"),
        ({"rules": {"tip-clear": RULE}}, "rules.tip-clear has the name of a rule that every rig has"),
        ({"rules": {"Mine!": RULE}}, "rules.Mine! has a name that is not accepted"),
        ({"rules": {"mine": RULE | {"code": "1"}}}, "rules.mine has 'code', which is not known"),
        ({"rules": {"mine": RULE | {"requires": "eval"}}}, "rules.mine.requires is 'eval'; accepted: equals, one_of"),
        ({"rules": {"mine": RULE | {"requires": ["equals"]}}}, "rules.mine.requires is ['equals']"),
        ({"rules": {"mine": RULE | {"text": ""}}}, "rules.mine.text is ''"),
        ({"rules": {"mine": RULE | {"kinds": ["push"]}}}, "rules.mine.kinds has 'push'; accepted: move, tilt"),
        ({"rules": {"mine": RULE | {"devices": ["top"]}}}, "rules.mine.devices has 'top'; accepted: pstat, stage"),
        ({"rules": {"mine": RULE | {"interfaces": "stage"}}}, "rules.mine.interfaces is 'stage'"),
        ({"rules": {"mine": RULE | {"on_violation": "panic"}}}, "accepted: refuse, stop, safe_state"),
        ({"rules": {"mine": RULE | {"max_age": "0 s"}}}, "max_age"),
        (
            {"rules": {"mine": RULE | {"with": {"input": "top.pressure_pa", "at_most": 1}}}},
            "rules.mine.with.input is 'top",
        ),
        ({"rules": {"mine": RULE | {"with": {"input": "gauge.pressure_pa"}}}}, "one of them is needed"),
        ({"rules": {"mine": RULE | {"with": {"input": "gauge.pressure_pa", "at_most": "1"}}}}, "at_most is '1'"),
        ({"rules": {"mine": RULE | {"with": {"at_most": 1.0}}}}, "'input' is required"),
        (
            {"rules": {"mine": RULE | {"requires": "tip_clear", "with": {"manipulators": ["top"]}}}},
            "manipulators has 'top'",
        ),
        ({"rules": {"mine": RULE | {"override": {"role": "observer", "seconds": 5}}}}, "override.role is 'observer'"),
        ({"rules": {"mine": RULE | {"override": {"role": "operator", "seconds": 0}}}}, "override.seconds is 0"),
        ({"rules": []}, "rules is []; accepted: a table"),
    ],
)
def test_what_is_wrong_is_told_with_what_is_accepted(values: Any, message: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse(values)
    assert message in str(caught.value)


def test_a_rule_of_one_s_own_is_held() -> None:
    rig = Rig({"rules": {"mine": RULE}})
    assert rig.broken(rig.call("tip", "move_by", z_m=1e-6)) == ["mine"]
    assert rig.broken(rig.call("stage", "move_by", x_m=1e-3)) == []
    rig.see("gauge.pressure_pa", 9e-5)
    assert rig.broken(rig.call("tip", "move_by", z_m=1e-6)) == []


@pytest.mark.parametrize(
    ("requires", "parameters", "good", "bad"),
    [
        ("equals", {"input": "gauge.status", "value": "ok"}, "ok", "underrange"),
        ("equals", {"input": "gauge.status", "value": True}, True, 1),
        ("equals", {"input": "gauge.status", "value": 1}, 1.0, True),
        ("one_of", {"input": "gauge.status", "values": ["ok", "fine"]}, "fine", "off"),
        ("between", {"input": "gauge.status", "at_least": -1, "at_most": 1}, 0.5, 2.0),
        ("between", {"input": "gauge.status", "at_most": 1, "magnitude": True}, -0.5, -2.0),
    ],
)
def test_the_vocabulary(requires: str, parameters: dict[str, Any], good: Any, bad: Any) -> None:
    rig = Rig({"rules": {"mine": RULE | {"requires": requires, "with": parameters}}})
    act = rig.call("tip", "move_by", z_m=1e-6)
    assert rig.broken(act) == ["mine"]
    rig.see("gauge.status", good)
    assert rig.broken(act) == []
    rig.see("gauge.status", bad)
    assert rig.broken(act) == ["mine"]


def test_a_rule_is_switched_off_by_the_configuration_only_and_that_is_shown() -> None:
    rig = Rig({"off": ["tip-clear"]})
    rig.see("tip.contact", True)
    assert rig.broken(rig.call("stage", "move_by", x_m=1e-3)) == []
    assert any("tip-clear" in notice for notice in rig.interlocks.rules.notices)
    shown = {rule["id"]: rule["status"] for rule in rig.interlocks.state(rig.now)["rules"]}
    assert shown["tip-clear"] == "off"
    with pytest.raises(InvalidValue, match="accepted: relays-open, vacuum"):
        rig.interlocks.override("tip-clear", by="ann", role="administrator", seconds=1.0, reason="x", now=rig.now)


def test_the_rules_of_a_rig_are_those_that_are_documented() -> None:
    rules = default_rules([RigDevice(name, interface) for name, interface in DEVICES.items()], InterlockOptions())
    assert tuple(rule.id for rule in rules.rules) == DEFAULT_RULES
    assert not rules.absent
    assert not rules.notices


def test_stage_tips_and_feedthroughs_are_one_group_unless_it_is_said_otherwise() -> None:
    devices = [RigDevice(name, interface) for name, interface in DEVICES.items()]
    assert groups_of(devices, InterlockOptions()) == {"chamber": ("stage", "tip", "relays")}
    assert groups_of(devices, parse({"groups": {"a": ["stage", "pstat"]}})) == {"a": ("stage", "pstat")}
    assert groups_of([RigDevice("gauge", "gauge")], InterlockOptions()) == {}


def test_two_gauges_both_have_to_show_vacuum() -> None:
    rig = Rig(devices={**DEVICES, "gauge-2": "gauge"})
    assert rig.broken(rig.technique()) == ["vacuum-gauge-2"]
    rig = Rig({"gauges": ["gauge"]}, {**DEVICES, "gauge-2": "gauge"})
    assert rig.broken(rig.technique()) == []
    rig = Rig({"off": ["vacuum"]}, {**DEVICES, "gauge-2": "gauge"})
    assert rig.broken(rig.technique()) == []
