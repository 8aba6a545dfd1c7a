"""The open USB potentiostat for thin-film batteries: TDstatv3 (Dobbelaere et al., HardwareX 2017) and its clone MYSTAT.

The instrument holds its set point for ever and knows neither limits nor time: this host loop is its galvanostat's
safety. It stops within about one sampling interval plus 20 ms of the sample that crosses a limit. What it cannot do:
tell whether its cell relay has opened (no read-back exists; the current that is left over is the evidence, as far as
it can be told from zero), tell one unit from another (all carry the serial number 0001: use
`usb:a0a0:0002?bus=1&address=7`).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from ...errors import Busy, CellNotOff, DeviceError, InvalidValue, LinkError, PicobridgeError, Unsupported
from ...interfaces import Identity, Options, Potentiostat, PotentiostatCapabilities, option
from ...samples import SampleBlock
from ...techniques import (
    CurrentSequence,
    CyclicVoltammetry,
    Galvanostatic,
    Impedance,
    OpenCircuit,
    Potentiostatic,
    Technique,
    VoltageSequence,
)
from ...uninterrupted import to_the_end
from ..polling import poll
from .codec import ADC_SPAN, CONVERSION_S, INTERVAL_MIN_S, TDSTATV3, default_calibration
from .plan import Plan, make_plan
from .protocol import CELL_OFF, CELL_ON, Session, select_range, set_dac
from .sampling import Sampler, convert

#: The maker's program waits this long between the set point and the cell's relay.
SETTLE_S = 0.2
#: Times that switching the cell off is tried over a bad link.
OFF_TRIES = 2

_NOTES = (
    "open circuit: the cell relay is open and the potential is read by the sense leads; the current column is the "
    "instrument's own zero",
    "cell off is acknowledged by the instrument and checked by the current that is left, as far as that can be told "
    "from zero: the relay itself has no read-back",
    "the instrument has no limits and no watchdog: if this computer dies with the cell on, the set point stays",
    "accuracy is not specified by the makers; leakage and drift, not the converter, decide at pA",
    "all units carry the same USB serial number: tell two apart by bus and address",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TdstatOptions(Options):
    set_point_error_max: float = option(
        0.01,
        help="largest rounding error of a set current, as a fraction of it; smaller currents are refused",
    )
    current_range_a: float = option(
        0.0, unit="A", help="current range to use, by its nominal current; 0 chooses the smallest that fits"
    )

    def __post_init__(self) -> None:
        if not 0 < self.set_point_error_max <= 1:
            raise InvalidValue(
                f"option set_point_error_max is {self.set_point_error_max}; accepted: more than 0, up to 1"
            )
        if not (math.isfinite(self.current_range_a) and self.current_range_a >= 0):
            raise InvalidValue(f"option current_range_a is {self.current_range_a}; accepted: 0 or a range such as 2e-6")


class Tdstat(Potentiostat):
    """TDstatv3 or MYSTAT; which of the two is found out when connecting, without moving or energising anything."""

    options_type = TdstatOptions
    options: TdstatOptions

    def _set_up(self) -> None:
        self._session = Session(self.transport, self.name)
        self._calibration = default_calibration(TDSTATV3)
        self._range = 0
        #: current that flowed when the cell was last known to be on; None if it is known to be off
        self._current_a: float | None = None
        self._stop: asyncio.Event | None = None

    @property
    def capabilities(self) -> PotentiostatCapabilities:
        model = self._calibration.model
        techniques = (
            OpenCircuit,
            Galvanostatic,
            Potentiostatic,
            CyclicVoltammetry,
            CurrentSequence,
            VoltageSequence,
        )
        return PotentiostatCapabilities(
            techniques=frozenset(technique.name for technique in techniques),
            current_ranges=self._calibration.current_ranges(),
            voltage_min_v=-model.voltage_full_scale_v,
            voltage_max_v=model.voltage_full_scale_v,
            voltage_resolution_v=model.voltage_full_scale_v / ADC_SPAN,
            interval_min_s=INTERVAL_MIN_S,
            integration_s=CONVERSION_S,
            device_clock=False,
            notes=_NOTES,
        )

    async def _connect(self) -> Identity:
        self._calibration = await self._session.open()
        self._range = 0
        self._current_a = math.nan  # whatever flowed before: we do not know
        identity = self._identity()
        await self.cell_off()
        return identity

    async def identify(self) -> Identity:
        await self._session.verify("identify")
        return self._identity()

    def _identity(self) -> Identity:
        return Identity(make="CoCooN research group (open design)", model=self._calibration.model.name)

    # --- runs ------------------------------------------------------------------------------------------------------

    async def run(self, technique: Technique) -> AsyncGenerator[SampleBlock, None]:
        if isinstance(technique, Impedance):
            raise Unsupported(
                "a TDstat cannot measure impedance: its converters give 12 samples a second",
                device=self.name,
                operation="impedance",
                hint=f"It can do {', '.join(sorted(self.capabilities.techniques))}; the procedure `impedance` makes a "
                "sine of set points with it, at low frequencies.",
            )
        try:
            plan = make_plan(technique, self._calibration, self.options)
        except InvalidValue as error:
            error.annotate(device=self.name, operation=technique.name)
            raise
        if self._stop is not None:
            raise Busy("a run is under way", device=self.name, operation=technique.name, hint="Stop it first.")
        self._stop = stop = asyncio.Event()
        try:
            async with aclosing(self._run(technique, plan, stop)) as blocks:
                async for block in blocks:
                    yield block
        finally:
            self._stop = None

    async def _run(self, technique: Technique, plan: Plan, stop: asyncio.Event) -> AsyncGenerator[SampleBlock, None]:
        try:
            await self._prepare(plan)
            sampler = Sampler(self._session, self.clock, self._calibration, plan, stop)
            if plan.cell_on:
                await self._switch_on(plan, stop)
            if not stop.is_set():
                await sampler.begin()
            blocks = poll(
                technique,
                sampler.read,
                switch_off=self._disconnect_cell,
                stop=stop,
                wait=sampler.wait,
                stream=self.name,
                start_time_ns=sampler.start_time_ns or self.clock.time_ns(),
                attributes={
                    "technique": technique.name,
                    "range": plan.label,
                    "model": self._calibration.model.name,
                    "integration_s": CONVERSION_S,
                    **({"sampled_from_s": sampler.sampled_from_s} if plan.steps else {}),
                },
            )
            async with aclosing(blocks):
                async for block in blocks:
                    if len(block) and self._current_a is not None:
                        self._current_a = float(block["current_a"][-1])
                    yield block
        finally:
            if self._current_a is not None:
                await to_the_end(self._disconnect_cell())

    async def _prepare(self, plan: Plan) -> None:
        """Cell off, range, set point, mode; then the time that the converters need. Two conversions are thrown away."""
        async with self._session.exchange("set up") as exchange:
            await exchange.command(CELL_OFF)
            await exchange.command(select_range(plan.range_index))
            self._range = plan.range_index
            await exchange.command(set_dac(plan.set_point))
            await exchange.command(plan.mode)
        await self.clock.sleep(SETTLE_S)
        for _ in range(2):
            await convert(self._session, self.clock)

    async def _switch_on(self, plan: Plan, stop: asyncio.Event) -> None:
        async with self._session.exchange("cell on") as exchange:
            if not stop.is_set():
                self._current_a = plan.current_a
                await exchange.command(CELL_ON)

    async def stop(self) -> None:
        await self.cell_off()

    async def make_safe(self) -> None:
        await self.cell_off()

    async def cell_off(self) -> None:
        if self._stop is not None:
            self._stop.set()
        await self._disconnect_cell()

    async def _disconnect_cell(self) -> None:
        failure: PicobridgeError | None = None
        for _ in range(OFF_TRIES):
            try:
                await self._session.cell_off()
                await self._check_current()
            except (LinkError, DeviceError) as error:
                failure = error
                if not self.transport.is_open:
                    break
            else:
                self._current_a = None
                return
        assert failure is not None
        raise CellNotOff(
            f"the cell could not be proven disconnected: {failure.message}",
            device=self.name,
            operation="cell off",
            sent=failure.sent,
            received=failure.received,
            hint="Disconnect the cell by hand, now. Pulling the USB plug cuts the power, which opens the cell relay.",
        ) from failure

    async def _check_current(self) -> None:
        """Raise `CellNotOff` if current goes on flowing as before.

        Only a current that stood well above the converter's resolution can be seen to have ended; below that the
        acknowledgement of the instrument is all there is.
        """
        before = self._current_a
        if before is None or not abs(before) > 50 * self._calibration.full_scale_a(self._range) / ADC_SPAN:
            return
        packet, _ = await convert(self._session, self.clock)
        _, current, _ = self._calibration.decode(packet, self._range)
        if not abs(current) < abs(before) / 2:
            raise CellNotOff(
                f"{current:.3g} A still flows after the cell was switched off ({before:.3g} A before)",
                device=self.name,
                operation="cell off",
            )
