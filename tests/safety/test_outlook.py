"""What may be done now, as a person is told before doing it."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.safety.acts import Act
from bridge.safety.outlook import Outlook, thought_of
from tests.near import near

from .rig import DEVICES, Rig


def judged(rig: Rig) -> dict[tuple[str, str], dict[str, Any]]:
    outlook = Outlook(rig.interlocks, thought_of(rig.devices), rig.now)
    return {(one["device"], one["act"]): one for one in outlook.acts()}


def seen(rig: Rig) -> dict[str, dict[str, Any]]:
    return {one["input"]: one for one in Outlook(rig.interlocks, thought_of(rig.devices), rig.now).inputs()}


def test_everything_may_be_done_with_a_rig_that_is_as_it_should_be() -> None:
    acts = judged(Rig())
    assert list(acts) == [
        ("pstat", "energise"),
        ("stage", "move"),
        ("stage", "tilt"),
        ("tip", "move"),
        ("relays", "switch"),
    ]
    assert all(one["allowed"] and one["rules"] == [] for one in acts.values())


@pytest.mark.parametrize(
    ("change", "act", "rule", "why", "needs"),
    [
        ({"tip.contact": True}, ("stage", "tilt"), "tip-clear", "the tip of tip is in contact", "drawn back"),
        ({"stage.touch_alarm": "tripped"}, ("stage", "tilt"), "touch-alarm", "tripped", "find out what touches"),
        ({"relays.route": "stage-ground"}, ("stage", "tilt"), "lead-off-stage", "stage-ground", "another route"),
        ({"pstat.cell": "on"}, ("tip", "move"), "cell-off", "pstat.cell is on", "proven off"),
        ({"gauge.pressure_pa": 1.0}, ("pstat", "energise"), "vacuum", "gauge.pressure_pa is 1", "good, fresh readings"),
        ({"stage.moving": True}, ("pstat", "energise"), "at-rest", "stage is moving", "rests"),
    ],
)
def test_what_is_forbidden_names_its_rule_why_and_what_it_needs(
    change: dict[str, Any], act: tuple[str, str], rule: str, why: str, needs: str
) -> None:
    rig = Rig()
    for name, value in change.items():
        rig.see(name, value)
    found = judged(rig)[act]
    assert not found["allowed"]
    (violation,) = [one for one in found["rules"] if one["rule"] == rule]
    assert why in violation["why"]
    assert needs in violation["needs"]


def test_the_same_rules_forbid_it_as_forbid_the_act_itself() -> None:
    rig = Rig()
    rig.see("tip.contact", True)
    rig.see("stage.touch_alarm", "disabled")
    told = [one["rule"] for one in judged(rig)["stage", "tilt"]["rules"]]
    assert told == rig.broken(rig.call("stage", "move_by", tilt_deg=1.0))


def test_what_is_old_is_told_as_old() -> None:
    rig = Rig()
    assert not any(one["problem"] for one in seen(rig).values() if one["value"] is not None)
    rig.now += 60
    late = seen(rig)
    assert late["stage.touch_alarm"]["age_s"] == near(60.1)
    for name in ("stage.touch_alarm", "relays.route", "gauge.pressure_pa", "pstat.cell", "stage.position"):
        assert "old" in late[name]["problem"], name
    assert late["stage.connected"]["problem"] is None  # holds until it is told otherwise


def test_what_a_person_stated_is_told_with_the_name() -> None:
    rig = Rig()
    rig.see("stage.touch_alarm", "unknown")
    rig.observations.state("stage.touch_alarm", "armed", "alice", rig.now, 60.0)
    assert seen(rig)["stage.touch_alarm"]["value"] == "armed"
    assert seen(rig)["stage.touch_alarm"]["stated_by"] == "alice"


def test_the_window_of_the_pressure_is_told_with_its_limits() -> None:
    rig = Rig()
    (window,) = Outlook(rig.interlocks, [], rig.now).windows()
    assert window == {"input": "gauge.pressure_pa", "on_at_most": 1e-3, "off_above": 2e-3, "open": True}
    rig.see("gauge.pressure_pa", 1.0)
    (window,) = Outlook(rig.interlocks, [], rig.now).windows()
    assert window["open"] is False


def test_asking_changes_nothing() -> None:
    rig = Rig()
    before = {name: rig.observations.newest(name) for name in rig.observations.known()}
    judged(rig)
    assert {name: rig.observations.newest(name) for name in rig.observations.known()} == before
    assert rig.interlocks.under_way() == ()


def test_a_gauge_is_only_read() -> None:
    assert {act.device for _, act in thought_of(DEVICES)} == set(DEVICES) - {"gauge"}
    assert all(isinstance(act, Act) and act.kinds for _, act in thought_of(DEVICES))
