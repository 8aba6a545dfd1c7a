"""Relays, tip, chamber; and that the same world gives the same numbers."""

from __future__ import annotations

import pytest

from mocks.world import CurrentDrive, OpenDrive, Reading, VoltageDrive, World
from mocks.world.wiring import CELL, FEEDTHROUGH, MANIPULATOR_GROUND, STAGE_GROUND
from tests.near import near

from .rig import NS


@pytest.mark.parametrize(
    ("coils", "route"),
    [
        ((), "open"),
        ((FEEDTHROUGH,), "feedthrough"),
        ((STAGE_GROUND,), "stage-ground"),
        ((MANIPULATOR_GROUND,), "manipulator-ground"),
        ((CELL,), "cell"),
        ((FEEDTHROUGH, CELL), "conflict"),
        ((7,), "open"),
    ],
)
def test_relays_make_routes(coils: tuple[int, ...], route: str) -> None:
    wiring = World().wiring
    for coil in coils:
        wiring.set_relay(coil, True)
    assert wiring.route == route
    assert {coil for coil, closed in wiring.relays.items() if closed} == set(coils)
    for coil in coils:
        wiring.set_relay(coil, False)
    assert wiring.route == "open"


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_tip_touches_from_the_side_where_it_started(side: float) -> None:
    tip = World(pad_m=(1e-6, 2e-6, side * 20e-6)).tip
    assert not tip.touching
    tip.x_m, tip.y_m, tip.z_m = 1e-6, 2e-6, side * 19.99e-6
    assert not tip.touching
    assert tip.gap_m == near(0.01e-6)
    tip.z_m = side * 20.03e-6
    assert tip.touching
    assert tip.press_m == near(0.03e-6)
    tip.retract()
    assert not tip.touching
    assert tip.max_press_m == near(0.03e-6)


def test_a_tip_beside_the_pad_touches_nothing() -> None:
    tip = World().tip
    tip.x_m = 2.1e-6
    tip.z_m = tip.pad_m[2]
    assert not tip.touching
    tip.touch()
    assert tip.touching
    assert tip.press_m == 0.0


def test_steps_that_add_up_to_the_pad_touch_it() -> None:
    tip = World().tip
    for _ in range(1000):
        tip.z_m += -20e-9
    assert tip.touching


def test_stage_axes_are_set_one_by_one() -> None:
    chamber = World().chamber
    chamber.set_stage(x_m=1e-3, tilt_deg=52.0)
    chamber.set_stage(y_m=2e-3)
    assert (chamber.stage.x_m, chamber.stage.y_m, chamber.stage.tilt_deg) == (1e-3, 2e-3, 52.0)
    assert chamber.touch_alarm == "armed"
    assert chamber.pressure_pa < 1e-3


def test_current_flows_only_through_a_closed_route_and_a_touching_tip() -> None:
    world = World(noise=False, cell="fig8a_nominal", stray_f=1e-14)
    terminals = world.terminals("smu")
    now = 0
    seen = {}
    for name, closed, touching in (("both", True, True), ("no tip", True, False), ("no relay", False, True)):
        world.wiring.set_relay(CELL, closed)
        (world.tip.touch if touching else world.tip.retract)()
        charge = world.cell.charge_c
        terminals.set_drive(now, CurrentDrive(5e-12, 5.0))
        terminals.measure(now, 10 * NS)
        terminals.set_drive(now + 10 * NS, OpenDrive())
        now += 20 * NS
        seen[name] = (world.cell.charge_c - charge) * 1e12
    assert seen["both"] == near(50.0, abs=0.1)
    assert seen["no tip"] == seen["no relay"] == 0.0


def test_two_closed_routes_drain_the_cell_through_the_loops_resistor() -> None:
    world = World(noise=False, cell="fig8a_nominal")
    terminals = world.terminals("smu")
    world.wiring.set_relay(CELL, True)
    world.tip.touch()
    terminals.set_drive(0, CurrentDrive(5e-12, 5.0))
    terminals.measure(0, 900 * NS)
    terminals.set_drive(900 * NS, OpenDrive())
    charge = world.cell.charge_c
    world.wiring.set_relay(FEEDTHROUGH, True)
    terminals.measure(900 * NS, NS)
    assert world.cell.charge_c - charge == near(-3.5 / 2.3e9, rel=0.15)


def test_terminals_and_timelines_are_the_same_object_each_time() -> None:
    world = World()
    assert world.terminals("a", 1e12) is world.terminals("a")
    assert world.terminals("a").input_resistance_ohm == 1e12
    assert world.timeline("a") is world.timeline("a")
    assert world.terminals("a") is not world.terminals("b")


async def test_the_hosts_waiting_passes_on_the_instruments_timeline() -> None:
    world = World()
    clock = world.host_clock("a")
    await clock.sleep(1.5)
    assert world.timeline("a").now_ns == 1_500_000_000
    assert world.timeline("b").now_ns == 0


async def test_a_relay_that_opens_late_has_let_the_current_flow_until_then() -> None:
    world = World(noise=False, cell="fig8a_nominal", stray_f=1e-14)
    world.wiring.set_relay(CELL, True)
    world.tip.touch()
    terminals = world.terminals("smu")
    terminals.set_drive(0, CurrentDrive(5e-12, 5.0))
    await world.host_clock("smu").sleep(30.0)
    world.wiring.set_relay(CELL, False)
    await world.host_clock("smu").sleep(30.0)
    terminals.set_drive(world.timeline("smu").now_ns, OpenDrive())
    assert world.cell.charge_c == near(150e-12, rel=1e-3)


def story(seed: int, *, company: bool) -> list[Reading]:
    """A little of everything, with another instrument at work in between or not."""
    world = World(seed=seed, cell="fig9_leak", events=[{"kind": "vibration", "mean_closed_s": 5.0}])
    terminals = world.terminals("smu", input_resistance_ohm=1e14)
    other = world.terminals("electrometer") if company else None
    readings = []
    now = 0
    for coil, drive in (
        (FEEDTHROUGH, CurrentDrive(1e-12)),
        (MANIPULATOR_GROUND, CurrentDrive(10e-12)),
        (CELL, CurrentDrive(5e-12, 4.2)),
        (CELL, VoltageDrive(3.0, 50e-12)),
        (CELL, OpenDrive()),
    ):
        for index in range(4):
            world.wiring.set_relay(index, index == coil)
        if coil == CELL and not world.tip.touching:
            world.tip.touch()
        terminals.set_drive(now, drive)
        for k in range(50):
            if other is not None and coil != CELL:
                for j in range(k % 3):
                    other.measure((k + j) * NS, NS)
            readings.append(terminals.measure(now, NS // 10))
            now += NS // 10
    return readings


def test_same_seed_same_numbers_to_the_bit() -> None:
    assert story(1, company=False) == story(1, company=False)
    assert story(1, company=True) == story(1, company=False)
    assert story(2, company=False) != story(1, company=False)


@pytest.mark.parametrize("duration_ns", [0, -1])
def test_an_interval_without_length_is_refused(duration_ns: int) -> None:
    with pytest.raises(ValueError, match="duration_ns must be above zero"):
        World().terminals("smu").measure(0, duration_ns)
