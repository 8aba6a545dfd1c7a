"""The acceptance test against its synthetic oracles (domain.md 2.4). Currents in pA here, scaled to A for the call."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bridge.analysis.averaging import averages
from bridge.analysis.noise import Criterion, NoiseResult, NoiseSpec, Verdict, assess_noise
from bridge.analysis.plain import noise_to_dict
from bridge.analysis.spectrum import integrator_suppression_db
from drivers.errors import InvalidValue
from drivers.samples import Flag
from tests.near import near

PA = 1e-12

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.uint32]


def white(mean: float, std: float, n: int = 300, seed: int = 7) -> Floats:
    """Noise whose mean and standard deviation are exactly those asked for."""
    values = np.random.default_rng(seed).normal(size=n)
    values = (values - values.mean()) / values.std(ddof=1)
    result: Floats = mean + std * values
    return result


def assess(
    values_pa: Floats,
    *,
    set_pa: float = 1.0,
    tolerance_pa: float = 0.1,
    flags: Flags | None = None,
    criterion: Criterion = Criterion.BOUNDED,
    interval_s: float = 1.0,
    time: Floats | None = None,
    duration_s: float | None = None,
    settle_s: float = 0.0,
    ended: str = "",
) -> NoiseResult:
    n = len(values_pa)
    spec = NoiseSpec(
        current_a=set_pa * PA,
        tolerance_a=tolerance_pa * PA,
        duration_s=n * interval_s - settle_s if duration_s is None else duration_s,
        settle_s=settle_s,
        criterion=criterion,
    )
    time = np.arange(float(n)) * interval_s if time is None else time
    flags = np.zeros(n, np.uint32) if flags is None else flags
    return assess_noise(time, values_pa * PA, flags, spec, ended)


def test_quiet_path_passes() -> None:
    result = assess(white(1.0, 0.05))
    assert result.verdict is Verdict.PASS
    assert result.n == 300
    assert result.mean_a == near(1.0 * PA)
    assert result.std_a == near(0.05 * PA)
    assert "within 100 fA" in result.reason


def test_scatter_at_the_limit_fails_by_its_upper_bound_although_the_seed_s_wording_is_met() -> None:
    noisy = white(1.0, 0.0999999)
    bounded = assess(noisy)
    assert (bounded.verdict, bounded.decided_by) == (Verdict.FAIL, "precision")
    assert bounded.std_upper_a == near(0.107 * PA, abs=5e-4 * PA)
    assert "upper bound 107 fA" in bounded.reason
    assert assess(noisy, criterion=Criterion.SEED).passed


def test_offset_within_the_tolerance_passes() -> None:
    result = assess(white(1.08, 0.05))
    assert result.passed
    assert abs(result.mean_a - PA) + result.mean_half_width_a == near(0.0848 * PA, abs=1e-3 * PA)


def test_offset_whose_confidence_interval_leaves_the_tolerance_fails() -> None:
    result = assess(white(1.097, 0.05))
    assert (result.verdict, result.decided_by) == (Verdict.FAIL, "accuracy")
    assert assess(white(1.097, 0.05), criterion=Criterion.SEED).passed


def test_drift_of_1_fa_per_s_fails_and_is_named_as_the_cause() -> None:
    values = white(1.0, 0.05) + 1e-3 * np.arange(300)
    result = assess(values)
    assert (result.verdict, result.decided_by) == (Verdict.FAIL, "drift")
    assert result.drift_over_test_a == near(0.3 * PA, rel=0.2)
    assert result.reason.startswith("drift: ")


def test_a_drift_that_alone_breaks_the_rule() -> None:
    """0.09 pA over the test: mean and scatter would both pass."""
    values = white(0.955, 0.04) + 3e-4 * np.arange(300)
    result = assess(values)
    assert (result.verdict, result.decided_by) == (Verdict.FAIL, "drift")
    assert "also fails" not in result.reason
    assert assess(values, criterion=Criterion.SEED).passed


@pytest.mark.parametrize(("std", "passes"), [(0.046, True), (0.049, False)])
def test_strict_wants_nearly_all_readings_inside(std: float, passes: bool) -> None:
    result = assess(white(1.0, std), criterion=Criterion.STRICT)
    assert result.passed is passes
    assert result.decided_by == ("all" if passes else "tolerance")


def test_strict_counts_in_what_is_not_known_of_the_drift() -> None:
    """The drift over the test is within half the tolerance; with half its confidence interval it is not."""
    values = white(1.0, 0.02) + (np.arange(300) / 299 - 0.5) * 0.043
    result = assess(values, criterion=Criterion.STRICT)
    assert abs(result.drift_over_test_a) < 0.05 * PA < abs(result.drift_over_test_a) + result.drift_half_width_a
    assert (result.verdict, result.decided_by) == (Verdict.FAIL, "drift")
    assert assess(values).passed


def test_correlated_noise_is_inconclusive_when_too_few_averages_are_independent() -> None:
    """A current that wanders slowly up and down: 300 averages of one period."""
    wander = 0.05 * math.sqrt(2) * np.cos(2 * np.pi * np.arange(300.0) / 300)
    result = assess(white(1.0, 0.01) + wander)
    assert (result.verdict, result.decided_by) == (Verdict.INCONCLUSIVE, "n_effective")
    assert result.n_effective < 20
    assert "independent" in result.reason


def test_a_drift_within_its_allowance_does_not_pass_for_correlation() -> None:
    result = assess(white(0.98, 0.03) + 1.4e-4 * np.arange(300))
    assert result.passed
    assert result.n_effective > 150


def test_few_independent_averages_can_still_show_a_failure_beyond_doubt() -> None:
    result = assess(white(5.0, 0.05, n=15), duration_s=15.0)
    assert (result.verdict, result.decided_by) == (Verdict.FAIL, "accuracy")


def test_too_few_averages_are_inconclusive() -> None:
    assert assess(white(1.0, 0.02, n=15)).decided_by == "n_effective"


@pytest.mark.parametrize(
    ("flag", "word"),
    [(Flag.OVERLOAD, "over range"), (Flag.COMPLIANCE, "compliance"), (Flag.RANGE_COMPLIANCE, "range compliance")],
)
def test_one_flagged_reading_fails(flag: Flag, word: str) -> None:
    flags = np.zeros(300, np.uint32)
    flags[200] = flag
    result = assess(white(1.0, 0.05), flags=flags)
    assert (result.verdict, result.decided_by, result.flagged) == (Verdict.FAIL, "flags", 1)
    assert word in result.reason


def test_a_reading_without_a_number_fails() -> None:
    values = white(1.0, 0.05)
    values[100] = math.nan
    result = assess(values)
    assert (result.verdict, result.decided_by) == (Verdict.FAIL, "flags")
    assert math.isfinite(result.mean_a)


def test_flags_while_settling_do_not_count() -> None:
    flags = np.zeros(360, np.uint32)
    flags[:50] = Flag.COMPLIANCE | Flag.SETTLING
    values = np.concatenate([np.full(60, 500.0), white(1.0, 0.05)])
    assert assess(values, flags=flags, settle_s=60).passed


def test_settling_goes_on_for_as_long_as_the_device_says() -> None:
    flags = np.zeros(400, np.uint32)
    flags[:90] = Flag.SETTLING
    values = np.concatenate([np.full(90, 500.0), white(1.0, 0.05, 310)])
    result = assess(values, flags=flags, settle_s=60, duration_s=300)
    assert result.evaluated_from_s == 90
    assert result.passed


def test_a_lost_sample_is_a_gap_and_inconclusive() -> None:
    time = np.delete(np.arange(301.0), 150)
    result = assess(white(1.0, 0.05), time=time, duration_s=300)
    assert (result.verdict, result.decided_by) == (Verdict.INCONCLUSIVE, "gap")
    assert [(gap.from_s, gap.to_s) for gap in result.gaps] == [(149.0, 151.0)]
    assert "149 s to 151 s" in result.reason


def test_time_going_back_is_a_gap() -> None:
    time = np.arange(300.0)
    time[150] = 148.5
    assert assess(white(1.0, 0.05), time=time).decided_by == "gap"


def test_jitter_of_the_timestamps_is_not() -> None:
    time = np.arange(300.0) + np.random.default_rng(9).uniform(-0.2, 0.2, 300)
    assert assess(white(1.0, 0.05), time=time).passed


def test_a_gap_that_only_the_device_knows_of() -> None:
    flags = np.zeros(300, np.uint32)
    flags[150] = Flag.GAP
    assert assess(white(1.0, 0.05), flags=flags).decided_by == "gap"


def test_a_record_that_is_too_short_is_inconclusive() -> None:
    result = assess(white(1.0, 0.05, 100), duration_s=300)
    assert (result.verdict, result.decided_by) == (Verdict.INCONCLUSIVE, "duration")
    assert "100 s of 300 s" in result.reason


def test_an_empty_record_is_inconclusive() -> None:
    result = assess(np.empty(0), duration_s=300)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert noise_to_dict(result)["mean_a"] is None


def test_the_caller_s_reason_for_an_early_end_fails() -> None:
    result = assess(white(1.0, 0.05, 100), duration_s=300, ended="the loop is open")
    assert (result.verdict, result.reason) == (Verdict.FAIL, "the loop is open")


def test_averages_of_ten_samples_each() -> None:
    """0.5 pA a sample of 0.1 s is 0.158 pA an average of 1 s, and 50 Hz folds onto the mean at this rate."""
    values = 1 + np.random.default_rng(10).normal(0, 0.1, 3000)
    result = assess(values, interval_s=0.1)
    assert result.n == 300
    assert result.std_a == near(0.1 / math.sqrt(10) * PA, rel=0.15)
    assert result.passed


def test_samples_further_apart_than_an_average_is_long_are_inconclusive() -> None:
    result = assess(white(1.0, 0.05), interval_s=2.0)
    assert (result.verdict, result.decided_by) == (Verdict.INCONCLUSIVE, "interval")
    assert "every 2 s" in result.reason


def test_a_device_that_is_a_little_slower_than_the_averaging_time_is_judged() -> None:
    assert assess(white(1.0, 0.05), interval_s=1.005).passed


def test_outliers_are_counted_not_deleted() -> None:
    values = white(1.0, 0.03)
    values[42] = 1.9
    result = assess(values)
    assert result.outliers >= 1
    assert result.averages.current_a.max() == near(1.9 * PA)


@pytest.mark.parametrize(("rate", "seen"), [(7.0, {50.0: 1.0, 60.0: 3.0}), (1000.0, {50.0: 50.0, 150.0: 150.0})])
def test_mains_lines_are_named_where_they_appear(rate: float, seen: dict[float, float]) -> None:
    time = np.arange(4096) / rate
    values = 1 + 0.2 * math.sqrt(2) * np.sin(2 * np.pi * 50 * time + 0.3)
    values += np.random.default_rng(11).normal(0, 0.02, 4096)
    result = assess(values, time=time, duration_s=4096 / rate)
    lines = {line.frequency_hz: line for line in result.spectrum.lines}
    for name, place in seen.items():
        assert lines[name].seen_at_hz == near(place)
    assert lines[50.0].found
    assert lines[50.0].amplitude_a_rms == near(0.2 * PA, rel=0.05)
    assert not lines[60.0].found


def test_a_rate_that_folds_the_mains_onto_the_mean_is_said() -> None:
    result = assess(white(1.0, 0.05, 3000), interval_s=0.1)
    assert all(line.amplitude_a_rms is None and line.seen_at_hz == 0 for line in result.spectrum.lines)


def test_five_cycles_of_a_50_hz_mains_that_is_off_by_0_2_percent_are_54_db_down() -> None:
    assert integrator_suppression_db(50, 0.02) == near(54, abs=0.5)
    assert integrator_suppression_db(60, 0.02) == near(16, abs=0.6)
    assert integrator_suppression_db(60, 0.1) > 50


def test_the_result_as_json_values() -> None:
    fields = noise_to_dict(assess(white(1.0, 0.05)))
    assert json.loads(json.dumps(fields, allow_nan=False)) == fields
    assert fields["passed"] is True
    assert "upper bound of s <= 100 fA" in fields["rule"]


@pytest.mark.parametrize("field", ["tolerance_a", "duration_s", "averaging_s"])
def test_values_that_make_no_test_are_refused(field: str) -> None:
    values: dict[str, Any] = {"current_a": PA, "tolerance_a": 0.1 * PA} | {field: 0.0}
    with pytest.raises(InvalidValue, match=field):
        NoiseSpec(**values)


def test_a_sample_at_the_edge_of_an_average_belongs_to_the_next_whatever_its_last_bit_says() -> None:
    time = np.cumsum(np.full(40, 0.1))  # its eleventh is less than a second after its first
    assert time[10] - time[0] < 1.0
    found = averages(time, np.repeat([1e-12, 2e-12, 3e-12, 4e-12], 10), 0.0, 1.0)
    assert found.current_a.tolist() == near([1e-12, 2e-12, 3e-12, 4e-12])
    assert found.samples == 10


def test_the_distribution_counts_every_average() -> None:
    values = white(1.0, 0.05)
    told = noise_to_dict(assess(values))["histogram"]
    assert sum(told["counts"]) == len(values)
    assert len(told["edges_a"]) == len(told["counts"]) + 1
    assert told["edges_a"][0] == near(values.min() * PA)
    assert told["edges_a"][-1] == near(values.max() * PA)
    assert told["within_std"] == near(0.683, 0.05)  # of a normal distribution


def test_a_distribution_of_nothing_is_empty() -> None:
    told = noise_to_dict(assess(np.empty(0), duration_s=10.0))["histogram"]
    assert told == {"edges_a": [], "counts": [], "within_std": None}
