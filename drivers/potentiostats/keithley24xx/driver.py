"""Keithley 2400 series, 6430 and 2450 source-measure units.

Facts: 2400 series user's manual (2400S-900-01), 6430 reference manual, 2450 reference manual (2450-901-01); the pages
are named where they matter. Three traps shape this driver. The factory's "output off" is a voltage source at 0 V that
stays on the cell, so the off state is made high impedance before anything else, and `*RST`, which undoes that at once,
is never sent. A current source whose compliance is below the cell's voltage draws whatever it takes from the cell
(2400 manual 3-24), so a narrow compliance is set only after the voltage has been read. And a picoampere printed with
`%f` is zero.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from ...errors import Busy, CellNotOff, DeviceError, DeviceLost, DeviceTimeout, LinkError, PicobridgeError, WrongDevice
from ...interfaces import CurrentRange, Identity, Potentiostat, PotentiostatCapabilities
from ...samples import EndReason, SampleBlock
from ...techniques import (
    CurrentSequence,
    CyclicVoltammetry,
    Galvanostatic,
    OpenCircuit,
    Potentiostatic,
    Technique,
    VoltageSequence,
)
from ...uninterrupted import to_the_end
from ..polling import empty_block, poll
from .dialect import Dialect
from .dialect_2400 import Dialect2400
from .dialect_2450 import Dialect2450
from .models import MODELS, Model, model_of
from .options import Keithley24xxOptions
from .plan import INTEGRATION_S, INTERVAL_MIN_S, plan
from .run import Run
from .session import Session, Stopped, identity_of

log = logging.getLogger(__name__)

_OFF_ATTEMPTS = 2
_TECHNIQUES = (OpenCircuit, Galvanostatic, Potentiostatic, CyclicVoltammetry, CurrentSequence, VoltageSequence)


class Keithley24xx(Potentiostat):
    """One source-measure unit over GPIB, USBTMC, LAN or RS-232."""

    options_type = Keithley24xxOptions
    options: Keithley24xxOptions
    wire_defaults = {"serial": {"baud": "9600"}}  # noqa: RUF012

    def _set_up(self) -> None:
        self._session = Session(self.transport, self.options, name=self.name)
        self._model: Model | None = None
        self._dialect: Dialect = Dialect2400()
        self._mains_hz: float = 50.0
        self._last_range: CurrentRange | None = None
        self._stop = asyncio.Event()
        self._running = False
        self._energised = False

    @property
    def capabilities(self) -> PotentiostatCapabilities:
        model = self._model or MODELS["6430"]
        notes = (*model.notes, "open circuit is a source of 0 A with the relay closed; off is an open relay")
        if self._model is None:
            notes = (*notes, "not connected: these are the 6430's, the family's best")
        return PotentiostatCapabilities(
            techniques=frozenset(technique.name for technique in _TECHNIQUES),
            current_ranges=model.current_ranges,
            voltage_min_v=-model.voltage_max_v,
            voltage_max_v=model.voltage_max_v,
            voltage_resolution_v=100e-6 if model.scpi_2400 else 10e-6,
            input_resistance_ohm=model.input_resistance_ohm,
            interval_min_s=INTERVAL_MIN_S,
            integration_s=INTEGRATION_S if self.options.nplc is None else self.options.nplc / self._mains_hz,
            device_clock=True,
            notes=notes,
        )

    async def _connect(self) -> Identity:
        identity = await self._session.open()
        model = model_of(identity.model)
        if model is None:
            raise WrongDevice(
                f"a Keithley {identity.model} answered; this driver knows the {', '.join(MODELS)}",
                hint="Check the address; `picobridge drivers` lists what is supported.",
            )
        self._dialect = Dialect2400() if model.scpi_2400 else await self._dialect_of_2450()
        self._model = model
        with suppress(LinkError):  # whether it was on is worth a word; off it must be whatever the answer
            async with self._session.transaction("connect") as talk:
                if not _is(await talk.ask(":OUTP?"), ("0", "OFF")):
                    log.warning("%s: the output was on when picobridge connected; it is switched off now", self.name)
        await self.cell_off()
        async with self._session.transaction("connect") as talk:
            for code, text in await talk.errors():
                log.warning("%s: error %+d, %s, was waiting in the instrument", self.name, code, text)
        self._mains_hz = await self._mains()
        return identity

    async def _dialect_of_2450(self) -> Dialect:
        language = await self._language()
        if language == "SCPI":
            return Dialect2450()
        if language == "SCPI2400":
            return Dialect2400()
        raise WrongDevice(
            f"the 2450 is switched to the command set {language}; this driver speaks SCPI and SCPI2400",
            hint="On its front panel: MENU, System, Settings, Command Set, SCPI; then switch it off and on again.",
        )

    async def _language(self) -> str:
        """What `*LANG?` says, asked again once. Meanwhile "off" goes out in SCPI, which harms in no other language."""
        try:
            return await self._ask_language()
        except LinkError:
            await self._session.shout(*Dialect2450.off)
            return await self._ask_language()

    async def _ask_language(self) -> str:
        async with self._session.transaction("connect") as talk:
            return (await talk.ask("*LANG?")).upper()

    async def _mains(self) -> float:
        try:
            async with self._session.transaction("connect") as talk:
                found = float(await talk.ask(":SYST:LFR?"))
        except (DeviceTimeout, ValueError):
            found = 0.0
        if found in (50.0, 60.0):
            return found
        log.warning("%s: the instrument does not tell its mains frequency; 50 Hz is assumed", self.name)
        return 50.0

    async def identify(self) -> Identity:
        async with self._session.transaction("identify") as talk:
            identity = identity_of(await talk.ask("*IDN?"))
        if self.identity is not None and identity != self.identity:
            raise WrongDevice(f"a {identity} answers where a {self.identity} was connected")
        return identity

    def run(self, technique: Technique) -> AsyncGenerator[SampleBlock, None]:
        model = self._model or MODELS["6430"]
        run = Run(
            session=self._session,
            dialect=self._dialect,
            plan=plan(technique, model, self.options, self._last_range),
            options=self.options,
            model=model,
            mains_hz=self._mains_hz,
            clock=self.clock,
            stop=self._stop,
        )
        return self._run(run)

    async def _run(self, run: Run) -> AsyncGenerator[SampleBlock, None]:
        if self._running:
            raise Busy("a run is under way", device=self.name, operation=run.name, hint="Stop it first.")
        if not self.transport.is_open:
            raise DeviceLost("not connected", device=self.name, operation=run.name)
        self._running = True
        self._stop.clear()
        try:
            try:
                await self._disconnect_cell()
                await run.configure()
                self._energised = True
                await run.switch_on()
            except Stopped:
                await self._disconnect_cell()
                yield empty_block(EndReason.STOPPED, self.clock.time_ns())
                return
            self._last_range = run.plan.current_range or self._last_range
            samples = poll(
                run.plan.technique,
                run.read_one,
                switch_off=self._disconnect_cell,
                stop=self._stop,
                wait=run.wait,
                start_time_ns=run.start_time_ns,
                attributes=run.attributes,
            )
            async with aclosing(samples):
                async for block in samples:
                    yield block
        except PicobridgeError as error:
            error.annotate(device=self.name, operation=run.name)
            raise
        finally:
            try:
                if self._energised:
                    await to_the_end(self._disconnect_cell())
            finally:
                self._running = False

    async def stop(self) -> None:
        await self.cell_off()

    async def make_safe(self) -> None:
        await self.cell_off()

    async def cell_off(self) -> None:
        self._stop.set()
        await self._disconnect_cell()

    async def _disconnect_cell(self) -> None:
        failure: PicobridgeError | None = None
        for _ in range(_OFF_ATTEMPTS):
            try:
                await self._off()
            except DeviceLost as error:
                failure = error
                break
            except (LinkError, DeviceError) as error:
                failure = error
            else:
                self._energised = False
                return
        assert failure is not None
        raise CellNotOff(
            f"the output could not be proven off with its relay open: {failure.message}",
            device=self.name,
            operation="cell_off",
            sent=failure.sent,
            received=failure.received,
        ) from failure

    async def _off(self) -> None:
        link, off = self._session.link, self._dialect.off
        if link.transport.is_open and link.busy and not link.transport.packets:
            # the instrument takes it right after the reading under way, whoever waits for that and however long; on a
            # wire of messages it would throw the reading away, and has to wait for it
            await self._session.shout(*off)
        async with self._session.transaction("cell_off", blind=off) as talk:
            await talk.send(*off)
            for query, accepted in self._dialect.off_proof:
                answer = await talk.ask(query)
                if not _is(answer, accepted):
                    raise DeviceError(f"{query} says {answer!r} where {accepted[0]!r} was expected")


def _is(answer: str, accepted: tuple[str, ...]) -> bool:
    return answer.strip().strip('"').upper().startswith(accepted)
