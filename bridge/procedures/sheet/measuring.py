"""One cell by one channel: its voltage, and its impedance as far as that tells something."""

from __future__ import annotations

import math
from contextlib import aclosing

import numpy as np

from drivers.errors import RunFailed
from drivers.interfaces import Potentiostat
from drivers.samples import EndReason, Flag, SampleBlock
from drivers.techniques import Impedance, Technique

from .judge import Judge
from .parameters import SheetMap
from .spectrum import Spectrum, values_of

_BAD = Flag.OVERLOAD | Flag.INVALID


class Interrupted(Exception):
    """A record was ended from outside (a pause, somebody's stop): the cell was not measured."""


class Meter:
    """What is measured of a cell, the same for all channels."""

    def __init__(self, parameters: SheetMap, judge: Judge) -> None:
        self._p = parameters
        self._judge = judge
        named = [f for f in judge.bins.frequencies_hz if f <= parameters.frequency_max_hz]
        #: how far down a good cell is measured
        self.needed_hz = parameters.frequency_needed_hz or (named[-1] if named else parameters.frequency_max_hz / 100)
        #: how far down a cell near a limit is
        self.lowest_hz = min(parameters.frequency_min_hz or self.needed_hz, self.needed_hz)
        #: where a cell with an odd voltage is looked at, beside the highest frequency
        self.look_hz = next((f for f in named if f < parameters.frequency_max_hz), self.needed_hz)

    async def voltage(self, potentiostat: Potentiostat) -> dict[str, float]:
        """Raises `Interrupted`, and what the driver raises."""
        record = await _collect(potentiostat, self._p.record)
        usable = np.isfinite(record["voltage_v"]) & (record["flags"] & np.uint32(_BAD) == 0)
        time, volts = record["time_s"][usable], record["voltage_v"][usable]
        if len(volts) < 4:
            return {}
        half = len(volts) // 2
        late, at = volts[half:], time[half:] - time[half:].mean()
        spread = float(at @ at)
        flat = late - late.mean() - (float(at @ (late - late.mean())) / spread if spread else 0.0) * at
        whole = time - time.mean()
        slope = float(whole @ (volts - volts.mean())) / float(whole @ whole)
        return {
            "ocv_v": float(late.mean()),
            "ocv_std_v": float(math.sqrt(float(flat @ flat) / max(1, len(flat) - 2))),
            "ocv_drop_v": -slope * self._p.ocv_s,
        }

    def wants_impedance(self) -> bool:
        return self._p.impedance != "never"

    async def impedance(self, potentiostat: Potentiostat, values: dict[str, float], visit: int) -> Spectrum:
        """As far down as it tells something; see docs/sheet.md. Raises as `voltage`."""
        bias_v = values.get("ocv_v", 0.0)
        top_hz, judged = self._p.frequency_max_hz, self._judge.ready
        if judged and self._p.impedance == "where needed" and self._judge.is_odd(values):
            look = await self._sweep(potentiostat, top_hz, self.look_hz, 2, bias_v)
            found = values | values_of(look, self._judge.names)
            if not self._judge.bin_of(found, visit).passes:
                return look
        spectrum = await self._sweep(potentiostat, top_hz, self.needed_hz, None, bias_v)
        if self.lowest_hz < self.needed_hz and judged:
            found = values | values_of(spectrum, self._judge.names)
            if self._judge.is_near(found) and self._judge.bin_of(found, visit).passes:
                spectrum = spectrum.joined(
                    await self._sweep(potentiostat, self.needed_hz, self.lowest_hz, None, bias_v)
                )
        return spectrum

    async def _sweep(
        self, potentiostat: Potentiostat, high_hz: float, low_hz: float, points: int | None, bias_v: float
    ) -> Spectrum:
        technique = Impedance(
            frequency_max_hz=high_hz,
            frequency_min_hz=low_hz,
            points=points if points is not None and high_hz > low_hz else self._p.points(high_hz, low_hz),
            amplitude_v=self._p.amplitude_v,
            bias_v=round(bias_v, 6),
        )
        block = await _collect(potentiostat, technique)
        z = block["z_real_ohm"] + 1j * block["z_imag_ohm"]
        usable = np.isfinite(z) & (np.abs(z) > 0) & (block["flags"] & np.uint32(_BAD) == 0)
        return Spectrum(block["frequency_hz"][usable], z[usable], flagged=int((~usable).sum()))


async def _collect(potentiostat: Potentiostat, technique: Technique) -> SampleBlock:
    """All of a technique's samples, the cell off again."""
    async with aclosing(potentiostat.run(technique)) as run:
        blocks = [block async for block in run]
    if not blocks:
        raise RunFailed(f"{potentiostat.name} gave no samples", device=potentiostat.name, operation=technique.name)
    if blocks[-1].end is EndReason.STOPPED:
        raise Interrupted
    return blocks[0] if len(blocks) == 1 else SampleBlock.concatenate(blocks)
