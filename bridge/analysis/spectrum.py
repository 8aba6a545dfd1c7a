"""Spectrum of a current record, with the lines of the mains named, the aliased ones included."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .statistics import Floats, detrended

#: What the mains puts into a record, in hertz: both mains of the world and their harmonics.
MAINS_HZ = (50.0, 60.0, 100.0, 120.0, 150.0, 180.0)

#: The mains wanders by this much (0.1 %) within a record: where a line is looked for, beside the record's resolution.
_WANDER = 0.001

#: A line counts as found when it stands this far (power ratio) above the median of the spectrum.
_FOUND = 20.0

#: Longest list of frequencies: the spectrum is for a picture and goes over MQTT.
_SEGMENT = 512


@dataclass(frozen=True, slots=True)
class Line:
    """One frequency of the mains in a record sampled at `rate_hz`.

    `seen_at_hz` is where sampling folds it to; 0 where it folds onto the mean and cannot be told from an offset.
    `amplitude_a_rms` is what was found there, None where it cannot be seen. `suppression_db` is what the instrument's
    integration over `integration_s` takes off it before sampling (None where that is not known).
    """

    frequency_hz: float
    seen_at_hz: float
    amplitude_a_rms: float | None
    found: bool
    suppression_db: float | None


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Welch's estimate: one-sided amplitude density of shape (m,), in A per square root of hertz."""

    rate_hz: float
    frequency_hz: Floats
    density_a_per_rthz: Floats
    lines: tuple[Line, ...]


def folded(frequency_hz: float, rate_hz: float) -> float:
    """Where a frequency appears when sampled at `rate_hz`: between 0 and half the rate."""
    return abs(frequency_hz - round(frequency_hz / rate_hz) * rate_hz)


def integrator_suppression_db(frequency_hz: float, integration_s: float) -> float:
    """How far an integration over `integration_s` suppresses a line, |sinc(f T)|, in dB (positive = weaker).

    The line is taken to be off by 0.2 %, as mains frequencies are: that, not the null, is what limits an integrator.
    """
    return -20 * math.log10(max(abs(float(np.sinc(frequency_hz * 1.002 * integration_s))), 1e-12))


def spectrum(time_s: Floats, current_a: Floats, integration_s: float | None = None) -> Spectrum:
    """Spectrum of an evenly sampled record (intervals as the median one; NaN is bridged by a straight line)."""
    from scipy import signal  # takes long to import

    n = len(current_a)
    if n < 16:
        return Spectrum(math.nan, np.empty(0), np.empty(0), ())
    rate = 1 / float(np.median(np.diff(time_s)))
    good = np.isfinite(current_a)
    if good.sum() < 2:
        return Spectrum(rate, np.empty(0), np.empty(0), ())
    # scipy's windows lose nothing by working on 1e-12 A as it is; a line in the record is taken out before
    filled = detrended(time_s, np.interp(time_s, time_s[good], current_a[good]))
    frequency, density = signal.welch(filled, rate, "hann", nperseg=min(n, _SEGMENT), detrend="constant")
    lines = tuple(_line(name, filled - filled.mean(), rate, integration_s) for name in MAINS_HZ)
    return Spectrum(rate, frequency[1:], np.sqrt(density[1:]), lines)


def _line(name_hz: float, centred: Floats, rate_hz: float, integration_s: float | None) -> Line:
    suppression = None if integration_s is None else integrator_suppression_db(name_hz, integration_s)
    place = folded(name_hz, rate_hz)
    n = len(centred)
    resolution = rate_hz / n
    if place < 4 * resolution:
        return Line(name_hz, 0.0, None, False, suppression)
    window = np.hanning(n)
    power = np.abs(np.fft.rfft(centred * window)) ** 2
    frequency = np.fft.rfftfreq(n, 1 / rate_hz)
    reach = max(3 * resolution, _WANDER * name_hz)
    near = np.flatnonzero(np.abs(frequency - place) <= reach)
    peak = near[np.argmax(power[near])]
    # Hann spreads a line over three bins; their power over the window's own gives its mean square
    around = power[max(peak - 2, 1) : peak + 3].sum()
    mean_square = 2 * float(around) / n / float(np.sum(window**2))
    found = bool(power[peak] > _FOUND * np.median(power[1:]))
    return Line(name_hz, place, math.sqrt(mean_square), found, suppression)
