"""Statistics of a steady current: confidence of mean and scatter, drift, Allan deviation. Pure functions on arrays.

All take a series of shape (n,) in time order. Where textbooks offer a choice, the docstring names the one taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .quantiles import chi_squared, normal, student

Floats = npt.NDArray[np.float64]

#: Sokal's window: the sum over the autocorrelation ends at this many times the autocorrelation time found so far.
_WINDOW = 5.0


def autocorrelation_time(values: Floats) -> float:
    """Integrated autocorrelation time tau = 1 + 2 sum(rho_k), in samples, with Sokal's self-consistent window.

    1 for white noise, (1 + r) / (1 - r) for a first-order process with lag-1 correlation r. Never below 1, so that
    anticorrelated noise does not pass for more samples than there are.
    """
    n = len(values)
    centred = values - values.mean()
    variance = float(np.dot(centred, centred))
    if n < 3 or variance == 0:
        return 1.0
    size = 1 << (2 * n - 1).bit_length()
    transform = np.fft.rfft(centred, size)
    correlation = np.fft.irfft(transform * np.conj(transform), size)[:n] / variance
    taus = 2 * np.cumsum(correlation) - 1
    inside = np.arange(n) >= _WINDOW * np.maximum(taus, 1.0)
    window = int(np.argmax(inside)) if inside.any() else n - 1
    return max(1.0, float(taus[window]))


def effective_number(values: Floats) -> float:
    """How many independent samples the series is worth: n / `autocorrelation_time`."""
    return len(values) / autocorrelation_time(values)


def mean_half_width(std: float, n_effective: float, confidence: float = 0.90) -> float:
    """Half the two-sided confidence interval of a mean. Infinite where there are not two independent samples."""
    if n_effective <= 1:
        return math.inf
    return student(0.5 + confidence / 2, n_effective - 1) * std / math.sqrt(n_effective)


def sigma_upper_bound(std: float, n: int, confidence: float = 0.95) -> float:
    """One-sided upper bound of the true standard deviation: s sqrt((n - 1) / chi2(1 - confidence, n - 1))."""
    return std * math.sqrt((n - 1) / chi_squared(confidence, n - 1))


def sigma_lower_bound(std: float, n: float, confidence: float = 0.95) -> float:
    """One-sided lower bound of the true standard deviation; `n` may be an effective number."""
    return std * math.sqrt((n - 1) / chi_squared(1 - confidence, n - 1))


def tolerance_factor(n: int, coverage: float = 0.95, confidence: float = 0.95) -> float:
    """k such that mean ± k s holds `coverage` of all readings with `confidence` (two-sided normal, Howe 1969)."""
    z = normal((1 + coverage) / 2)
    return z * math.sqrt((n - 1) * (1 + 1 / n) / chi_squared(confidence, n - 1))


@dataclass(frozen=True, slots=True)
class Drift:
    """Straight line through a series; `half_width` is half of the slope's 90 % confidence interval (per second)."""

    slope_per_s: float
    half_width_per_s: float


def drift(time_s: Floats, values: Floats, confidence: float = 0.90) -> Drift:
    """Least squares, its error by Newey and West (Bartlett weights, lag 4 (n/100)^(2/9)), so that correlated noise
    does not make the slope look surer than it is."""
    n = len(values)
    x = time_s - time_s.mean()
    spread = float(np.dot(x, x))
    if n < 3 or spread == 0:
        return Drift(0.0, math.inf)
    slope = float(np.dot(x, values - values.mean())) / spread
    score = x * (values - values.mean() - slope * x)
    lags = max(1, math.floor(4 * (n / 100) ** (2 / 9)))
    total = float(np.dot(score, score))
    for lag in range(1, min(lags, n - 1) + 1):
        total += 2 * (1 - lag / (lags + 1)) * float(np.dot(score[lag:], score[:-lag]))
    error = math.sqrt(max(total, 0.0) * n / (n - 2)) / spread
    return Drift(slope, student(0.5 + confidence / 2, n - 2) * error)


def detrended(time_s: Floats, values: Floats) -> Floats:
    """The series less its least-squares line; its mean is kept."""
    x = time_s - time_s.mean()
    spread = float(np.dot(x, x))
    if spread == 0:
        return values.copy()
    line: Floats = float(np.dot(x, values - values.mean())) / spread * x
    return np.subtract(values, line)


def has_line(time_s: Floats, values: Floats, significance: float = 2.6) -> bool:
    """Is there a straight line in the series beyond what its own correlated noise makes by chance (99 %)?

    The slope's error is the white-noise one times the root of the autocorrelation time of what the line leaves over.
    """
    flat = detrended(time_s, values)
    x = time_s - time_s.mean()
    spread = float(np.dot(x, x))
    slope = abs(float(np.dot(x, values - values.mean()))) / spread
    error = float(flat.std()) * math.sqrt(autocorrelation_time(flat) / spread)
    return slope > significance * error


@dataclass(frozen=True, slots=True)
class Allan:
    """Overlapping Allan deviation: arrays of shape (m,)."""

    tau_s: Floats
    deviation: Floats

    @property
    def minimum(self) -> tuple[float, float]:
        """(tau, deviation) at the lowest point: the bias instability. NaN if the series was too short."""
        if not len(self.tau_s):
            return math.nan, math.nan
        index = int(np.argmin(self.deviation))
        return float(self.tau_s[index]), float(self.deviation[index])


def allan_deviation(values: Floats, tau0_s: float) -> Allan:
    """Overlapping Allan deviation of a series of averages over `tau0_s`, at 1, 2, 4 ... times tau0 up to a quarter of
    the record (IEEE 1139; from the cumulative sum)."""
    n = len(values)
    phase = np.concatenate(([0.0], np.cumsum(values - values.mean()))) if n else np.zeros(1)
    taus: list[float] = []
    deviations: list[float] = []
    m = 1
    while m <= max(n // 4, 1) and 2 * m < n:
        second = phase[2 * m :] - 2 * phase[m:-m] + phase[: -2 * m]
        taus.append(m * tau0_s)
        deviations.append(math.sqrt(float(np.mean(second**2)) / (2 * m * m)))
        m *= 2
    return Allan(np.array(taus), np.array(deviations))


def count_outliers(values: Floats, limit: float = 5.0) -> tuple[int, float]:
    """(how many lie more than `limit` median absolute deviations from the median, the largest such distance in MAD).

    For a normal distribution one MAD is 0.674 sigma.
    """
    if not len(values):
        return 0, 0.0
    distance = np.abs(values - np.median(values))
    mad = float(np.median(distance))
    if mad == 0:
        return int(np.count_nonzero(distance)), math.inf if distance.any() else 0.0
    return int(np.count_nonzero(distance > limit * mad)), float(distance.max() / mad)
