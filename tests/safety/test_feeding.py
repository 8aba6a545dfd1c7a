"""What the drivers answer reaches the rules as what it means."""

from __future__ import annotations

import math

import pytest

from bridge.safety.feeding import Feed
from drivers.interfaces import GaugeStatus, ManipulatorPosition, Pressure, StagePosition, TouchAlarm
from drivers.samples import Column, SampleBlock
from drivers.techniques import CurrentSequence, Galvanostatic, Impedance, OpenCircuit, Potentiostatic, Technique

from .rig import STAGE_LIMITS, TIP_LIMITS, Rig

HERE = StagePosition(0.05, 0.05, 0.02, 0.0, 0.0)
TIP = ManipulatorPosition(0.0, 0.0, 1e-4, closed_loop=False)


@pytest.fixture
def rig() -> Rig:
    """A rig of which nothing was read yet."""
    rig = Rig()
    for device in rig.devices:
        rig.observations.forget(device)
    return rig


def feed(rig: Rig, device: str) -> Feed:
    return Feed(rig.observations, device)


def read_all(rig: Rig, *, away_m: float | None = 1e-3, alarm: TouchAlarm = TouchAlarm.ARMED) -> None:
    """As a daemon does when everything was connected."""
    limits = {"stage": STAGE_LIMITS, "tip": TIP_LIMITS}
    for device in rig.devices:
        feed(rig, device).connected(rig.now, limits.get(device))
    feed(rig, "stage").result("position", HERE, rig.now)
    feed(rig, "stage").result("touch_alarm", alarm, rig.now)
    feed(rig, "tip").result("position", TIP, rig.now, away_m)
    feed(rig, "relays").result("route", "open", rig.now)
    feed(rig, "pstat").cell("off", rig.now)
    for _ in range(3):
        feed(rig, "gauge").result("pressure", Pressure(5e-4, True, GaugeStatus.OK), rig.now)


def test_a_rig_that_was_read_does_everything(rig: Rig) -> None:
    read_all(rig)
    for act in (
        rig.call("stage", "move_to", tilt_deg=10.0),
        rig.call("tip", "move_to", z_m=0.0),
        rig.call("relays", "select", route="cell"),
        rig.technique(),
    ):
        assert rig.broken(act) == [], act.name


@pytest.mark.parametrize("away_m", [None, 0.0, 49e-6])
def test_a_tip_near_to_where_it_touched_holds_the_stage(rig: Rig, away_m: float | None) -> None:
    read_all(rig, away_m=away_m)
    assert rig.broken(rig.call("stage", "move_by", x_m=1e-3)) == ["tip-clear"]


def test_insert_and_retract_are_remembered_unless_they_failed(rig: Rig) -> None:
    read_all(rig, away_m=None)
    stage = rig.call("stage", "move_by", x_m=1e-3)
    feed(rig, "tip").result("retract", None, rig.now)
    assert rig.broken(stage) == []
    feed(rig, "tip").result("insert", TIP, rig.now)
    assert rig.broken(stage) == ["tip-clear"]
    for method in ("retract", "insert", "move_by", "move_to"):
        feed(rig, "tip").result("retract", None, rig.now)
        rig.now += 3600.0
        read_all(rig, away_m=None)
        assert rig.broken(stage) == []
        with rig.interlocks.acting(rig.call("tip", method, z_m=0.0), rig.clock):
            pass  # it fails, or is cancelled: no result
        assert rig.broken(stage) == ["tip-clear"], method


def test_what_a_person_said_of_a_tip_counts_until_it_moves(rig: Rig) -> None:
    read_all(rig, away_m=None)
    rig.observations.state("tip.contact", False, "alice", rig.now, 600.0)
    assert rig.broken(rig.call("stage", "move_by", x_m=1e-3)) == []
    with rig.interlocks.acting(rig.call("tip", "move_by", z_m=-1e-6), rig.clock):
        pass
    assert rig.broken(rig.call("stage", "move_by", x_m=1e-3)) == ["tip-clear"]


def test_a_switch_that_failed_leaves_the_route_unknown(rig: Rig) -> None:
    read_all(rig)
    feed(rig, "relays").failed("select", rig.now)
    assert rig.broken(rig.call("stage", "move_by", x_m=1e-3)) == ["relays-open"]
    feed(rig, "relays").result("select", "open", rig.now)
    assert rig.broken(rig.call("stage", "move_by", x_m=1e-3)) == []


def test_a_position_that_is_no_number_is_not_known(rig: Rig) -> None:
    read_all(rig)
    feed(rig, "stage").result("position", StagePosition(math.nan, 0.0, 0.0, 0.0, 0.0), rig.now)
    assert rig.broken(rig.call("stage", "move_to", y_m=0.01)) == ["position-known"]


def test_a_lost_device_and_another_one_in_its_place(rig: Rig) -> None:
    read_all(rig)
    feed(rig, "tip").lost(rig.now)
    assert "identity" in rig.broken(rig.call("tip", "move_by", z_m=1e-6))
    read_all(rig)
    feed(rig, "tip").lost(rig.now, wrong_device=True)
    assert "identity" in rig.broken(rig.call("tip", "set_speed", speed_m_per_s=1e-6))


def test_underrange_is_no_vacuum(rig: Rig) -> None:
    read_all(rig)
    feed(rig, "gauge").result("pressure", Pressure(math.nan, False, GaugeStatus.UNDERRANGE), rig.now)
    assert rig.broken(rig.technique()) == ["vacuum"]


def block(current_a: float, count: int = 1) -> SampleBlock:
    columns = [Column("time_s", "s", "float64"), Column("current_a", "A", "float64")]
    return SampleBlock.of(columns, {"time_s": [0.0] * count, "current_a": [current_a] * count})


def test_an_approach_goes_on_samples_of_the_technique_that_runs(rig: Rig) -> None:
    read_all(rig)
    look = OpenCircuit(duration_s=10.0, interval_s=0.1)
    with rig.interlocks.acting(rig.technique(look), rig.clock):
        feed(rig, "pstat").technique(look, rig.now)
        assert rig.broken(rig.approach()) == ["cell-off"]
        feed(rig, "pstat").block(block(math.nan), look, rig.now)
        assert rig.broken(rig.approach()) == []
        feed(rig, "pstat").block(block(0.0, 0), look, rig.now + 1.0)
        rig.now += 1.0
        assert rig.broken(rig.approach()) == ["cell-off"]
    feed(rig, "pstat").cell("off", rig.now)
    assert rig.broken(rig.approach()) == []


def test_the_cell_is_on_from_the_check_until_it_was_seen_off(rig: Rig) -> None:
    read_all(rig)
    tip = rig.call("tip", "move_by", z_m=1e-6)
    with rig.interlocks.acting(rig.technique(), rig.clock):
        assert rig.broken(tip) == ["cell-off"]
    assert rig.broken(tip) == ["cell-off"]
    feed(rig, "pstat").cell("off", rig.now)
    assert rig.broken(tip) == []


@pytest.mark.parametrize(
    ("technique", "allowed"),
    [
        (OpenCircuit(duration_s=1.0), True),
        (Galvanostatic(current_a=-10e-12, duration_s=1.0), True),
        (Galvanostatic(current_a=-20e-12, duration_s=1.0), False),
        (CurrentSequence(currents_a=(5e-12, -5e-12), interval_s=0.1), True),
        (CurrentSequence(currents_a=(5e-12, -50e-12), interval_s=0.1), False),
        (Potentiostatic(voltage_v=0.02, duration_s=1.0, current_limit_a=10e-12), True),
        (Potentiostatic(voltage_v=0.02, duration_s=1.0), False),
        (Impedance(), False),
    ],
)
def test_what_may_flow_during_an_approach_is_what_the_technique_bounds(
    rig: Rig, technique: Technique, allowed: bool
) -> None:
    read_all(rig)
    with rig.interlocks.acting(rig.technique(technique), rig.clock):
        feed(rig, "pstat").technique(technique, rig.now)
        feed(rig, "pstat").block(block(0.0), technique, rig.now)
        assert rig.broken(rig.approach()) == ([] if allowed else ["cell-off"])
