"""The engine: what a refusal says, what is watched while an act lasts, and rules that are set aside for a time."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.safety.acts import Act, Kind, kinds_of
from bridge.safety.condition import Condition, Situation, Verdict
from bridge.safety.engine import TELL_AGAIN_S, Interlocks
from bridge.safety.observations import Observations
from bridge.safety.rules import Rule, RuleSet
from drivers import calls
from drivers.errors import InterlockViolated, InvalidValue, PicobridgeError, Refused

from .rig import DEVICES, Rig


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_refusal_names_rule_inputs_ages_and_what_would_satisfy_it(rig: Rig) -> None:
    rig.see("tip.contact", True)
    rig.now += 0.5
    with pytest.raises(InterlockViolated) as caught:
        rig.interlocks.require(rig.call("stage", "move_by", x_m=1e-3), rig.now)
    error = caught.value
    assert "rule tip-clear" in error.message
    assert "the tip of tip is in contact" in error.message
    assert error.hint.startswith("Needed: tip must be drawn back")
    assert (error.device, error.operation) == ("stage", "move_by")
    (found,) = error.detail["rules"]
    assert found["rule"] == "tip-clear"
    seen = {one["input"]: one for one in found["inputs"]}
    assert seen["tip.contact"]["value"] is True
    assert 0.5 <= seen["tip.contact"]["age_s"] < 1.0
    assert seen["tip.inserted"]["problem"].startswith("not known")


def test_it_crosses_the_broker(rig: Rig) -> None:
    rig.see("stage.position", {"x_m": math.nan, "y_m": math.inf})
    with pytest.raises(InterlockViolated) as caught:
        rig.interlocks.require(rig.call("stage", "move_by", x_m=1e-3), rig.now)
    sent = json.dumps(caught.value.to_dict(), allow_nan=False)
    back = PicobridgeError.from_dict(json.loads(sent))
    assert type(back) is InterlockViolated
    assert isinstance(back, Refused)
    assert back.detail == caught.value.detail


def test_every_rule_that_is_broken_is_told_at_once(rig: Rig) -> None:
    rig.see("tip.contact", True)
    rig.see("stage.touch_alarm", "tripped")
    with pytest.raises(InterlockViolated) as caught:
        rig.interlocks.require(rig.call("stage", "move_to", tilt_deg=10.0), rig.now)
    assert [found["rule"] for found in caught.value.detail["rules"]] == ["tip-clear", "touch-alarm"]


def test_an_input_that_changes_between_admission_and_the_first_byte_is_caught(rig: Rig) -> None:
    act = rig.call("stage", "move_by", x_m=1e-3)
    rig.interlocks.require(act, rig.now)
    rig.see("tip.contact", True)
    with pytest.raises(InterlockViolated), rig.interlocks.acting(act, rig.clock):
        pytest.fail("it was let through")
    assert rig.interlocks.under_way() == ()


def test_while_a_move_lasts_a_violation_is_told_at_the_next_poll_and_again(rig: Rig) -> None:
    with rig.interlocks.acting(rig.call("stage", "move_by", x_m=1e-3), rig.clock):
        assert rig.interlocks.poll(rig.now) == []
        rig.see("stage.touch_alarm", "tripped")
        (broken,) = rig.interlocks.poll(rig.now)
        assert (broken.act.device, broken.reaction) == ("stage", "stop")
        assert "tripped" in str(broken.error)
        rig.now += TELL_AGAIN_S / 2
        rig.read_all_but("stage.touch_alarm")
        assert rig.interlocks.poll(rig.now) == []
        rig.now += TELL_AGAIN_S / 2
        assert len(rig.interlocks.poll(rig.now)) == 1
    assert rig.interlocks.poll(rig.now) == []


def test_what_is_not_read_any_more_breaks_a_rule_while_an_act_lasts(rig: Rig) -> None:
    with rig.interlocks.acting(rig.call("stage", "move_by", x_m=1e-3), rig.clock):
        rig.now += 2.5
        found = {broken.violation.rule.id for broken in rig.interlocks.poll(rig.now)}
        assert found == {"tip-clear", "touch-alarm", "relays-open"}


def test_one_bad_reading_of_the_gauge_does_not_end_a_run_two_do(rig: Rig) -> None:
    with rig.interlocks.acting(rig.technique(), rig.clock):
        rig.see("gauge.pressure_pa", math.nan, valid=False)
        assert rig.interlocks.poll(rig.now) == []
        rig.now += 1.0
        rig.see("gauge.pressure_pa", 5e-4)
        assert rig.interlocks.poll(rig.now) == []
        rig.now += 1.0
        rig.see("gauge.pressure_pa", 5e-2)
        assert rig.interlocks.poll(rig.now) == []
        rig.now += 1.6
        rig.see("gauge.pressure_pa", 5e-2)
        (broken,) = rig.interlocks.poll(rig.now)
        assert (broken.violation.rule.id, broken.reaction) == ("vacuum", "safe_state")


def test_the_other_mover_of_a_group_waits_until_the_first_is_done_however_it_ends(rig: Rig) -> None:
    with pytest.raises(RuntimeError), rig.interlocks.acting(rig.call("stage", "move_by", x_m=1e-3), rig.clock):
        raise RuntimeError("lost on the way")
    assert rig.broken(rig.call("tip", "move_by", z_m=1e-6)) == []


def test_what_has_to_be_read_before_an_act(rig: Rig) -> None:
    act = rig.call("stage", "move_to", tilt_deg=10.0)
    assert rig.interlocks.wanted(act, rig.now) == frozenset()
    rig.now += 1.5
    assert rig.interlocks.wanted(act, rig.now) == {
        ("tip", "position"),
        ("stage", "touch_alarm"),
        ("stage", "position"),
        ("relays", "route"),
        ("pstat", "identify"),
    }
    assert rig.interlocks.watched(rig.now) == frozenset()
    rig.read_all()
    with rig.interlocks.acting(act, rig.clock):
        assert rig.interlocks.watched(rig.now) == {
            ("tip", "position"),
            ("stage", "touch_alarm"),
            ("relays", "route"),
            ("pstat", "identify"),
        }


def test_the_gauge_is_read_until_it_was_good_often_enough(rig: Rig) -> None:
    rig.observations.forget("gauge")
    rig.see("gauge.connected", True)
    act = rig.technique()
    reads = 0
    while rig.interlocks.wanted(act, rig.now):
        rig.now += 0.3
        rig.see("gauge.pressure_pa", 5e-4)
        reads += 1
    assert reads == 3
    assert rig.broken(act) == []


def test_a_bad_vacuum_is_not_read_again_and_again(rig: Rig) -> None:
    rig.see("gauge.pressure_pa", 1e5)
    assert rig.interlocks.wanted(rig.technique(), rig.now) == frozenset()


# --- set aside -------------------------------------------------------------------------------------------------------


def override(rig: Rig, rule: str = "vacuum", **changes: Any) -> None:
    values = {"by": "ann", "role": "administrator", "seconds": 60.0, "reason": "leak test"} | changes
    rig.interlocks.override(rule, now=rig.now, **values)


def test_a_rule_is_set_aside_for_a_time_and_that_is_shown(rig: Rig) -> None:
    rig.see("gauge.pressure_pa", 1e5)
    override(rig)
    assert rig.broken(rig.technique()) == []
    shown = {rule["id"]: rule for rule in rig.interlocks.state(rig.now)["rules"]}
    assert shown["vacuum"]["status"] == "set aside"
    assert shown["vacuum"]["set_aside"]["by"] == "ann"
    assert json.dumps(rig.interlocks.state(rig.now), allow_nan=False)
    rig.now += 60.0
    assert rig.broken(rig.technique()) == ["vacuum"]


def test_an_act_under_way_is_looked_at_again_when_the_time_is_over(rig: Rig) -> None:
    rig.see("gauge.pressure_pa", 1e5)
    override(rig)
    with rig.interlocks.acting(rig.technique(), rig.clock):
        assert rig.interlocks.poll(rig.now) == []
        rig.now += 60.0
        assert rig.interlocks.poll(rig.now) == []
        rig.now += 1.5
        assert [broken.violation.rule.id for broken in rig.interlocks.poll(rig.now)] == ["vacuum"]


def test_it_can_be_given_up_early(rig: Rig) -> None:
    rig.see("gauge.pressure_pa", 1e5)
    override(rig)
    rig.interlocks.end_override("vacuum")
    assert rig.broken(rig.technique()) == ["vacuum"]


@pytest.mark.parametrize("rule", ["identity", "tip-clear", "touch-alarm", "zero-current", "cell-off", "lead-off-stage"])
def test_some_rules_nobody_sets_aside(rig: Rig, rule: str) -> None:
    with pytest.raises(Refused, match="cannot be set aside"):
        override(rig, rule)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"role": "operator"}, Refused),
        ({"role": "observer"}, Refused),
        ({"role": "root"}, Refused),
        ({"seconds": 601.0}, InvalidValue),
        ({"seconds": 0.0}, InvalidValue),
        ({"seconds": math.nan}, InvalidValue),
        ({"reason": " "}, InvalidValue),
        ({"by": ""}, InvalidValue),
        ({"rule": "of-nobody"}, InvalidValue),
    ],
)
def test_an_override_that_is_not_accepted(rig: Rig, changes: dict[str, Any], error: type[PicobridgeError]) -> None:
    rig.see("gauge.pressure_pa", 1e5)
    with pytest.raises(error):
        override(rig, **changes)
    assert rig.broken(rig.technique()) == ["vacuum"]


# --- whatever is fed -------------------------------------------------------------------------------------------------

_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.integers(),
    st.text(max_size=8),
    st.sampled_from(["on", "off", "open", "unknown", "armed", "tripped"]),
    st.dictionaries(st.sampled_from(["x_m", "y_m", "z_m", "tilt_deg"]), st.floats(), max_size=4),
)


@given(st.data())
def test_one_input_that_is_gone_or_old_never_allows_more(data: st.DataObject) -> None:
    """Taking a reading away, letting it age, or marking it invalid may only forbid."""
    rig = Rig()
    act = data.draw(st.sampled_from(acts(rig)))
    assert rig.broken(act) == []
    looked_at = {
        input for rule in rig.interlocks.rules.rules if rule.applies_to(act) for input in rule.requires.inputs(act)
    } - {"tip.inserted"}  # of which the rig's tip never tells
    input = data.draw(st.sampled_from(sorted(input for input in looked_at if not input.endswith(".moving"))))
    how = data.draw(st.sampled_from(["invalid", "not a number"]))
    if how == "invalid":
        rig.see(input, rig.good.get(input), valid=False)
    else:
        rig.see(input, math.nan)
    if input == "pstat.current_a":  # not looked at while the cell is off
        return
    assert rig.broken(act) != []


def acts(rig: Rig) -> list[Act]:
    return [
        rig.call("stage", "move_to", tilt_deg=10.0),
        rig.call("stage", "move_by", x_m=1e-3),
        rig.call("tip", "move_to", z_m=0.0),
        rig.call("tip", "move_by", z_m=-1e-6),
        rig.call("relays", "select", route="cell"),
        rig.technique(),
    ]


@given(st.lists(st.tuples(st.sampled_from(sorted(Rig().good)), _VALUES, st.booleans()), max_size=8))
def test_no_reading_breaks_the_engine(readings: list[tuple[str, Any, bool]]) -> None:
    rig = Rig()
    for name, value, valid in readings:
        rig.see(name, value, valid)
    for act in acts(rig):
        for violation in rig.interlocks.check(act, rig.now):
            assert json.dumps(violation.to_dict(), allow_nan=False)
            assert violation.verdict.why
            assert violation.verdict.needs


@dataclass(frozen=True, slots=True, kw_only=True)
class Hopeless(Condition):
    def inputs(self, act: Act) -> tuple[str, ...]:
        return ()

    def judge(self, situation: Situation) -> Verdict:
        raise ZeroDivisionError


def test_a_rule_that_breaks_forbids() -> None:
    rule = Rule(id="hopeless", text="nothing goes", requires=Hopeless(), lasts=True)
    interlocks = Interlocks(RuleSet((rule,)), Observations())
    (violation,) = interlocks.check(Rig().technique(), 0.0)
    assert "could not be judged" in violation.verdict.why


def test_every_call_of_every_interface_is_of_a_kind_or_harmless() -> None:
    for device, interface in DEVICES.items():
        for method in calls.methods(interface):
            kinds = kinds_of(interface, method, {})
            harmless = method in calls.HARMLESS or method in calls.SAFE
            assert bool(kinds) != harmless, f"{device}.{method}"


@pytest.mark.parametrize(
    ("interface", "method", "arguments", "kinds"),
    [
        ("stage", "move_to", {"x_m": 1.0, "tilt_deg": None}, {Kind.MOVE, Kind.ABSOLUTE}),
        ("stage", "move_to", {"rotation_deg": 1.0}, {Kind.MOVE, Kind.ABSOLUTE, Kind.TILT}),
        ("stage", "move_by", {"tilt_deg": 0.0, "x_m": 1.0}, {Kind.MOVE}),
        ("stage", "home", {}, {Kind.MOVE, Kind.HOME, Kind.TILT}),
        ("manipulator", "insert", {}, {Kind.MOVE, Kind.INSERT}),
        ("potentiostat", "open_circuit", {}, {Kind.MEASURE}),
        ("potentiostat", "galvanostatic", {}, {Kind.ENERGISE}),
        ("stage", "of_the_future", {}, {Kind.MOVE, Kind.TILT, Kind.ABSOLUTE}),
        ("of_the_future", "do", {}, set(Kind)),
    ],
)
def test_what_kind_an_act_is(interface: str, method: str, arguments: dict[str, Any], kinds: set[Kind]) -> None:
    assert kinds_of(interface, method, arguments) == kinds
