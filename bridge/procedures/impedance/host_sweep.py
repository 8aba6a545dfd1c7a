"""A spectrum by set points, for instruments that have no generator: low frequencies only, the cell at its own voltage.

Currents are set about zero, so that nothing but the excitation flows and the cell stays where it is; their size follows
the impedance that the point before has shown. Voltages are set about the open-circuit voltage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from bridge.analysis.formatting import si
from bridge.analysis.impedance.images import Sampling, without_images
from bridge.analysis.impedance.kramers_kronig import Floats
from bridge.analysis.impedance.lock_in import Tone, Waveform, tone, waveform
from bridge.analysis.impedance.spectrum import Spectrum
from drivers.errors import Refused, RunFailed
from drivers.interfaces import Potentiostat
from drivers.samples import EndReason, Flag, SampleBlock
from drivers.techniques import CurrentSequence, VoltageSequence

from ..common import Reporter
from .parameters import SweepOptions
from .sweep import collect, shown_point, shown_sweep

#: Areal resistance of the LiPON nanobattery (domain note 7.2): where to begin if the area is known.
_CELL_OHM_M2 = 130e-4
#: Where to begin if nothing is known; far below what harms a nanobattery.
_FIRST_A = 1e-12
#: How the first current is found: up by at most this a try.
_TRIES, _FACTOR = 14, 10.0
#: The pilot is loud enough at this share of the amplitude, and above so many sigmas.
_LOUD, _SIGMAS = 0.3, 10.0
#: The cell's voltage may leave its rest by this many peaks, and some millivolts, before the point is given up.
_ROOM, _ROOM_V = 6.0, 0.03
#: What is set and what is measured may differ by this share of the peak.
_DEVIATION = 0.05
#: So many points in a row without a result: the contact is lost.
_LOST = 2


@dataclass
class HostSweep:
    """`impedance_ohm` is what is known of the modulus, `rest_v` where the cell's voltage is, from the point before."""

    potentiostat: Potentiostat
    reporter: Reporter
    options: SweepOptions
    area_m2: float | None
    begin: float = 0.0
    share: float = 1.0
    impedance_ohm: float | None = None
    rest_v: float | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def how(self) -> str:
        p = self.options
        what = "currents about zero" if p.control == "current" else "voltages about the bias"
        return (
            f"set points by the host, {what}, up to 100 a period; {p.periods} whole periods fitted after "
            f"{p.settle_periods} of settling, with offset, slope and curvature taken out; images of the staircase "
            "divided out; sigma by the scatter about the fit"
        )

    @property
    def shortest_s(self) -> float:
        return max(self.options.step_s, self.potentiostat.capabilities.interval_min_s)

    async def measure(self, frequency_hz: Floats, amplitude_v: float, bias_v: float, step: str) -> Spectrum:
        """Raises `Refused` if no current gives the amplitude, `RunFailed` if the contact is lost on the way."""
        p = self.options
        waves = [waveform(float(f), self.shortest_s, p.periods, p.settle_periods) for f in frequency_hz]
        if self.impedance_ohm is None:
            await self._pilot(waves[0], amplitude_v, bias_v)
        total = sum(wave.duration_s for wave in waves)
        self.reporter.show(shown_sweep(step, amplitude_v, len(waves)))
        z, sigma, flags, samplings, gone, lost = [], [], [], [], 0.0, 0
        for wave in waves:
            fraction = self.begin + self.share * gone / total
            self.reporter.now(step, fraction, frequency_hz=wave.frequency_hz, impedance_ohm=self.impedance_ohm)
            point = await self._point(wave, amplitude_v, bias_v)
            gone += wave.duration_s
            seen = shown_point(step, wave.frequency_hz, point.z_ohm, point.sigma, point.flags)
            self.reporter.show(items=[seen])
            z.append(point.z_ohm)
            sigma.append(point.sigma)
            flags.append(point.flags)
            samplings.append(point.sampling)
            lost = 0 if point.flags == 0 else lost + 1
            if lost >= _LOST:
                raise RunFailed(
                    f"no result at {wave.frequency_hz:.3g} Hz and at the frequency before it: {point.why}",
                    device=self.potentiostat.name,
                    hint="Look at the contact; start again when it holds.",
                )
        return self._assembled(frequency_hz, z, sigma, flags, samplings)

    def _assembled(
        self,
        frequency_hz: Floats,
        z: list[complex],
        sigma: list[float],
        flags: list[int],
        samplings: list[Sampling],
    ) -> Spectrum:
        found = np.array(z, dtype=np.complex128)
        good = np.isfinite(found)
        if good.any():
            found[good] = without_images(
                frequency_hz[good],
                found[good],
                [s for s, is_good in zip(samplings, good, strict=True) if is_good],
                sources_current=self.options.control == "current",
            )
        return Spectrum(
            np.asarray(frequency_hz, dtype=np.float64),
            found,
            np.array(sigma, dtype=np.float64),
            np.array(flags, dtype=np.uint32),
        )

    async def _pilot(self, wave: Waveform, amplitude_v: float, bias_v: float) -> None:
        """Find the current by trying, from far below up."""
        if self.options.control == "voltage":
            point = await self._point(wave, amplitude_v, bias_v)
            if not math.isfinite(abs(point.z_ohm)):
                raise Refused(f"nothing could be measured at {wave.frequency_hz:.3g} Hz: {point.why}")
            self.impedance_ohm = abs(point.z_ohm)
            return
        peak_v = math.sqrt(2) * amplitude_v
        current = _FIRST_A if self.area_m2 is None else 0.3 * peak_v * self.area_m2 / _CELL_OHM_M2
        current = max(current, self._least_a)
        for _ in range(_TRIES):
            self.reporter.now("how much current", None, current_a=current)
            self.impedance_ohm = peak_v / current
            point = await self._point(wave, amplitude_v, bias_v)
            if point.flags & int(Flag.OVERLOAD):
                current *= _FACTOR  # noise fills the range that goes with so small a current
                continue
            if not math.isfinite(abs(point.z_ohm)):
                current /= _FACTOR
                if current < self._least_a:
                    raise Refused(
                        f"{si(current * _FACTOR, 'A')} moves the voltage out of its room already: {point.why}",
                        device=self.potentiostat.name,
                        hint="Is the tip on the pad? Or give a larger amplitude.",
                    )
                continue
            reached = abs(point.z_ohm) * current / peak_v
            self.impedance_ohm = abs(point.z_ohm)
            if reached >= _LOUD and point.sigma * _SIGMAS < 1 and reached < 3:
                return
            allowed = self.options.current_max_a or math.inf
            highest = max((r.full_scale_a for r in self.potentiostat.capabilities.current_ranges), default=math.inf)
            if current >= min(allowed, highest):
                self.notes.append(
                    f"the amplitude of {si(amplitude_v, 'V')} is not reached with {si(current, 'A')}, which is the "
                    "most that is allowed"
                )
                return
            loud = point.sigma * _SIGMAS < 1
            current = min(current * (min(_FACTOR, 1 / reached) if loud else _FACTOR), allowed, highest)
        raise Refused(
            f"no current was found that gives {si(amplitude_v, 'V')} at {wave.frequency_hz:.3g} Hz: too small a one is "
            "lost in the noise, the next is too large",
            device=self.potentiostat.name,
            hint="Give a larger amplitude, or a quieter route.",
        )

    @property
    def _least_a(self) -> float:
        """A hundred steps of the source on its smallest range."""
        ranges = self.potentiostat.capabilities.current_ranges
        if not ranges:
            return 0.0
        smallest = min(ranges, key=lambda r: r.full_scale_a)
        return 100 * (smallest.source_resolution_a or 0.0)

    async def _point(self, wave: Waveform, amplitude_v: float, bias_v: float) -> _Point:
        record, peak = await self._record(wave, amplitude_v, bias_v)
        sampling = _sampling(wave, record)
        if record.end is not EndReason.FINISHED:
            why = (
                f"the record ended after {len(record)} samples: {_WHY.get(record.end or EndReason.STOPPED, 'stopped')}"
            )
            flag = Flag.OVERLOAD if record.end is EndReason.OVERLOAD else Flag.COMPLIANCE
            return _Point(complex(math.nan, math.nan), math.nan, int(flag), sampling, why)
        volts, amperes = tone(wave, record["voltage_v"]), tone(wave, record["current_a"])
        flagged = int(np.bitwise_or.reduce(record["flags"][wave.first :])) & int(Flag.OVERLOAD | Flag.COMPLIANCE)
        if self.options.control == "current":
            off = abs(amperes.phasor - peak)
            z, sigma = volts.phasor / peak, volts.sigma / max(abs(volts.phasor), 1e-300)
            if off > _DEVIATION * peak + 3 * amperes.sigma:
                flagged |= int(Flag.COMPLIANCE)
                return _Point(
                    z, sigma, flagged, sampling, f"the current that was set did not flow: {_of(amperes, 'A')}"
                )
        else:
            z = volts.phasor / amperes.phasor if amperes.phasor else complex(math.nan, math.nan)
            sigma = math.hypot(
                volts.sigma / max(abs(volts.phasor), 1e-300), amperes.sigma / max(abs(amperes.phasor), 1e-300)
            )
        if not flagged and sigma < 0.5:
            self.impedance_ohm = abs(z)
            self.rest_v = float(np.mean(record["voltage_v"][wave.first :]))
        return _Point(z, sigma, flagged, sampling, "the instrument was over range or at its limit" if flagged else "")

    async def _record(self, wave: Waveform, amplitude_v: float, bias_v: float) -> tuple[SampleBlock, float]:
        """(samples, peak of what was set)."""
        p = self.options
        peak_v = math.sqrt(2) * amplitude_v
        if p.control == "voltage":
            limit = None if self.impedance_ohm is None else 3 * peak_v / self.impedance_ohm
            points = wave.set_points(peak_v, bias_v)
            technique = VoltageSequence(voltages_v=points, interval_s=wave.step_s, current_limit_a=limit)
            return await collect(self.potentiostat, technique), peak_v
        assert self.impedance_ohm is not None
        peak_a = min(peak_v / self.impedance_ohm, p.current_max_a or math.inf)
        room_v = _ROOM * peak_v + _ROOM_V
        rest_v = bias_v if self.rest_v is None else self.rest_v
        currents = CurrentSequence(
            currents_a=wave.set_points(peak_a),
            interval_s=wave.step_s,
            voltage_min_v=rest_v - room_v,
            voltage_max_v=rest_v + room_v,
        )
        return await collect(self.potentiostat, currents), peak_a


@dataclass(frozen=True, slots=True)
class _Point:
    """`z_ohm` NaN where there is none; `flags` not zero where it is none of the cell, `why` in words."""

    z_ohm: complex
    sigma: float
    flags: int
    sampling: Sampling
    why: str


_WHY = {
    EndReason.VOLTAGE_MAX: "the voltage left its room upwards, as it does when the contact is lost",
    EndReason.VOLTAGE_MIN: "the voltage left its room downwards, as it does when the contact is lost",
    EndReason.CURRENT_LIMIT: "the current went beyond three times what was expected",
    EndReason.OVERLOAD: "the instrument was over range",
}


def _sampling(wave: Waveform, record: SampleBlock) -> Sampling:
    """As the driver tells it; a driver that does not is taken to integrate over the whole step."""
    integration_s = float(record.attributes.get("integration_s") or wave.step_s)
    from_s = float(record.attributes.get("sampled_from_s") or 0.0)
    return Sampling(wave.step_s, from_s, min(integration_s, wave.step_s))


def _of(found: Tone, unit: str) -> str:
    return f"{si(abs(found.phasor), unit)} at {math.degrees(np.angle(found.phasor)):.0f} degrees"
