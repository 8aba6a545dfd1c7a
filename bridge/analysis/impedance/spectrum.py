"""A spectrum with what is known of each of its points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from drivers.samples import Flag

from .kramers_kronig import Complexes, Floats

#: A point with one of these is no measurement of the cell.
BAD = Flag.OVERLOAD | Flag.COMPLIANCE | Flag.RANGE_COMPLIANCE | Flag.INVALID


@dataclass(frozen=True, slots=True)
class Spectrum:
    """All of shape (n,). `sigma` is the standard uncertainty of `z_ohm` as a share of it, NaN where nothing tells."""

    frequency_hz: Floats
    z_ohm: Complexes
    sigma: Floats
    flags: npt.NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.frequency_hz)

    @property
    def usable(self) -> npt.NDArray[np.bool_]:
        good = np.isfinite(self.z_ohm) & (self.z_ohm != 0) & ((self.flags & np.uint32(BAD)) == 0)
        return np.asarray(good, dtype=np.bool_)

    def only(self, which: npt.NDArray[np.bool_]) -> Spectrum:
        return Spectrum(self.frequency_hz[which], self.z_ohm[which], self.sigma[which], self.flags[which])


def mean_of(spectra: Sequence[Spectrum]) -> Spectrum:
    """Point by point over repetitions at the same frequencies; with two or more their scatter is the uncertainty.

    Points that are not usable are left out of their mean; flags are joined where a point has no usable one.
    """
    first = spectra[0]
    if len(spectra) == 1:
        return first
    z = np.stack([s.z_ohm for s in spectra])
    good = np.stack([s.usable for s in spectra])
    count = good.sum(axis=0)
    some = np.maximum(count, 1)
    mean = np.where(count > 0, np.where(good, z, 0).sum(axis=0) / some, np.nan)
    spread = (np.where(good, np.abs(z - mean), 0) ** 2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        scatter = np.sqrt(spread / (some * np.maximum(count - 1, 1))) / np.abs(mean)
    flags = np.bitwise_or.reduce(np.stack([s.flags for s in spectra]), axis=0)
    clean = flags & ~np.uint32(BAD)
    return Spectrum(
        first.frequency_hz,
        np.asarray(mean, dtype=np.complex128),
        np.asarray(np.where(count > 1, scatter, np.nan), dtype=np.float64),
        np.asarray(np.where(count > 0, clean, flags), dtype=np.uint32),
    )
