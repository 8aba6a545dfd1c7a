"""Potentiostats, galvanostats and source-measure units."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import ClassVar

from ..errors import InvalidValue
from ..samples import SampleBlock
from ..techniques import Galvanostatic, Impedance, OpenCircuit, Potentiostatic, Technique
from .device import Device


@dataclass(frozen=True, slots=True)
class CurrentRange:
    """One current range. All in amperes, as the maker specifies them; None where the maker says nothing.

    The accuracy of a measured current I is `gain_error * |I| + offset_error_a` (1 year); of a sourced one the same with
    the `source_` figures. `resolution_a` is one count of the converter.
    """

    label: str
    full_scale_a: float
    resolution_a: float | None = None
    gain_error: float | None = None
    offset_error_a: float | None = None
    source_resolution_a: float | None = None
    source_gain_error: float | None = None
    source_offset_error_a: float | None = None
    noise_a_rms: float | None = None
    settling_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PotentiostatCapabilities:
    """What a planner needs to refuse a hopeless test.

    `techniques` holds the `name`s of the techniques that `run` accepts. `input_resistance_ohm` is None where unknown.
    """

    techniques: frozenset[str]
    current_ranges: tuple[CurrentRange, ...]
    voltage_min_v: float
    voltage_max_v: float
    voltage_resolution_v: float | None = None
    input_resistance_ohm: float | None = None
    interval_min_s: float = 0.0
    integration_s: float | None = None
    device_clock: bool = True
    notes: tuple[str, ...] = field(default=())


class Potentiostat(Device):
    """Sources and measures. Sign: positive current charges the cell (flows into the + terminal's electrode).

    Off means disconnected (relay open, high impedance), never 0 V and never 0 A with the relay closed.
    """

    interface: ClassVar[str] = "potentiostat"

    @property
    @abstractmethod
    def capabilities(self) -> PotentiostatCapabilities:
        """Of the connected model; before `connect`, of the family."""

    @abstractmethod
    def run(self, technique: Technique) -> AsyncGenerator[SampleBlock, None]:
        """Run a technique; yields blocks as samples come, in order, indices from 0, the last one with `end` set.

        However the iterator is left (end, limit, `break`, exception, cancellation), the cell is off and verified
        afterwards; use `contextlib.aclosing` where "afterwards" must be before the next line.

        Raises `Unsupported` or `InvalidValue` before anything is sent; `Busy` if a run is under way; `DeviceError`,
        `LinkError`s; `CellNotOff` if the disconnection could not be verified.
        """

    @abstractmethod
    async def stop(self) -> None:
        """End the run under way, if any (it ends with `EndReason.STOPPED`); the cell off. Needs no run to be called."""

    @abstractmethod
    async def cell_off(self) -> None:
        """Disconnect the cell and verify it; a run under way ends. Raises `CellNotOff` if it cannot be proven."""

    async def make_safe(self) -> None:
        await self.stop()
        await self.cell_off()

    async def collect(self, technique: Technique) -> SampleBlock:
        """Run a technique to its end and return all of it as one block."""
        async with aclosing(self.run(technique)) as blocks:
            return SampleBlock.concatenate([block async for block in blocks])

    async def open_circuit(self, duration_s: float = 1.0, rate_hz: float = 10.0) -> SampleBlock:
        return await self.collect(OpenCircuit(duration_s=duration_s, interval_s=_interval(rate_hz)))

    async def galvanostatic(
        self,
        current_a: float,
        duration_s: float,
        rate_hz: float = 10.0,
        voltage_min_v: float | None = None,
        voltage_max_v: float | None = None,
        charge_limit_c: float | None = None,
    ) -> SampleBlock:
        return await self.collect(
            Galvanostatic(
                current_a=current_a,
                duration_s=duration_s,
                interval_s=_interval(rate_hz),
                voltage_min_v=voltage_min_v,
                voltage_max_v=voltage_max_v,
                charge_limit_c=charge_limit_c,
            )
        )

    async def potentiostatic(
        self,
        voltage_v: float,
        duration_s: float = 1.0,
        rate_hz: float = 10.0,
        current_limit_a: float | None = None,
        taper_current_a: float | None = None,
    ) -> SampleBlock:
        return await self.collect(
            Potentiostatic(
                voltage_v=voltage_v,
                duration_s=duration_s,
                interval_s=_interval(rate_hz),
                current_limit_a=current_limit_a,
                taper_current_a=taper_current_a,
            )
        )

    async def impedance(
        self,
        frequency_max_hz: float = 100e3,
        frequency_min_hz: float = 1.0,
        points: int = 21,
        amplitude_v: float = 0.010,
        bias_v: float | None = None,
    ) -> SampleBlock:
        return await self.collect(
            Impedance(
                frequency_max_hz=frequency_max_hz,
                frequency_min_hz=frequency_min_hz,
                points=points,
                amplitude_v=amplitude_v,
                bias_v=bias_v,
            )
        )


def _interval(rate_hz: float) -> float:
    if not rate_hz > 0:
        raise InvalidValue(f"rate is {rate_hz:g} Hz; it must be greater than zero")
    return 1 / rate_hz
