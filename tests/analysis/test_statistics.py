"""Statistics against published or closed-form values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import lfilter

from bridge.analysis import statistics as st
from tests.near import near


@pytest.mark.parametrize(("n", "largest"), [(30, 0.0781), (60, 0.0847), (100, 0.0882), (300, 0.0932), (1000, 0.0963)])
def test_largest_s_whose_upper_bound_passes(n: int, largest: float) -> None:
    """The table of the acceptance test for a limit of 0.1."""
    assert 0.1 / st.sigma_upper_bound(1.0, n) == near(largest, abs=5e-5)


def test_s_of_the_limit_itself_has_the_bound_0_107() -> None:
    assert st.sigma_upper_bound(0.1, 300) == near(0.107, abs=5e-4)


@pytest.mark.parametrize(("n", "k"), [(30, 2.55), (100, 2.23), (300, 2.11)])
def test_tolerance_factor_95_95(n: int, k: float) -> None:
    assert st.tolerance_factor(n) == near(k, abs=6e-3)


def test_ar1_with_rho_0_9_is_worth_0_053_of_its_samples() -> None:
    noise = np.random.default_rng(1).normal(size=200_000)
    series = lfilter([1.0], [1.0, -0.9], noise)
    assert st.effective_number(series) / len(series) == near(0.1 / 1.9, rel=0.03)


def test_white_noise_is_worth_nearly_all_its_samples_and_never_more() -> None:
    white = np.random.default_rng(2).normal(size=300)
    assert 200 < st.effective_number(white) <= 300
    alternating = np.resize([1.0, -1.0], 300)
    assert st.effective_number(alternating) == 300


def test_half_width_of_a_mean() -> None:
    assert st.mean_half_width(0.05, 300) == near(0.00476, abs=1e-5)
    assert math.isinf(st.mean_half_width(0.05, 1))


def test_drift_of_an_exact_line() -> None:
    time = np.arange(300.0)
    found = st.drift(time, 1e-12 + 1e-15 * time)
    assert found.slope_per_s == near(1e-15, rel=1e-9)
    assert found.half_width_per_s < 1e-20


def test_the_drift_interval_holds_the_truth_about_nine_times_in_ten() -> None:
    rng = np.random.default_rng(3)
    time = np.arange(300.0)
    held = 0
    for _ in range(400):
        found = st.drift(time, 2e-3 * time + rng.normal(size=300))
        held += abs(found.slope_per_s - 2e-3) <= found.half_width_per_s
    assert 0.85 <= held / 400 <= 0.95


def test_newey_west_is_wider_for_correlated_noise() -> None:
    rng = np.random.default_rng(4)
    time = np.arange(2000.0)
    white = rng.normal(size=2000)
    correlated = lfilter([1.0], [1.0, -0.7], white)
    scale = correlated.std() / white.std()
    assert st.drift(time, correlated).half_width_per_s > 1.5 * scale * st.drift(time, white).half_width_per_s


def test_drift_interval_is_newey_and_wests() -> None:
    """Against the textbook's double sum over all pairs, with Bartlett's weights up to lag 3."""
    n, lags = 40, 3
    time = np.arange(float(n))
    values = np.random.default_rng(6).normal(size=n) + 0.01 * time
    x = time - time.mean()
    slope = np.polyfit(time, values, 1)[0]
    score = x * (values - values.mean() - slope * x)
    apart = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    weights = np.clip(1 - apart / (lags + 1), 0, None)
    error = math.sqrt(score @ weights @ score * n / (n - 2)) / (x @ x)
    found = st.drift(time, values)
    assert found.slope_per_s == near(slope, rel=1e-9)
    assert found.half_width_per_s == near(1.6859545 * error, rel=1e-6)  # Student's t, 95 %, 38 degrees of freedom


def test_allan_of_white_noise_falls_as_the_root_of_tau() -> None:
    white = np.random.default_rng(5).normal(1.0, 0.1, 100_000)
    allan = st.allan_deviation(white, 1.0)
    for tau, deviation in zip(allan.tau_s[:8], allan.deviation[:8], strict=True):
        assert deviation == near(0.1 / math.sqrt(tau), rel=0.06)


def test_allan_of_a_line_rises_as_d_tau_over_root_two() -> None:
    time = np.arange(4096.0)
    allan = st.allan_deviation(1e-4 * time, 1.0)
    np.testing.assert_allclose(allan.deviation, 1e-4 * allan.tau_s / math.sqrt(2), rtol=1e-6)
    assert allan.tau_s[-1] == 1024


def test_allan_by_hand() -> None:
    """Two averages: sigma^2 = (y1 - y0)^2 / 2."""
    assert st.allan_deviation(np.array([1.0, 3.0, 1.0, 3.0]), 2.0).deviation[0] == near(math.sqrt(2))


def test_allan_minimum_names_its_tau() -> None:
    rng = np.random.default_rng(6)
    time = np.arange(4000.0)
    tau, deviation = st.allan_deviation(rng.normal(0, 0.1, 4000) + 1e-4 * time, 1.0).minimum
    assert 64 <= tau <= 256
    assert deviation < 0.03


def test_outliers_are_counted_by_median_absolute_deviation() -> None:
    values = np.concatenate([np.linspace(-1, 1, 101), [100.0, -50.0]])
    count, largest = st.count_outliers(values)
    assert count == 2
    assert largest == near(100 / np.median(np.abs(values)), rel=0.01)
    assert st.count_outliers(np.full(10, 3.0)) == (0, 0.0)
