"""What the ammeter reads beside the current, on each route and for each length of integration."""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt
import pytest

from bridge.analysis.noise import NoiseSpec, Verdict, assess_noise
from mocks.world import CurrentDrive, OpenDrive, VoltageDrive, World
from mocks.world.noise import ROUTE_LEVELS, Line, Noise, NoiseLevels, StageMove
from mocks.world.wiring import FEEDTHROUGH, MANIPULATOR_GROUND, STAGE_GROUND
from tests.near import near

from .rig import NS

MS = 1_000_000
Floats = npt.NDArray[np.float64]


def record(
    coil: int, current_a: float, *, count: int, interval_ns: int = 100 * MS, length_ns: int = 100 * MS, seed: int = 0
) -> Floats:
    """Currents of `count` conversions of `length_ns`, one every `interval_ns`."""
    world = World(seed=seed)
    terminals = world.terminals("smu")
    world.wiring.set_relay(coil, True)
    terminals.set_drive(0, CurrentDrive(current_a, 10.0))
    return np.array([terminals.measure(k * interval_ns, length_ns).current_a for k in range(count)])


def verdict(coil: int, current_a: float, seed: int = 0) -> Verdict:
    """Of the acceptance test: `bounded`, a tenth of the current, 300 s of averages over a second after 60 s."""
    count = 3650
    spec = NoiseSpec(current_a=current_a, tolerance_a=0.1 * current_a)
    currents = record(coil, current_a, count=count, seed=seed)
    time_s: Floats = np.arange(count, dtype=np.float64) * 0.1
    return assess_noise(time_s, currents, np.zeros(count, np.uint32), spec).verdict


@pytest.mark.parametrize("seed", range(20))
def test_shielded_path_passes_at_1_picoampere(seed: int) -> None:
    assert verdict(FEEDTHROUGH, 1e-12, seed) is Verdict.PASS


def test_stage_ground_passes_at_1_picoampere() -> None:
    assert verdict(STAGE_GROUND, 1e-12) is Verdict.PASS


def test_unshielded_path_passes_at_10_picoamperes_for_nearly_every_seed() -> None:
    passed = [verdict(MANIPULATOR_GROUND, 10e-12, seed) is Verdict.PASS for seed in range(20)]
    assert passed[0]
    assert sum(passed) >= 19


@pytest.mark.parametrize("seed", range(5))
def test_unshielded_path_fails_at_1_picoampere(seed: int) -> None:
    assert verdict(MANIPULATOR_GROUND, 1e-12, seed) is Verdict.FAIL


@pytest.mark.parametrize(
    ("coil", "offset_a", "sigma_a"), [(FEEDTHROUGH, 0.02e-12, 0.05e-12), (MANIPULATOR_GROUND, 0.3e-12, 0.65e-12)]
)
def test_levels_of_one_second_averages(coil: int, offset_a: float, sigma_a: float) -> None:
    seconds = record(coil, 0.0, count=6000).reshape(-1, 10).mean(axis=1)
    assert seconds[:60].mean() == near(offset_a, abs=0.3 * sigma_a)
    assert np.diff(seconds).std() / np.sqrt(2) == near(sigma_a, rel=0.15)


def test_white_noise_falls_with_the_root_of_the_integration() -> None:
    short, long = (
        record(FEEDTHROUGH, 0.0, count=2000, interval_ns=length, length_ns=length).std()
        for length in (20 * MS, 500 * MS)
    )
    assert short / long == near(5.0, rel=0.15)


def test_whole_mains_periods_reject_the_mains() -> None:
    """150 pA rms: -55 dB or better for whole periods (frequency within 0.1 %), nothing much for a tenth of one."""
    rms = {
        ms: record(MANIPULATOR_GROUND, 0.0, count=1000, interval_ns=137 * MS, length_ns=ms * MS).std()
        for ms in (2, 20, 30, 100)
    }
    assert rms[2] == near(150e-12, rel=0.1)
    assert rms[30] == near(150e-12 * 2 / (3 * np.pi), rel=0.15), "sinc of one and a half periods"
    assert rms[20] < 6e-12
    assert rms[100] < 3e-12


def test_60_hertz_mains_pass_a_20_millisecond_integration() -> None:
    world = World(mains_hz=60.0)
    terminals = world.terminals("smu")
    world.wiring.set_relay(MANIPULATOR_GROUND, True)
    for ms, expected in ((20, 150e-12 * 0.156), (100, 2.3e-12)):
        currents = [terminals.measure(k * 137 * MS, ms * MS).current_a for k in range(1000)]
        assert np.std(currents) == near(expected, rel=0.25)


def test_short_integrations_at_a_divisor_of_the_mains_see_it_as_a_slow_wave() -> None:
    """10 readings of 1 ms a second: 50 Hz folds to the wander of its frequency, so the readings hardly differ from one
    to the next but wander far; at 7 a second the same line is a wave of 1 Hz."""
    folded = record(MANIPULATOR_GROUND, 0.0, count=600, interval_ns=100 * MS, length_ns=1 * MS)
    revealed = record(MANIPULATOR_GROUND, 0.0, count=420, interval_ns=NS // 7, length_ns=1 * MS)
    assert np.ptp(folded) > 300e-12
    assert np.diff(folded).std() < 0.35 * np.diff(revealed).std()
    spectrum = np.abs(np.fft.rfft(revealed - revealed.mean()))
    frequencies = np.fft.rfftfreq(len(revealed), 1 / 7)
    assert frequencies[spectrum.argmax()] == near(1.0, abs=0.1)


def test_mains_wander_within_a_twentieth_of_a_hertz_and_keep_their_phase() -> None:
    line = Line(12345, 50.0, 0.05, ((1, 1.0),))
    frequencies = np.array([line.frequency_at(float(t)) for t in range(600)])
    assert np.abs(frequencies - 50.0).max() <= 0.05
    assert np.ptp(frequencies) > 0.05
    # the phase is the frequency's integral: two halves of an interval have the whole one's mean
    for start in (0.0, 3.2, 411.7):
        halves = 0.5 * (line.mean(start, 0.004) + line.mean(start + 0.004, 0.004))
        assert line.mean(start, 0.008) == near(halves, abs=1e-4)


def test_mains_show_on_the_voltage_of_a_high_impedance_node_but_not_of_a_held_one() -> None:
    world = World()
    terminals = world.terminals("smu")
    world.wiring.set_relay(MANIPULATOR_GROUND, True)
    rms = {}
    for name, drive in (("current", CurrentDrive(0.0)), ("voltage", VoltageDrive(0.0))):
        terminals.set_drive(0, drive)
        rms[name] = np.std([terminals.measure(k * 137 * MS, 1 * MS).voltage_v for k in range(500)])
    assert rms["current"] == near(150e-12 / (2 * np.pi * 50.0 * 100e-12), rel=0.1)
    assert rms["voltage"] == near(200e-6, rel=0.2)


def test_bursts_come_at_their_rate_and_die_away(monkeypatch: pytest.MonkeyPatch) -> None:
    only_bursts = NoiseLevels(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, burst_a=3e-12, burst_rate_hz=0.02)
    monkeypatch.setitem(ROUTE_LEVELS, "manipulator-ground", only_bursts)
    currents = np.abs(record(MANIPULATOR_GROUND, 0.0, count=20000))
    loud = currents > 0.5e-12
    begun = np.flatnonzero(loud[1:] & ~loud[:-1])
    assert len(begun) == near(0.02 * 2000, abs=15)
    assert 3e-12 < currents.max() < 6e-12
    assert np.median(currents) < 1e-15


def test_stage_motion_is_heard_and_leaves_a_fading_charge() -> None:
    world = World(seed=3)
    terminals = world.terminals("smu")
    world.wiring.set_relay(FEEDTHROUGH, True)

    def seconds(start: int, count: int) -> Floats:
        return np.array([terminals.measure((start + k) * NS, NS).current_a for k in range(count)])

    before = seconds(0, 100)
    world.chamber.stage_moving = True
    during = seconds(100, 200)
    world.chamber.stage_moving = False
    after = seconds(300, 300)
    assert during[100:].std() == near(5e-12, rel=0.2)
    assert before.std() < 0.1e-12
    assert after[100:].std() < 0.1e-12


def test_triboelectric_charge_fades_within_20_seconds() -> None:
    world = World(seed=3)
    terminals = world.terminals("smu")
    world.wiring.set_relay(FEEDTHROUGH, True)
    terminals.measure(0, NS)
    world.chamber.stage_moving = True
    world.chamber.stage_moving = False
    currents = [terminals.measure((k + 1) * NS, NS).current_a for k in range(200)]
    assert 2e-12 < abs(currents[0]) < 20e-12
    assert currents[20] / currents[0] == near(np.exp(-1), abs=0.05)
    assert abs(currents[199]) < 0.3e-12


def test_an_open_relay_is_the_quietest() -> None:
    world = World()
    terminals = world.terminals("smu")
    world.wiring.set_relay(MANIPULATOR_GROUND, True)
    terminals.set_drive(0, OpenDrive(connected=False))
    assert np.std([terminals.measure(k * NS, NS).current_a for k in range(100)]) < 0.01e-12


def test_noise_depends_on_the_interval_alone_not_on_the_order_or_the_company() -> None:
    intervals = [(k * 100 * MS, 100 * MS) for k in range(200)]

    def noise_of(order: list[tuple[int, int]], *others: str) -> dict[tuple[int, int], tuple[float, float]]:
        world = World(seed=7)
        world.wiring.set_relay(MANIPULATOR_GROUND, True)
        terminals = world.terminals("smu")
        company = [world.terminals(name) for name in others]
        found = {}
        for start, length in order:
            for other in company:
                other.measure(start, length)
            reading = terminals.measure(start, length)
            found[start, length] = (reading.current_a, reading.voltage_v)
        return found

    shuffled = intervals.copy()
    random.Random(1).shuffle(shuffled)
    expected = noise_of(intervals)
    assert noise_of(shuffled) == expected
    assert noise_of(intervals, "a", "b") == expected


def test_devices_and_seeds_have_noise_of_their_own() -> None:
    def currents(seed: int, device: str) -> Floats:
        world = World(seed=seed)
        world.wiring.set_relay(FEEDTHROUGH, True)
        terminals = world.terminals(device)
        return np.array([terminals.measure(k * NS, NS).current_a for k in range(500)])

    reference = currents(0, "a")
    for other in (currents(0, "b"), currents(1, "a")):
        assert abs(np.corrcoef(reference, other)[0, 1]) < 0.15
    assert (currents(0, "a") == reference).all()


def test_a_moved_cable_leaves_a_charge_of_either_sign() -> None:
    noise = Noise(0, "smu", 50.0)
    left = [noise.stage_a([StageMove(n, 0, NS)], 2 * NS, NS) for n in range(40)]
    assert 10 < sum(current > 0 for current in left) < 30
    assert all(1.5e-12 < abs(current) < 20e-12 for current in left)
