"""The contact's resistance and noise over a run of pulses, as the world of the mocks has them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bridge.analysis.contact_guard import ContactGuard
from bridge.analysis.health.detector import Finding, Samples, Situation
from drivers.techniques import Galvanostatic, OpenCircuit
from mocks.world import CurrentDrive, OpenDrive, World
from tests.near import near

NS = 1_000_000_000
#: 10 um2: 130 Ohm cm2 and the settled part of the diffusion
CELL_OHM = 1.3e9


def pulses(
    world: World,
    guard: ContactGuard,
    count: int,
    before: Callable[[int], None] = lambda number: None,
    cut: int = 1000,
) -> list[tuple[int, Finding]]:
    """`count` times 10 s at open circuit and 10 s at 5 pA, ten samples a second: findings by pulse."""
    world.tip.touch()
    world.wiring.set_relay(3, True)
    terminals = world.terminals("smu")
    now, found = 0, []
    for number in range(count):
        before(number)
        for current in (0.0, 5e-12):
            terminals.set_drive(now, CurrentDrive(current, 10.0) if current else OpenDrive(connected=True))
            technique = Galvanostatic(current_a=current, duration_s=10.0) if current else OpenCircuit(duration_s=10.0)
            situation = Situation(technique=technique, area_m2=1e-11)
            guard.begin(situation)
            rows = []
            for _ in range(100):
                seen = terminals.measure(now, NS // 10)
                now += NS // 10
                rows.append((len(rows) * 0.1 + 0.1, seen.voltage_v, seen.current_a))
            time, voltage, amperes = np.array(rows).T
            flags = np.zeros(len(time), np.uint32)
            for at in range(0, len(time), cut):
                part = slice(at, at + cut)
                samples = Samples(time[part], voltage[part], amperes[part], flags[part], at)
                found += [(number, finding) for finding in guard.add(samples, situation)]
            found += [(number, finding) for finding in guard.finish(None, situation)]
    return found


def half_full(seed: int = 3) -> World:
    world = World(cell="fig8a_nominal", seed=seed)
    world.cell.charge_c = world.cell.reversible_c = world.cell._peak_c = 4.5e-9
    return world


def test_a_contact_that_grows_is_told_once_with_its_numbers() -> None:
    world, guard = half_full(), ContactGuard()

    def before(number: int) -> None:
        if number >= 6:
            world.events.contact_ohm = 2e9

    ((pulse, finding),) = pulses(world, guard, 9, before)
    assert (pulse, finding.kind, finding.severity) == (6, "contact_resistance", "warning")
    assert finding.evidence["resistance_ohm"] - finding.evidence["first_ohm"] == near(2e9, rel=0.15)
    assert guard.values["growth"] == near(2e9 / CELL_OHM, rel=0.2)
    assert "weld" in finding.action


@pytest.mark.parametrize("seed", range(4))
def test_a_steady_contact_is_left_alone(seed: int) -> None:
    guard = ContactGuard()
    assert pulses(half_full(seed), guard, 12) == []
    values = guard.values
    assert values["edges"] == 23
    assert values["contact_and_cell_ohm"] == near(CELL_OHM, rel=0.05)
    assert values["growth"] == near(0.0, abs=0.1)


def test_an_empty_cell_that_bends_is_no_bad_contact() -> None:
    guard = ContactGuard()
    assert pulses(World(cell="fig8a_nominal", seed=3), guard, 14) == []


def test_a_noisy_contact_is_told() -> None:
    world, guard = half_full(), ContactGuard()

    def before(number: int) -> None:
        if number == 5:
            world.events.add("chatter", rate_hz=4.0, open_s=0.1, since="now")

    found = pulses(world, guard, 10, before)
    assert any("noise" in finding.text for _, finding in found)
    assert min(pulse for pulse, _ in found) >= 5


def test_cuts_do_not_matter() -> None:
    results = []
    for cut in (1, 7, 1000):
        world, guard = half_full(), ContactGuard()
        pulses(world, guard, 4, cut=cut)
        results.append(guard.values)
    assert results[0] == results[1] == results[2]
