"""One spectrum, by whatever the instrument has: its own generator, or set points."""

from __future__ import annotations

import math
from contextlib import aclosing
from typing import Any, Protocol

import numpy as np

from bridge.analysis.impedance.kramers_kronig import Floats
from bridge.analysis.impedance.spectrum import Spectrum
from bridge.analysis.impedance.sweep import frequencies
from drivers.errors import RunFailed
from drivers.interfaces import Potentiostat
from drivers.samples import EndReason, SampleBlock
from drivers.techniques import Impedance, OpenCircuit, Technique

from ..common import Reporter
from .parameters import SweepOptions

_OCV_INTERVAL_S = 0.1
#: The open-circuit voltage is the median of so many samples at its end.
_OCV_SAMPLES = 5


class Sweep(Protocol):
    """`how` says for the result how the spectrum came about."""

    @property
    def how(self) -> str: ...

    async def measure(self, frequency_hz: Floats, amplitude_v: float, bias_v: float, step: str) -> Spectrum:
        """At these frequencies, in this order."""


class DeviceSweep:
    """The instrument's own generator and analyser."""

    def __init__(self, potentiostat: Potentiostat, reporter: Reporter, begin: float, share: float) -> None:
        self._potentiostat = potentiostat
        self._reporter = reporter
        self._begin, self._share = begin, share

    @property
    def how(self) -> str:
        return "the instrument's own sweep: sine of voltage, its analyser's impedance as it was sent"

    async def measure(self, frequency_hz: Floats, amplitude_v: float, bias_v: float, step: str) -> Spectrum:
        technique = Impedance(
            frequency_max_hz=float(frequency_hz[0]),
            frequency_min_hz=float(frequency_hz[-1]),
            points=len(frequency_hz),
            amplitude_v=amplitude_v,
            bias_v=bias_v,
        )
        blocks: list[SampleBlock] = []
        count = 0
        self._reporter.now(step, self._begin, bias_v=bias_v)
        self._reporter.show(shown_sweep(step, amplitude_v, len(frequency_hz)))
        async with aclosing(self._potentiostat.run(technique)) as run:
            async for block in run:
                blocks.append(block)
                count += len(block)
                if len(block):
                    self._reporter.show(items=_shown_points(step, block))
                    fraction = self._begin + self._share * min(1.0, count / len(frequency_hz))
                    self._reporter.maybe(step, fraction, frequency_hz=float(block["frequency_hz"][-1]))
        whole = SampleBlock.concatenate(blocks)
        if whole.end is not EndReason.FINISHED or not len(whole):
            raise RunFailed(
                f"{step} ended ({whole.end}) after {len(whole)} of {len(frequency_hz)} points",
                device=self._potentiostat.name,
            )
        return Spectrum(
            whole["frequency_hz"],
            whole["z_real_ohm"] + 1j * whole["z_imag_ohm"],
            np.full(len(whole), np.nan),
            whole["flags"],
        )


def shown_sweep(step: str, amplitude_v: float, points: int) -> dict[str, Any]:
    """What the points that come are about, for whoever looks on."""
    return {"kind": "impedance", "step": step, "amplitude_v": amplitude_v, "points": points}


def shown_point(step: str, frequency_hz: float, z_ohm: complex, sigma: float, flags: int) -> dict[str, Any]:
    """A point as it was measured, before anything is taken off it."""
    return {
        "step": step,
        "frequency_hz": frequency_hz,
        "z_real_ohm": z_ohm.real,
        "z_imag_ohm": z_ohm.imag,
        "sigma": sigma,
        "flags": flags,
    }


def _shown_points(step: str, block: SampleBlock) -> list[dict[str, Any]]:
    return [
        shown_point(step, float(f), complex(real, imag), math.nan, int(flags))
        for f, real, imag, flags in zip(
            block["frequency_hz"], block["z_real_ohm"], block["z_imag_ohm"], block["flags"], strict=True
        )
    ]


def frequencies_of(p: SweepOptions, highest_hz: float) -> Floats:
    """From the highest that is wanted and possible down."""
    top = min(p.frequency_max_hz, highest_hz)
    return frequencies(top, min(p.frequency_min_hz, top), p.points_per_decade)


async def collect(potentiostat: Potentiostat, technique: Technique) -> SampleBlock:
    async with aclosing(potentiostat.run(technique)) as run:
        return SampleBlock.concatenate([block async for block in run])


async def open_circuit_v(potentiostat: Potentiostat, seconds: float) -> float:
    """Median of the last samples. Raises `RunFailed` if there is no number among them."""
    interval_s = max(_OCV_INTERVAL_S, potentiostat.capabilities.interval_min_s)
    technique = OpenCircuit(duration_s=max(seconds, 3 * interval_s), interval_s=interval_s)
    volts = (await collect(potentiostat, technique))["voltage_v"]
    volts = volts[np.isfinite(volts)]
    if not len(volts):
        raise RunFailed(
            "the open-circuit voltage could not be measured: no sample is a number",
            device=potentiostat.name,
            hint="Is a cell connected, within this instrument's voltages?",
        )
    return round(float(np.median(volts[-_OCV_SAMPLES:])), 6)
