"""Results as JSON values."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drivers.plain import to_plain

from .histogram import histogram
from .noise import NoiseResult
from .spectrum import Spectrum

#: More averages than this stay out of the JSON: a result travels in one MQTT message.
_MAX_SERIES = 1000


def noise_to_dict(result: NoiseResult) -> dict[str, Any]:
    """A `NoiseResult` as JSON values; currents in amperes, times in seconds of device time."""
    spec = result.spec
    tau, deviation = result.allan.minimum
    series = result.averages
    short = len(series.time_s) <= _MAX_SERIES
    distribution = histogram(series.current_a)
    fields = {
        "verdict": result.verdict.value,
        "passed": result.passed,
        "decided_by": result.decided_by,
        "reason": result.reason,
        "criterion": spec.criterion.value,
        "rule": spec.rule,
        "settling_rule": spec.settling_rule,
        "set_current_a": spec.current_a,
        "tolerance_a": spec.tolerance_a,
        "duration_s": spec.duration_s,
        "settle_s": spec.settle_s,
        "averaging_s": spec.averaging_s,
        "mean_a": result.mean_a,
        "mean_half_width_a": result.mean_half_width_a,
        "mean_interval_a": [result.mean_a - result.mean_half_width_a, result.mean_a + result.mean_half_width_a],
        "std_a": result.std_a,
        "std_upper_a": result.std_upper_a,
        "tolerance_factor": result.tolerance_factor,
        "n": result.n,
        "n_effective": result.n_effective,
        "drift_a_per_s": result.drift.slope_per_s,
        "drift_half_width_a_per_s": result.drift.half_width_per_s,
        "drift_over_test_a": result.drift_over_test_a,
        "drift_over_test_half_width_a": result.drift_half_width_a,
        "allan": {
            "tau_s": result.allan.tau_s,
            "deviation_a": result.allan.deviation,
            "minimum_a": deviation,
            "minimum_tau_s": tau,
        },
        "spectrum": {
            "rate_hz": result.spectrum.rate_hz,
            "frequency_hz": result.spectrum.frequency_hz,
            "density_a_per_rthz": result.spectrum.density_a_per_rthz,
            "lines": lines_to_list(result.spectrum),
        },
        "outliers": result.outliers,
        "largest_outlier_mad": result.largest_outlier_mad,
        "flagged": result.flagged,
        "gaps": [[gap.from_s, gap.to_s] for gap in result.gaps],
        "evaluated_from_s": result.evaluated_from_s,
        "evaluated_s": result.evaluated_s,
        "histogram": {
            "edges_a": distribution.edges,
            "counts": distribution.counts,
            "within_std": distribution.within_std,
        },
        "averages": {"time_s": series.time_s, "current_a": series.current_a} if short else None,
    }
    plain: dict[str, Any] = to_plain(fields)
    return plain


def lines_to_list(spectrum: Spectrum) -> list[dict[str, Any]]:
    """The mains lines of a spectrum; amplitudes in A rms."""
    return [asdict(line) for line in spectrum.lines]
