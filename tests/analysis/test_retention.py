"""Fade per cycle and its interval; 95 % after 150 cycles is 0.0342 % a cycle (domain note, section 1.4)."""

from __future__ import annotations

import numpy as np

from bridge.analysis.retention import fade_from_retention, fit_fade, forecast
from tests.near import near


def test_95_percent_after_150_cycles() -> None:
    assert fade_from_retention(0.95, 150) == near(3.42e-4, rel=1e-3)
    assert 1 - fade_from_retention(0.95, 150) == near(0.999658, abs=5e-7)
    cycle = np.arange(151.0)
    fade = fit_fade(cycle, 12.5 * (1 - 3.42e-4) ** cycle, reference=12.5)
    assert fade is not None
    assert fade.per_cycle == near(3.42e-4, rel=1e-6)
    assert fade.linear_per_cycle == near(3.33e-4, rel=2e-3)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    cycle = np.arange(1.0, 101.0)
    truth = (1 - 3.42e-4) ** cycle
    held, width = 0, 0.0
    for _ in range(400):
        fade = fit_fade(cycle, truth * np.exp(rng.normal(0, 2e-3, 100)), reference=1.0)
        assert fade is not None
        held += fade.interval[0] <= 3.42e-4 <= fade.interval[1]
        width += (fade.interval[1] - fade.interval[0]) / 400
    assert 0.91 <= held / 400 <= 0.98
    assert width == near(2 * 1.98 * 2e-3 / np.sqrt(100 * 33.3 * 25), rel=0.1)


def test_a_forecast_is_wider_than_what_was_measured_and_holds_the_truth() -> None:
    rng = np.random.default_rng(5)
    cycle = np.arange(1.0, 31.0)
    held = 0
    for _ in range(200):
        capacity = (1 - 3.42e-4) ** cycle * np.exp(rng.normal(0, 1e-3, 30))
        far = forecast(cycle, capacity, reference=1.0, at_cycle=150)
        near_by = forecast(cycle, capacity, reference=1.0, at_cycle=31)
        assert far is not None
        assert near_by is not None
        assert far.interval[1] - far.interval[0] > near_by.interval[1] - near_by.interval[0]
        held += far.interval[0] <= 0.950 <= far.interval[1]
    assert held / 200 >= 0.9


def test_three_cycles_make_no_fit() -> None:
    cycle = np.arange(3.0)
    assert fit_fade(cycle, np.ones(3), reference=1.0) is None
    assert forecast(cycle, np.ones(3), reference=1.0, at_cycle=9) is None


def test_a_cycle_without_a_discharge_is_left_out() -> None:
    cycle = np.arange(6.0)
    fade = fit_fade(cycle, np.array([1.0, 0.99, np.nan, 0.99**3, 0.0, 0.99**5]), reference=1.0)
    assert fade is not None
    assert (fade.cycles, fade.per_cycle) == (4, near(0.01))
