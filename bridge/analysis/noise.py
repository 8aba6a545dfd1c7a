"""The low-current acceptance test: is this path quiet and true enough for the current that cycling will use?

Judged on averages over `averaging_s`, by one of three criteria:

- `seed`: the wording of the method's paper, "1 pA ± 0.1 pA": |mean - set| <= tolerance and s <= tolerance.
- `bounded`: the same with what is not known counted in: the 90 % confidence interval of the mean must lie inside the
  tolerance (an equivalence test, not "the interval holds the set point"), and so must the one-sided 95 % upper bound of
  the standard deviation; and the drift over the test is at most half the tolerance.
- `strict`: 95 % of all averages lie inside the tolerance with 95 % confidence, |mean - set| + k s <= tolerance, with
  the two-sided tolerance factor k; and the drift with its confidence interval is at most half the tolerance.

Whatever the criterion: an over-range or compliance flag after settling fails; a gap in the device's timestamps, too few
independent averages or a record that is too short is inconclusive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from drivers.errors import InvalidValue
from drivers.samples import Flag

from .averaging import Averages, Gap, averages, find_gaps, settled_from
from .formatting import si
from .spectrum import Spectrum, spectrum
from .statistics import (
    Allan,
    Drift,
    Floats,
    allan_deviation,
    count_outliers,
    detrended,
    drift,
    effective_number,
    has_line,
    mean_half_width,
    sigma_lower_bound,
    sigma_upper_bound,
    tolerance_factor,
)

#: Fewer independent averages than this decide nothing.
MIN_EFFECTIVE = 20

#: Less of the asked duration than this is not the test that was asked for.
_MIN_DURATION = 0.95

#: Readings further apart than this many averages make no such averages; a little is the device's own pace.
_MAX_INTERVAL = 1.2

#: Any of these on a sample after settling means that the set current was not flowing or not measured.
BAD_FLAGS = Flag.OVERLOAD | Flag.COMPLIANCE | Flag.RANGE_COMPLIANCE | Flag.INVALID


class Criterion(StrEnum):
    SEED = "seed"
    BOUNDED = "bounded"
    STRICT = "strict"


class Verdict(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseSpec:
    """What is tested. Raises `InvalidValue` for values that make no test."""

    current_a: float
    tolerance_a: float
    duration_s: float = 300.0
    settle_s: float = 60.0
    averaging_s: float = 1.0
    criterion: Criterion = Criterion.BOUNDED
    integration_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("tolerance_a", "duration_s", "averaging_s"):
            value = getattr(self, name)
            if not value > 0:
                raise InvalidValue(f"{name} is {value}; it must be greater than zero")
        if self.settle_s < 0:
            raise InvalidValue(f"settle_s is {self.settle_s}; it must not be negative")

    @property
    def settling_rule(self) -> str:
        return (
            f"the first {self.settle_s:g} s of device time are discarded, and after them whatever the device still "
            "flags as settling without a break since the start"
        )

    @property
    def rule(self) -> str:
        """The pass rule in words, with its numbers: what a report must print."""
        d, i0 = si(self.tolerance_a, "A"), si(self.current_a, "A")
        rules = {
            Criterion.SEED: f"|mean - {i0}| <= {d} and s <= {d}",
            Criterion.BOUNDED: (
                f"|mean - {i0}| plus half its 90 % confidence interval <= {d}; one-sided 95 % upper bound of s <= {d}; "
                f"|drift over the test| <= {si(self.tolerance_a / 2, 'A')}"
            ),
            Criterion.STRICT: (
                f"|mean - {i0}| + k s <= {d} with the 95 %/95 % tolerance factor k; |drift over the test| plus half "
                f"its 90 % confidence interval <= {si(self.tolerance_a / 2, 'A')}"
            ),
        }
        return (
            f"{self.criterion.value}: on averages over {self.averaging_s:g} s, {rules[self.criterion]}; "
            "no over-range or compliance; no gap"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseResult:
    """What was found. Currents in amperes; the statistics are of the averages. NaN where nothing could be computed."""

    spec: NoiseSpec
    verdict: Verdict
    reason: str
    decided_by: str
    n: int
    n_effective: float
    mean_a: float
    mean_half_width_a: float
    std_a: float
    std_upper_a: float
    tolerance_factor: float
    drift: Drift
    drift_over_test_a: float
    drift_half_width_a: float
    allan: Allan
    spectrum: Spectrum
    outliers: int
    largest_outlier_mad: float
    flagged: int
    gaps: tuple[Gap, ...]
    averages: Averages
    evaluated_from_s: float
    evaluated_s: float

    @property
    def passed(self) -> bool:
        return self.verdict is Verdict.PASS


def assess_noise(
    time_s: Floats, current_a: Floats, flags: npt.NDArray[np.uint32], spec: NoiseSpec, ended: str = ""
) -> NoiseResult:
    """Judge a record of shape (n,) in device time, zero at the start of the source.

    `ended` says in words why the record ended before its time, if it did and the caller knows.
    """
    start = settled_from(time_s, flags, spec.settle_s)
    used = (time_s >= start - 1e-9) & (time_s <= start + spec.duration_s + 1e-9)
    time, current, marks = time_s[used], current_a[used], flags[used]
    bad = ((marks & BAD_FLAGS) != 0) | ~np.isfinite(current)
    series = averages(time, current, start, spec.averaging_s)
    values, n = series.current_a, len(series.current_a)
    gaps = find_gaps(time)
    if (marks & Flag.GAP).any() and not gaps:
        index = int(np.argmax((marks & Flag.GAP) != 0))
        gaps = (Gap(float(time[max(index - 1, 0)]), float(time[index])),)
    interval = float(np.median(np.diff(time))) if len(time) > 1 else 0.0
    lasted = float(time[-1] - time[0]) + interval if len(time) else 0.0
    record = _Record(int(bad.sum()), _flag_words(marks, bad), gaps, interval, lasted, ended)
    figures = _Figures.of(series, spec)
    outliers, largest = count_outliers(values)
    verdict, decided_by, reason = _judge(figures, record, spec)
    return NoiseResult(
        spec=spec,
        verdict=verdict,
        reason=reason,
        decided_by=decided_by,
        n=n,
        n_effective=figures.n_effective,
        mean_a=figures.mean,
        mean_half_width_a=figures.half_width,
        std_a=figures.std,
        std_upper_a=figures.std_upper,
        tolerance_factor=figures.k,
        drift=figures.drift,
        drift_over_test_a=figures.drift.slope_per_s * spec.duration_s,
        drift_half_width_a=figures.drift.half_width_per_s * spec.duration_s,
        allan=allan_deviation(values, spec.averaging_s),
        spectrum=spectrum(time, current, spec.integration_s),
        outliers=outliers,
        largest_outlier_mad=largest,
        flagged=int(bad.sum()),
        gaps=gaps,
        averages=series,
        evaluated_from_s=start,
        evaluated_s=lasted,
    )


@dataclass(frozen=True, slots=True)
class _Record:
    """What there is to say of the record itself, before its statistics."""

    flagged: int
    flag_words: str
    gaps: tuple[Gap, ...]
    interval_s: float
    lasted_s: float
    ended: str


@dataclass(frozen=True, slots=True)
class _Figures:
    n: int
    n_effective: float
    mean: float
    half_width: float
    std: float
    std_upper: float
    std_lower: float
    std_without_drift: float
    k: float
    drift: Drift

    @staticmethod
    def of(series: Averages, spec: NoiseSpec) -> _Figures:
        time, values = series.time_s, series.current_a
        n = len(values)
        if n < 3:
            nan = math.nan
            mean = float(values.mean()) if n else nan
            return _Figures(n, float(n), mean, math.inf, nan, nan, nan, nan, nan, Drift(nan, nan))
        flat = detrended(time, values)
        # a line has a test of its own and would pass for correlation here; but taking one out of noise that merely
        # wanders would make it look more independent than it is
        n_effective = effective_number(flat if has_line(time, values) else values)
        std = float(values.std(ddof=1))
        return _Figures(
            n=n,
            n_effective=n_effective,
            mean=float(values.mean()),
            half_width=mean_half_width(std, n_effective),
            std=std,
            std_upper=sigma_upper_bound(std, n),
            std_lower=sigma_lower_bound(std, max(n_effective, 2.0)),
            std_without_drift=float(flat.std(ddof=2)),
            k=tolerance_factor(n),
            drift=drift(time, values),
        )


def _judge(f: _Figures, record: _Record, spec: NoiseSpec) -> tuple[Verdict, str, str]:
    """(verdict, what decided, the reason in words)."""
    if record.flagged:
        words = f"{record.flagged} readings after settling are {record.flag_words}: the set current was not measured"
        return Verdict.FAIL, "flags", words
    if record.ended:
        return Verdict.FAIL, "ended", record.ended
    if (doubt := _doubt(f, record, spec)) is not None:
        return Verdict.INCONCLUSIVE, *doubt
    failures = _failures(f, spec)
    if not failures:
        return Verdict.PASS, "all", _pass_words(f, spec)
    deciding = "drift" if "drift" in failures and _drift_explains(f, spec) else next(iter(failures))
    rest = [text for name, text in failures.items() if name != deciding]
    reason = failures[deciding] + ("; it also fails by: " + "; ".join(rest) if rest else "")
    return Verdict.FAIL, deciding, reason


def _doubt(f: _Figures, record: _Record, spec: NoiseSpec) -> tuple[str, str] | None:
    """(what, in words) makes the record unfit to decide anything, if something does."""
    if record.gaps:
        first = record.gaps[0]
        where = f"the first from {first.from_s:.6g} s to {first.to_s:.6g} s"
        return "gap", f"{len(record.gaps)} gaps in the device's timestamps, {where}"
    if record.lasted_s < _MIN_DURATION * spec.duration_s or f.n < 3:
        return "duration", f"only {record.lasted_s:.4g} s of {spec.duration_s:g} s were recorded after settling"
    if record.interval_s > _MAX_INTERVAL * spec.averaging_s:
        return "interval", (
            f"readings came every {record.interval_s:.3g} s, further apart than one average of {spec.averaging_s:g} s "
            "is long: average over longer, or sample faster"
        )
    if f.n_effective < MIN_EFFECTIVE and not _beyond_doubt(f, spec):
        return "n_effective", (
            f"the {f.n} averages are worth only {f.n_effective:.3g} independent ones; {MIN_EFFECTIVE} are needed: "
            "test for longer"
        )
    return None


def _failures(f: _Figures, spec: NoiseSpec) -> dict[str, str]:
    """What fails, by name, in words."""
    d = spec.tolerance_a
    off = abs(f.mean - spec.current_a)
    failures: dict[str, str] = {}
    if spec.criterion is Criterion.SEED:
        if off > d:
            failures["accuracy"] = f"accuracy: the mean {_a(f.mean)} is {_a(off)} off, more than {_a(d)}"
        if f.std > d:
            failures["precision"] = f"precision: s = {_a(f.std)} is more than {_a(d)}"
        return failures
    drift_over = abs(f.drift.slope_per_s) * spec.duration_s
    if spec.criterion is Criterion.BOUNDED:
        if not off + f.half_width <= d:
            failures["accuracy"] = (
                f"accuracy: the mean {_a(f.mean)} is {_a(off)} off, with half its 90 % confidence interval "
                f"{_a(off + f.half_width)}, more than {_a(d)}"
            )
        if not f.std_upper <= d:
            failures["precision"] = (
                f"precision: s = {_a(f.std)}, its 95 % upper bound {_a(f.std_upper)} is more than {_a(d)}"
            )
    else:
        if not off + f.k * f.std <= d:
            failures["tolerance"] = (
                f"95 % of the readings lie within {_a(off + f.k * f.std)} of the set current "
                f"(|mean - set| {_a(off)} + {f.k:.3g} s, s = {_a(f.std)}), more than {_a(d)}"
            )
        drift_over += f.drift.half_width_per_s * spec.duration_s
    if not drift_over <= d / 2:
        failures["drift"] = (
            f"drift: {_a(f.drift.slope_per_s)}/s (± {_a(f.drift.half_width_per_s)}/s) makes {_a(drift_over)} over "
            f"{spec.duration_s:g} s, more than {_a(d / 2)}"
        )
    return failures


def _drift_explains(f: _Figures, spec: NoiseSpec) -> bool:
    """Without its drift the scatter would have passed: the drift is the cause, the rest follows from it."""
    bound = sigma_upper_bound(f.std_without_drift, f.n)
    if spec.criterion is Criterion.STRICT:
        bound = f.k * f.std_without_drift
    return bound <= spec.tolerance_a


def _beyond_doubt(f: _Figures, spec: NoiseSpec) -> bool:
    """Few independent averages can still show a failure: even the favourable bound is outside the tolerance."""
    off = abs(f.mean - spec.current_a)
    return f.std_lower > spec.tolerance_a or off - f.half_width > spec.tolerance_a


def _pass_words(f: _Figures, spec: NoiseSpec) -> str:
    d = _a(spec.tolerance_a)
    off = abs(f.mean - spec.current_a)
    if spec.criterion is Criterion.SEED:
        return f"mean {_a(f.mean)} is {_a(off)} off and s = {_a(f.std)}; both are within {d}"
    if spec.criterion is Criterion.STRICT:
        return f"95 % of the readings lie within {_a(off + f.k * f.std)} of the set current, inside {d}"
    return (
        f"mean {_a(f.mean)} is {_a(off)} off, {_a(off + f.half_width)} with its confidence interval, and "
        f"s = {_a(f.std)} is below {_a(f.std_upper)}; both are within {d}"
    )


def _flag_words(flags: npt.NDArray[np.uint32], bad: npt.NDArray[np.bool_]) -> str:
    if not bad.any():
        return ""
    together = Flag(int(np.bitwise_or.reduce(flags[bad])))
    names = {
        Flag.OVERLOAD: "over range",
        Flag.COMPLIANCE: "at the source's limit (compliance)",
        Flag.RANGE_COMPLIANCE: "held back by the range (range compliance)",
    }
    return " or ".join(word for flag, word in names.items() if flag in together) or "without a number"


def _a(value: float) -> str:
    return si(value, "A")
