"""Contact and cell faults, by script and at run time."""

from __future__ import annotations

import math
import tomllib
from typing import Any

import pytest

from mocks.world import CurrentDrive, World
from mocks.world.events import Contact, Schedule, parse_event
from tests.near import near

from .rig import NS, Rig


def open_time(spec: dict[str, Any], seconds: float, key: int = 1) -> tuple[float, int]:
    """Seconds without contact, and number of openings."""
    schedule = Schedule()
    schedule.add(parse_event(key, spec), 0)
    now, lost, openings = 0, 0, 0
    while now < seconds * NS:
        contact, until = schedule.contact(now, Contact())
        until = min(until, round(seconds * NS))
        if not contact.closed:
            lost += until - now
            openings += 1
        now = until
    return lost / NS, openings


def test_vibration_is_open_for_its_share_of_the_time() -> None:
    lost, openings = open_time({"kind": "vibration", "mean_open_s": 0.05, "mean_closed_s": 20.0}, 20000.0)
    assert openings == near(1000, rel=0.1)
    assert lost == near(50.0, rel=0.15)


def test_chatter_comes_at_its_rate_within_its_time() -> None:
    spec = {"kind": "chatter", "rate_hz": 2.0, "open_s": 0.02, "at_s": 100.0, "for_s": 500.0}
    lost, openings = open_time(spec, 2000.0)
    assert openings == near(1000, rel=0.1)
    assert lost == near(20.0, rel=0.15)
    assert open_time(spec, 100.0) == (0.0, 0)


def test_random_events_are_the_same_for_the_same_key_whatever_the_way_of_asking() -> None:
    schedules = [Schedule(), Schedule()]
    for schedule in schedules:
        schedule.add(parse_event(5, {"kind": "chatter", "rate_hz": 1.0}), 0)
    schedules[0].contact(1000 * NS, Contact())
    times = [k * NS // 7 for k in range(7000)]
    states = [[schedule.contact(t, Contact()) for t in times] for schedule in schedules]
    assert states[0] == states[1]
    other = Schedule()
    other.add(parse_event(6, {"kind": "chatter", "rate_hz": 1.0}), 0)
    assert [other.contact(t, Contact()) for t in times] != states[0]


def test_a_script_may_come_from_a_file() -> None:
    text = """
    [[events]]
    kind = "open"
    at_s = 20
    for_s = 0.5
    [[events]]
    kind = "short"
    at_s = 40.0
    ohm = 1e9
    """
    rig = Rig("fig8a_nominal", stray_f=100e-12, events=tomllib.loads(text)["events"])
    rig.drive(CurrentDrive(5e-12, 5.0))
    voltages = [rig.sample(0.5).voltage_end_v for _ in range(200)]
    assert voltages[40] - voltages[39] == near(0.025, abs=1e-6), "5 pA for half a second into 100 pF"
    assert voltages[-1] < voltages[79] - 0.5


def test_vibration_shows_as_spikes_and_costs_the_cell_nothing_lasting() -> None:
    """A long run at 10 samples a second through many openings stays on the undisturbed curve."""
    ends = {}
    for script in ([], [{"kind": "vibration", "mean_closed_s": 5.0, "mean_open_s": 0.05}]):
        rig = Rig("fig8a_nominal", stray_f=100e-12, events=script)
        ends[len(script)] = rig.constant_current(50.0, seconds=300.0, dt=0.1)
    difference = [abs(ends[1].voltage_v[t] - ends[0].voltage_v[t]) for t in ends[0].voltage_v]
    assert max(difference) > 2e-3
    assert sorted(difference)[len(difference) // 2] < 1e-3


def test_switches_at_run_time() -> None:
    world = World(noise=False)
    events = world.events
    events.short_ohm = 1e9
    events.contact_ohm = 2e9
    events.contact_lost = True
    assert events.short_ohm == near(1e9)
    assert events.contact_ohm == 2e9
    assert events.contact_lost
    events.short_ohm = math.inf
    events.contact_lost = False
    assert events.short_ohm == math.inf
    assert not events.contact_lost


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "explosion"}, "event kind 'explosion': expected one of open, resistance"),
        ({"kind": "open", "for": 3}, "event 'open' has no for; it takes at_s, for_s and since"),
        ({"kind": "short"}, "event 'short' needs ohm as a number of zero or more, not None"),
        ({"kind": "chatter", "rate_hz": 0}, "needs rate_hz above zero"),
        ({"kind": "open", "at_s": -1.0}, "needs at_s as a number of zero or more, not -1.0"),
        ({"kind": "open", "at_s": "soon"}, "needs at_s as a number"),
        ({"kind": "open", "since": "yesterday"}, "since 'yesterday': expected one of start, drive, now"),
    ],
)
def test_a_wrong_event_is_refused_with_its_field(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        World(events=[spec])
