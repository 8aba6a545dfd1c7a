"""The simulation behind the rates against the world of the mocks, and a small seeded version of the rates."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest

from benchmarks import detector_cases as cases
from benchmarks.detector_cells import Cells, Runs, current_noise, simulate, voltage_noise
from benchmarks.detectors import bound, faults, healthy
from drivers.samples import EndReason
from mocks.world import World
from mocks.world.noise import Noise

from .records import charged, step, watched


@pytest.mark.parametrize(
    ("current_a", "area_m2", "event", "fault", "within_v"),
    [
        (5e-12, 1e-11, {}, {}, 1e-3),
        (625e-12, 5e-11, {}, {}, 1e-3),
        (5e-12, 1e-11, {"kind": "short", "at_s": 60.03, "ohm": 10e9}, {"short_s": 60.03, "short_ohm": 1e10}, 0.02),
        (25e-12, 1e-11, {"kind": "open", "at_s": 60.03, "for_s": 0.35}, {"open_s": 60.03, "close_s": 60.38}, 1e-3),
    ],
)
def test_the_simulation_is_the_world(
    current_a: float, area_m2: float, event: dict[str, Any], fault: dict[str, float], within_v: float
) -> None:
    world = World(cell="good", area_m2=area_m2, noise=False, events=[event] if event else [])
    record, _ = charged(world, current_a, 70.0)
    faulty: dict[str, Any] = {name: np.array([value]) for name, value in fault.items()}
    healthy_runs = (np.array([area_m2]), np.array([current_a]), np.zeros(1), np.zeros(1, bool), np.ones(1, bool))
    runs = Runs(*healthy_runs, **faulty)
    cells = Cells(runs, rested=True)
    cells.node_v[:] = 0.0  # the world's lead begins uncharged
    cells._branch[:] = 0.0
    voltage = simulate(cells, len(record[0]), 0.1)[0]
    assert np.abs(voltage - record[1])[50:].max() < within_v


def test_the_noise_is_the_worlds() -> None:
    runs = Runs(np.full(40, 1e-11), np.full(40, 1e-11), np.zeros(40), np.zeros(40, bool), np.arange(40) < 20)
    made = current_noise(np.random.default_rng(1), runs, 600, 0.1)
    for shielded, route in ((True, "feedthrough"), (False, "cell")):
        theirs = []
        for seed in range(20):
            noise = Noise(seed, "smu", 50.0)
            theirs.append([sum(noise.current_a(route, k * 10**8, 10**8)) for k in range(600)])
        ours = made[:20] if shielded else made[20:]
        ratio = np.median(np.std(ours, axis=1)) / np.median(np.std(theirs, axis=1))
        assert 0.8 < ratio < 1.25, route
    quiet = voltage_noise(np.random.default_rng(2), (10, 1000), 0.1)
    assert 1.9e-5 < quiet.std() < 2.1e-5


def test_healthy_steps_raise_nothing() -> None:
    result = healthy(cases.healthy_steps(np.random.default_rng(11), 40, 3000, 0.1))
    assert result["samples"] > 50_000
    assert result["alarms"] == {}, result["examples"]
    assert healthy(cases.rests(np.random.default_rng(12), 10, 700, 1.0, leaking=False))["alarms"] == {}


@pytest.mark.parametrize(
    ("kinds", "make", "median_s"),
    [
        (("contact_lost",), lambda r: cases.openings(r, 80, 400, 0.1, returning=False), 1.0),
        (("intermittent_contact",), lambda r: cases.openings(r, 80, 200, 0.1, returning=True), 2.0),
        (("short",), lambda r: cases.sudden_shorts(r, 80, 300, 0.1, leak=(20, 2000), charging=True), 0.5),
        (("short", "contact_lost"), lambda r: cases.sudden_shorts(r, 80, 300, 0.1, leak=(100, 900), charging=False), 1),
        (("short",), lambda r: cases.born_shorts(r, 40, 1200, 0.1), 5.0),
        (("partial_short",), lambda r: cases.rests(r, 20, 400, 1.0, leaking=True), 310.0),
        (("window",), lambda r: cases.beyond_window(r, 40, 200, 0.1), 0.3),
    ],
)
def test_faults_are_found(kinds: tuple[str, ...], make: Any, median_s: float) -> None:
    result = faults("", kinds, islice(make(np.random.default_rng(13)), 80), 40)
    assert result.total >= 20
    assert (result.missed, result.early) == (0, 0)
    assert np.median(result.delay_s) < median_s


def test_plated_lithium_that_is_used_up_is_no_short() -> None:
    """An anodeless cell's voltage falls by 0.85 V/s at 20 uA in 0.1 cm2, and does not slow down."""
    runs = Runs(np.array([1e-5]), np.array([-2e-5]), np.array([4e-4]), np.ones(1, bool), np.ones(1, bool))
    voltage = simulate(Cells(runs), 600, 0.1)[0] + voltage_noise(np.random.default_rng(3), (1, 600), 0.1)[0]
    stop = int(np.argmax(voltage <= 2.0)) + 1
    assert 15 < stop < 600
    assert voltage[stop - 15] > 3.0
    record = (0.1 * np.arange(1, stop + 1), voltage[:stop], np.full(stop, -2e-5), np.zeros(stop, np.uint32))
    assert watched(record, step(-2e-5), area_m2=1e-5, end=EndReason.VOLTAGE_MIN) == []


def test_a_bound_of_nothing_seen_is_three() -> None:
    assert abs(bound(0) - 2.996) < 0.001
