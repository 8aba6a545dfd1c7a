"""What the default rules of a rig allow and refuse, one rule after the other."""

from __future__ import annotations

import math

import pytest

from bridge.safety.acts import Act
from drivers.errors import InterlockViolated
from drivers.techniques import CurrentSequence, Impedance

from .rig import DEVICES, LOOK, Rig


@pytest.fixture
def rig() -> Rig:
    return Rig()


def tilt(rig: Rig) -> Act:
    return rig.call("stage", "move_to", tilt_deg=52.0)


def stage_move(rig: Rig) -> Act:
    return rig.call("stage", "move_by", x_m=1e-3)


def test_a_rig_that_is_as_it_should_be_does_everything(rig: Rig) -> None:
    for act in (
        tilt(rig),
        stage_move(rig),
        rig.call("stage", "home"),
        rig.call("tip", "move_to", z_m=0.0),
        rig.call("tip", "insert"),
        rig.call("tip", "set_speed", speed_m_per_s=1e-6),
        rig.call("relays", "select", route="cell"),
        rig.technique(),
        rig.technique(LOOK),
        rig.technique(Impedance()),
    ):
        assert rig.broken(act) == [], act.name


@pytest.mark.parametrize(
    ("device", "method"),
    [
        ("stage", "stop"),
        ("stage", "position"),
        ("stage", "touch_alarm"),
        ("tip", "stop"),
        ("pstat", "cell_off"),
        ("pstat", "stop"),
        ("pstat", "make_safe"),
        ("relays", "route"),
        ("gauge", "pressure"),
        ("gauge", "identify"),
    ],
)
def test_reading_and_the_safe_direction_are_open_whatever_is_wrong(device: str, method: str) -> None:
    rig = Rig()
    for name in DEVICES:
        rig.observations.forget(name)
    assert rig.broken(rig.call(device, method)) == []


# --- the stage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("contact", [True, "unknown", None])
def test_the_stage_does_not_move_unless_the_tip_is_known_to_be_clear(rig: Rig, contact: object) -> None:
    rig.see("tip.contact", contact)
    assert rig.broken(stage_move(rig)) == ["tip-clear"]
    assert rig.broken(rig.call("stage", "home")) == ["tip-clear"]


def test_an_inserted_tip_holds_the_stage_although_it_does_not_touch(rig: Rig) -> None:
    rig.see("tip.inserted", True)
    assert rig.broken(stage_move(rig)) == ["tip-clear"]


def test_a_tip_that_tells_that_it_is_retracted_need_not_know_of_contact(rig: Rig) -> None:
    rig.see("tip.contact", "unknown")
    rig.see("tip.inserted", False)
    assert rig.broken(stage_move(rig)) == []


def test_contact_counts_even_if_the_tip_says_that_it_is_retracted(rig: Rig) -> None:
    rig.see("tip.inserted", False)
    rig.see("tip.contact", True)
    assert rig.broken(stage_move(rig)) == ["tip-clear"]


def test_a_person_may_say_that_the_tip_is_clear_where_nothing_tells(rig: Rig) -> None:
    rig.see("tip.contact", "unknown")
    rig.observations.state("tip.contact", False, "alice", rig.now, 60.0)
    assert rig.broken(stage_move(rig)) == []


def test_nobody_outvotes_a_contact_that_was_sensed(rig: Rig) -> None:
    rig.see("tip.contact", True)
    rig.observations.state("tip.contact", False, "alice", rig.now, 60.0)
    assert rig.broken(stage_move(rig)) == ["tip-clear"]


@pytest.mark.parametrize("alarm", ["tripped", "disabled", "unknown"])
def test_the_stage_does_not_move_with_the_touch_alarm_off(rig: Rig, alarm: str) -> None:
    rig.see("stage.touch_alarm", alarm)
    assert rig.broken(tilt(rig)) == ["touch-alarm"]
    assert rig.broken(stage_move(rig)) == ["touch-alarm"]


def test_a_person_may_say_that_the_alarm_is_armed_for_a_time(rig: Rig) -> None:
    rig.see("stage.touch_alarm", "unknown")
    rig.observations.state("stage.touch_alarm", "armed", "alice", rig.now, 60.0)
    assert rig.broken(tilt(rig)) == []
    rig.now += 60.0
    rig.read_all()
    rig.see("stage.touch_alarm", "unknown")
    assert rig.broken(tilt(rig)) == ["touch-alarm"]


@pytest.mark.parametrize("alarm", ["tripped", "disabled"])
def test_nobody_outvotes_an_alarm_that_tells(rig: Rig, alarm: str) -> None:
    rig.see("stage.touch_alarm", alarm)
    rig.observations.state("stage.touch_alarm", "armed", "alice", rig.now, 60.0)
    assert rig.broken(tilt(rig)) == ["touch-alarm"]


def test_no_tilt_over_the_stage_s_own_ground(rig: Rig) -> None:
    rig.see("relays.route", "stage-ground")
    assert rig.broken(tilt(rig)) == ["lead-off-stage", "relays-open"]
    assert rig.broken(rig.call("stage", "move_by", rotation_deg=10.0)) == ["lead-off-stage", "relays-open"]
    assert rig.broken(stage_move(rig)) == ["relays-open"]


def test_an_unknown_route_may_be_the_stage_s_ground() -> None:
    rig = Rig({"off": ["relays-open"]})
    rig.see("relays.route", "unknown")
    assert rig.broken(tilt(rig)) == ["lead-off-stage"]


def test_a_lead_wired_to_the_stage_by_hand_forbids_tilting_for_good() -> None:
    rig = Rig({"lead_on_stage": True})
    assert rig.broken(tilt(rig)) == ["lead-off-stage"]
    assert rig.broken(stage_move(rig)) == []
    assert any("lead_on_stage" in notice for notice in rig.interlocks.rules.notices)


def test_the_stage_moves_with_the_relays_open_only(rig: Rig) -> None:
    rig.see("relays.route", "cell")
    assert rig.broken(stage_move(rig)) == ["relays-open"]


def test_a_reading_that_comes_late_is_no_news(rig: Rig) -> None:
    rig.see("stage.touch_alarm", "tripped")
    rig.observations.see("stage.touch_alarm", "armed", rig.now - 0.01)
    assert rig.broken(stage_move(rig)) == ["touch-alarm"]


# --- the feedthrough -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("current_a", "allowed"),
    [(0.0, True), (-0.9e-12, True), (1e-12, False), (-5e-12, False), (math.nan, False), (math.inf, False)],
)
def test_the_feedthrough_is_switched_at_zero_current_only(rig: Rig, current_a: float, allowed: bool) -> None:
    rig.source_on()
    rig.see("pstat.current_a", current_a)
    assert rig.broken(rig.call("relays", "select", route="cell")) == ([] if allowed else ["zero-current"])


def test_a_current_that_was_measured_long_ago_is_none(rig: Rig) -> None:
    rig.see("pstat.current_a", 0.0)
    rig.now += 2.5
    rig.read_all()
    rig.source_on()
    assert rig.broken(rig.call("relays", "select", route="open")) == ["zero-current"]


def test_a_cell_that_could_not_be_proven_off_counts_as_on(rig: Rig) -> None:
    rig.see("pstat.cell", "unknown")
    rig.see("pstat.current_a", 0.0)
    assert rig.broken(rig.call("relays", "select", route="open")) == ["zero-current"]
    assert rig.broken(rig.call("tip", "move_by", z_m=1e-6)) == ["cell-off"]


# --- the tip with the cell on ----------------------------------------------------------------------------------------


def test_no_tip_moves_with_the_cell_on(rig: Rig) -> None:
    rig.source_on()
    assert rig.broken(rig.call("tip", "move_by", z_m=-50e-9)) == ["cell-off"]
    assert rig.broken(rig.call("tip", "retract")) == ["cell-off"]
    assert rig.broken(stage_move(rig)) == ["cell-off"]


def test_an_approach_moves_it_in_small_steps(rig: Rig) -> None:
    rig.source_on()
    assert rig.broken(rig.approach(-50e-9)) == []
    assert rig.broken(rig.approach(-1e-6)) == []
    assert rig.broken(rig.approach(-1.1e-6)) == ["cell-off"]
    assert rig.broken(rig.call("tip", "move_by", mode="approach", x_m=0.9e-6, z_m=0.9e-6)) == ["cell-off"]
    assert rig.broken(rig.call("tip", "move_to", mode="approach", z_m=0.0)) == ["cell-off"]
    assert rig.broken(rig.call("tip", "insert", mode="approach")) == ["cell-off"]
    assert rig.broken(rig.call("stage", "move_by", mode="approach", x_m=1e-9)) == ["cell-off"]


@pytest.mark.parametrize(
    ("current_a", "allowed"), [(10e-12, True), (11e-12, False), (math.inf, False), (math.nan, False)]
)
def test_an_approach_needs_a_small_current_limit(rig: Rig, current_a: float, allowed: bool) -> None:
    rig.source_on(current_limit_a=current_a)
    assert rig.broken(rig.approach()) == ([] if allowed else ["cell-off"])


@pytest.mark.parametrize(
    ("interval_s", "age_s", "allowed"), [(0.1, 0.4, True), (0.1, 0.6, False), (1.0, 1.9, True), (1.0, 2.1, False)]
)
def test_an_approach_needs_samples_that_come(rig: Rig, interval_s: float, age_s: float, allowed: bool) -> None:
    rig.source_on(interval_s=interval_s)
    rig.now += age_s
    rig.see("tip.position", rig.good["tip.position"])
    assert rig.broken(rig.approach()) == ([] if allowed else ["cell-off"])


def test_an_approach_with_the_cell_off_is_an_ordinary_move(rig: Rig) -> None:
    assert rig.broken(rig.approach(-50e-6)) == []


# --- the source ------------------------------------------------------------------------------------------------------


def test_no_source_on_while_something_moves(rig: Rig) -> None:
    with rig.interlocks.acting(rig.call("tip", "move_by", z_m=1e-6), rig.clock):
        assert rig.broken(rig.technique()) == ["at-rest"]
        assert rig.broken(rig.technique(LOOK)) == ["at-rest"]
    assert rig.broken(rig.technique()) == []


@pytest.mark.parametrize(
    ("readings", "allowed"),
    [
        ([5e-4, 5e-4, 5e-4], True),
        ([1e-3, 1e-3, 1e-3], True),
        ([5e-4, 5e-4], False),
        ([5e-4, 5e-4, 1.5e-3, 5e-4, 5e-4], False),
        ([5e-4, 5e-4, 5e-4, 1.9e-3], True),
        ([5e-4, 5e-4, 5e-4, 2.1e-3], False),
        ([5e-4, 5e-4, 5e-4, 2.1e-3, 5e-4, 5e-4], False),
        ([5e-4, 5e-4, 5e-4, 2.1e-3, 5e-4, 5e-4, 5e-4], True),
        ([5e-4, None, 5e-4, None, 5e-4, 5e-4], False),
        ([5e-4, 5e-4, 5e-4, None], False),
        ([5e-4, 5e-4, 5e-4, None, 5e-4], True),
        ([5e-4, 5e-4, 5e-4, None, None, 5e-4], False),
        ([5e-4, 5e-4, 5e-4, math.nan], False),
    ],
)
def test_vacuum_opens_by_three_good_readings_and_closes_above_twice_that(
    readings: list[float | None], allowed: bool
) -> None:
    rig = Rig()
    rig.now += 10.0  # longer than readings may be apart: the window begins anew
    for pressure_pa in readings:  # None: underrange, which is no pass
        rig.now += 1.0
        rig.read_all_but("gauge.pressure_pa")
        rig.see("gauge.pressure_pa", math.nan if pressure_pa is None else pressure_pa, valid=pressure_pa is not None)
    assert rig.broken(rig.technique()) == ([] if allowed else ["vacuum"])
    assert rig.broken(rig.technique(LOOK)) == []


def test_a_silent_gauge_is_no_vacuum(rig: Rig) -> None:
    rig.now += 2.5
    rig.read_all_but("gauge.pressure_pa")
    assert rig.broken(rig.technique()) == ["vacuum"]


def test_hysteresis_outlasts_what_is_remembered_of_the_readings(rig: Rig) -> None:
    for _ in range(100):
        rig.now += 1.0
        rig.read_all_but("gauge.pressure_pa")
        rig.see("gauge.pressure_pa", 1.5e-3)
    assert rig.broken(rig.technique()) == []


def test_vacuum_may_be_set_aside_by_the_configuration_and_is_then_shown() -> None:
    rig = Rig({"vacuum": "not_required"})
    rig.see("gauge.pressure_pa", 1e5)
    assert rig.broken(rig.technique()) == []
    assert any("AIR" in notice for notice in rig.interlocks.rules.notices)
    assert "vacuum" in [absent.id for absent in rig.interlocks.rules.absent]


def test_a_potentiostat_off_the_chamber_needs_no_vacuum() -> None:
    devices = {**DEVICES, "bench": "potentiostat"}
    rig = Rig({"cells": ["pstat"]}, devices)
    rig.see("gauge.pressure_pa", 1e5)
    assert rig.broken(rig.call("bench", "galvanostatic", current_a=1e-3, duration_s=1.0)) == []
    assert rig.broken(rig.call("pstat", "galvanostatic", current_a=1e-3, duration_s=1.0)) == ["vacuum"]


# --- motion ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        ({"x_m": 0.05}, True),
        ({"x_m": 0.05, "y_m": -0.02}, True),
        ({"x_m": 0.06}, False),
        ({"tilt_deg": -1.0}, False),
        ({"rotation_deg": -400.0}, True),
        ({"x_m": math.nan}, False),
    ],
)
def test_a_step_ends_within_the_soft_limits(rig: Rig, arguments: dict[str, float], allowed: bool) -> None:
    assert rig.broken(rig.call("stage", "move_by", **arguments)) == ([] if allowed else ["limits"])


@pytest.mark.parametrize(("z_m", "allowed"), [(0.04, True), (0.0401, False), (-1e-9, False), (math.nan, False)])
def test_a_target_is_within_the_soft_limits(rig: Rig, z_m: float, allowed: bool) -> None:
    assert rig.broken(rig.call("stage", "move_to", z_m=z_m)) == ([] if allowed else ["limits"])


def test_a_step_from_a_place_that_is_not_known_is_refused(rig: Rig) -> None:
    rig.see("tip.position", {"x_m": 0.0, "y_m": 0.0, "z_m": math.nan})
    assert rig.broken(rig.call("tip", "move_by", z_m=1e-6)) == ["limits"]
    assert rig.broken(rig.call("tip", "move_by", x_m=1e-6)) == []


def test_an_axis_that_is_outside_may_come_back_in(rig: Rig) -> None:
    rig.see("stage.position", {**rig.good["stage.position"], "z_m": 0.041})
    assert rig.broken(rig.call("stage", "move_by", z_m=-0.01)) == []
    assert rig.broken(rig.call("stage", "move_by", x_m=0.01)) == []
    assert rig.broken(rig.call("stage", "move_by", z_m=-0.0005)) == ["limits"]


def test_no_move_to_coordinates_from_an_unknown_position(rig: Rig) -> None:
    rig.see("stage.position_known", False)
    assert rig.broken(tilt(rig)) == ["position-known"]
    assert rig.broken(rig.call("stage", "home")) == []


def test_the_way_keeps_out_of_a_region() -> None:
    region = {"tilt_deg": [30, 90], "z_m": [0.03, 0.04]}
    rig = Rig({"keep_out": {"pole-piece": {"device": "stage", "region": region}}})
    assert rig.broken(rig.call("stage", "move_to", tilt_deg=40.0)) == []
    assert rig.broken(rig.call("stage", "move_to", tilt_deg=40.0, z_m=0.035)) == ["keep-out-pole-piece"]
    # neither end is in it, but the axes may take an order that leads through it
    rig.see("stage.position", {**rig.good["stage.position"], "z_m": 0.035})
    assert rig.broken(rig.call("stage", "move_to", tilt_deg=40.0, z_m=0.01)) == ["keep-out-pole-piece"]
    # from inside it leads out only
    rig.see("stage.position", {**rig.good["stage.position"], "z_m": 0.035, "tilt_deg": 40.0})
    assert rig.broken(rig.call("stage", "move_by", z_m=-0.01)) == []
    assert rig.broken(rig.call("stage", "move_by", z_m=-0.001)) == ["keep-out-pole-piece"]


def test_one_mover_of_a_group_at_a_time(rig: Rig) -> None:
    with rig.interlocks.acting(stage_move(rig), rig.clock):
        assert rig.broken(rig.call("tip", "move_by", z_m=1e-6)) == ["sole-mover"]
        assert rig.broken(rig.call("relays", "select", route="cell")) == ["sole-mover"]
    assert rig.broken(rig.call("tip", "move_by", z_m=1e-6)) == []


def test_of_two_that_were_admitted_one_moves(rig: Rig) -> None:
    tip = rig.call("tip", "move_by", z_m=1e-6)
    rig.interlocks.require(tip, rig.now)
    rig.interlocks.require(stage_move(rig), rig.now)
    with (
        rig.interlocks.acting(tip, rig.clock),
        pytest.raises(InterlockViolated, match="tip is moving"),
        rig.interlocks.acting(stage_move(rig), rig.clock),
    ):
        pytest.fail("it was let through")
    with rig.interlocks.acting(stage_move(rig), rig.clock):
        pass


# --- who is there ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [False, None])
def test_no_command_to_another_device_than_the_configured_one(rig: Rig, value: object) -> None:
    rig.see("tip.identity_ok", value)
    assert rig.broken(rig.call("tip", "move_by", z_m=1e-6)) == ["identity"]
    assert rig.broken(rig.call("tip", "set_speed", speed_m_per_s=1e-6)) == ["identity"]


def test_what_was_read_of_a_lost_device_counts_no_more(rig: Rig) -> None:
    rig.observations.forget("tip")
    assert rig.broken(stage_move(rig)) == ["tip-clear"]
    assert "identity" in rig.broken(rig.call("tip", "move_by", z_m=1e-6))


@pytest.mark.parametrize(
    ("missing", "absent"),
    [
        ("gauge", {"vacuum"}),
        ("relays", {"lead-off-stage", "relays-open", "zero-current"}),
        ("tip", {"tip-clear"}),
        ("stage", {"tip-clear", "touch-alarm", "lead-off-stage", "relays-open"}),
        ("pstat", {"zero-current", "cell-off", "at-rest", "vacuum"}),
    ],
)
def test_a_rule_is_left_out_where_its_devices_are_not_there_and_that_is_told(missing: str, absent: set[str]) -> None:
    rig = Rig(devices={name: interface for name, interface in DEVICES.items() if name != missing})
    found = {one.id: one.why for one in rig.interlocks.rules.absent}
    assert set(found) == absent
    assert all(why.startswith("not applicable: no ") for why in found.values())
    shown = {rule["id"]: rule["status"] for rule in rig.interlocks.state(rig.now)["rules"]}
    assert {id for id, status in shown.items() if status == "absent"} == absent


def test_sequences_and_unknown_techniques_are_held_to_the_vacuum(rig: Rig) -> None:
    rig.see("gauge.pressure_pa", 1e5)
    assert rig.broken(rig.technique(CurrentSequence(currents_a=(1e-12,), interval_s=1.0))) == ["vacuum"]
    assert rig.broken(rig.call("pstat", "of_the_future")) == ["vacuum"]
