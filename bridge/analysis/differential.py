"""Differential capacity dQ/dV of one step, on equal steps of voltage."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from drivers.errors import InvalidValue

from .statistics import Floats

#: A bin is at least so many standard deviations of the voltage's noise wide (domain note, section 3).
BIN_SIGMAS = 5.0
#: And no narrower than this share of the step's voltage span: a cell has no finer features.
_BINS_MAX = 400
#: Bins over which the curve is averaged.
SMOOTHING_BINS = 3


@dataclass(frozen=True, slots=True)
class Differential:
    """dQ/dV in C/V, unsigned, at the middle of each bin; arrays of shape (n,), by rising voltage.

    `bin_v` is the bins' width, `smoothing_v` the width over which they were averaged (a running mean, narrower at the
    ends), `noise_v` the voltage's standard deviation that the bins were chosen by.
    """

    voltage_v: Floats
    dq_dv_c_per_v: Floats
    bin_v: float
    smoothing_v: float
    noise_v: float

    @property
    def peak(self) -> tuple[float, float] | None:
        """(voltage, height) of the highest point, by a parabola through it and its neighbours; None without bins."""
        y = self.dq_dv_c_per_v
        if not len(y):
            return None
        at = int(np.argmax(y))
        if not 0 < at < len(y) - 1:
            return float(self.voltage_v[at]), float(y[at])
        left, top, right = (float(value) for value in y[at - 1 : at + 2])
        bend = left - 2 * top + right
        shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
        return float(self.voltage_v[at]) + shift * self.bin_v, top - 0.25 * (left - right) * shift


def voltage_noise(voltage_v: Floats) -> float:
    """Standard deviation of white noise on a slowly curving record of shape (n,), from its second differences, by the
    median, so that steps and spikes do not count."""
    known = voltage_v[np.isfinite(voltage_v)]
    if len(known) < 5:
        return 0.0
    second = np.diff(known, 2)
    return float(1.4826 * np.median(np.abs(second - np.median(second))) / math.sqrt(6.0))


def differential_capacity(
    voltage_v: Floats,
    charge_c: Floats,
    *,
    rising: bool,
    noise_v: float | None = None,
    bin_v: float | None = None,
    smoothing_bins: int = SMOOTHING_BINS,
) -> Differential:
    """Of one step under current; arrays of shape (n,), the charge passed unsigned. `rising`: a charge.

    The voltage is replaced by its monotonic envelope (a charge's highest so far, a discharge's lowest), the charge is
    read off at equal steps of voltage and differenced, and the result is averaged over `smoothing_bins` bins. The noise
    is estimated unless given. Raises `InvalidValue` for a bin that the noise does not allow.
    """
    known = np.isfinite(voltage_v) & np.isfinite(charge_c)
    v, q = voltage_v[known], charge_c[known]
    noise = voltage_noise(v) if noise_v is None else noise_v
    envelope = np.maximum.accumulate(v) if rising else np.minimum.accumulate(v)
    if not rising:
        envelope, q = envelope[::-1], q[::-1]
    span = float(envelope[-1] - envelope[0]) if len(v) else 0.0
    width = max(BIN_SIGMAS * noise, span / _BINS_MAX) if bin_v is None else bin_v
    if width < BIN_SIGMAS * noise * (1 - 1e-9):
        raise InvalidValue(
            f"bin_v is {width:g} V; at least {BIN_SIGMAS:g} sigma of the noise, {BIN_SIGMAS * noise:g} V"
        )
    bins = math.floor(span / width) if width > 0 else 0
    if bins < 2:
        return Differential(np.empty(0), np.empty(0), width, width * smoothing_bins, noise)
    edges = float(envelope[0]) + width * np.arange(bins + 1)
    # of samples at one voltage the last counts going up and the first going down: charge passed until it left
    keep = np.append(np.diff(envelope) > 0, True) if rising else np.append(True, np.diff(envelope) > 0)
    at_edges = np.interp(edges, envelope[keep], q[keep])
    slope = np.abs(np.diff(at_edges)) / width
    window = np.ones(smoothing_bins)
    smooth: Floats = np.convolve(slope, window, "same") / np.convolve(np.ones(bins), window, "same")
    middles = (edges[:-1] + width / 2).astype(np.float64)
    return Differential(middles, smooth, width, width * smoothing_bins, noise)
