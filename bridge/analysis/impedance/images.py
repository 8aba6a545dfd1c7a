"""What a staircase adds to the sine that it stands for, taken out of an impedance that was measured with one.

A sine of steps of length T has images at f + k/T, and a converter that reads once a step sees them at f again: where
only the end of each of 40 steps is read, a resistor behind a capacitor comes out 4 degrees off. So the spectrum is
described by a chain of RC elements with all its images, as this sampling shows them, and what the chain says that they
add is divided out.

A voltage step charges a bare capacitance at once, before anything is read: of the lead beside the cell a waveform of
voltages sees nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from .kramers_kronig import Complexes, Floats

#: Images on either side that are counted; their weights fall with the square of their number.
_IMAGES = 1000
#: RC elements a decade of the chain, and how far beyond the measured range their time constants go.
_A_DECADE, _BEYOND = 5, 30.0


@dataclass(frozen=True, slots=True)
class Sampling:
    """Set points `step_s` apart; each is read from `from_s` after it for `integration_s`."""

    step_s: float
    from_s: float
    integration_s: float

    def kernel(self, frequency_hz: Floats) -> Complexes:
        """Of one component: what a step makes of it, times what the converter makes of it."""
        step = np.sinc(frequency_hz * self.step_s) * np.exp(-1j * np.pi * frequency_hz * self.step_s)
        centre = self.from_s + self.integration_s / 2
        read = np.sinc(frequency_hz * self.integration_s) * np.exp(2j * np.pi * frequency_hz * centre)
        return np.asarray(step * read, dtype=np.complex128)


def without_images(
    frequency_hz: Floats, z_ohm: Complexes, samplings: list[Sampling], *, sources_current: bool
) -> Complexes:
    """The impedance of the circuit itself. `z_ohm` (n,) is response over set points at their frequency, `samplings` has
    one a frequency."""
    raw = z_ohm if sources_current else 1 / z_ohm
    elements = _Elements(frequency_hz, sources_current)
    shown = np.array([elements.seen(float(f), s) for f, s in zip(frequency_hz, samplings, strict=True)])
    weighted, target = shown / np.abs(raw)[:, None], raw / np.abs(raw)
    stacked = np.concatenate([weighted.real, weighted.imag])
    size = np.linalg.norm(stacked, axis=0)
    sizes = nnls(stacked / size, np.concatenate([target.real, target.imag]))[0] / size
    found = raw * (elements.of(frequency_hz) @ sizes) / (shown @ sizes)
    return np.asarray(found if sources_current else 1 / found, dtype=np.complex128)


class _Elements:
    """The chain's elements as columns: an impedance R0 + sum Rk/(1 + jw tau_k) + 1/(jwC), or the admittance
    G + sum jw Ck/(1 + jw tau_k). Nothing of it is negative in a circuit of resistors and capacitors."""

    def __init__(self, frequency_hz: Floats, impedance: bool) -> None:
        low, high = 2 * np.pi * frequency_hz.min() / _BEYOND, 2 * np.pi * frequency_hz.max() * _BEYOND
        self._tau = 1 / np.geomspace(low, high, max(2, round(_A_DECADE * np.log10(high / low))))
        self._impedance = impedance

    def of(self, frequency_hz: Floats) -> Complexes:
        omega = 2 * np.pi * frequency_hz[:, None]
        arcs = 1 / (1 + 1j * omega * self._tau)
        if not self._impedance:
            arcs = 1j * omega * self._tau * arcs
        columns = [np.ones((len(omega), 1)), arcs]
        if self._impedance:
            columns.append(1 / (1j * omega))
        return np.asarray(np.concatenate(columns, axis=1), dtype=np.complex128)

    def seen(self, frequency_hz: float, sampling: Sampling) -> Complexes:
        """Each element at one frequency as the sampling shows it, all images with it. Shape (elements,)."""
        at = frequency_hz + np.arange(-_IMAGES, _IMAGES + 1) / sampling.step_s
        found = self.of(np.abs(at))
        found = np.where(at[:, None] < 0, found.conj(), found)
        return np.asarray(sampling.kernel(at) @ found, dtype=np.complex128)
