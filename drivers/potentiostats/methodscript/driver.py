"""Driver of the PalmSens MethodSCRIPT family: EmStat Pico, Sensit Wearable, EmStat4, MultiEmStat4, Nexus.

The device measures by itself: each technique is one script, which holds the duration and the limits it can hold; the
host checks all limits on every sample on top and aborts the script (`Z`). However a run ends, a second script of
nothing but `cell_off` follows; the cell counts as off when that script has ended without an error (there is no
command that asks for the relay). `on_finished:` in the first script is not enough: a runtime error skips it.

A positive current is an oxidation at the working electrode, which charges a cell whose cathode is the working
electrode: the sign of this interface, no change needed.

XON/XOFF are stripped from what arrives and not used towards the device: with the operating system's flow control a
single damaged byte that looks like XOFF would hold back the abort.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

import numpy as np

from ...errors import (
    Busy,
    CellNotOff,
    DeviceError,
    DeviceLost,
    InvalidValue,
    LinkError,
    Refused,
    RunFailed,
    Unsupported,
    WrongDevice,
)
from ...interfaces import Identity, Options, Potentiostat, PotentiostatCapabilities, option
from ...samples import IMPEDANCE_COLUMNS, EndReason, Flag, SampleBlock
from ...techniques import Impedance, OpenCircuit, Technique
from ...transports import Conversation, Link
from .models import BOOTLOADER, CC_LOAD, CC_RUN, CM_OF_TECHNIQUE, MODELS, Model, family_capabilities
from .protocol import (
    NOT_POSSIBLE_NOW,
    Firmware,
    Protocol,
    hint_for_lost_reply,
    hint_for_silence,
    parse_capabilities,
)
from .run import ScriptRun
from .script import Plan, Settings, plan

T = TypeVar("T")

#: switching the cell off is safe to repeat
_CELL_OFF_ATTEMPTS = 2
#: the rest before a spectrum whose bias is the open-circuit potential
_REST_S, _REST_INTERVAL_S = 1.0, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodScriptOptions(Options):
    model: str = option("", help=f"device code that must answer: {', '.join(MODELS)} (empty: any)")
    current_range_a: float | None = option(None, help="fixed current range (default: by technique)", unit="A")
    current_range_max_a: float = option(
        1e-3, help="largest range that is used where the current is measured and nothing else limits it", unit="A"
    )
    autorange: bool = option(True, help="change the current range by itself where the current is what is measured")
    mains_hz: int = option(50, help="mains frequency to reject, 50 or 60 Hz (0: do not)")
    bandwidth_hz: float | None = option(None, help="largest bandwidth (default: 5.85 / interval)", unit="Hz")
    abort_timeout_s: float = option(30.0, help="how long a running script may take to end after an abort", unit="s")

    def __post_init__(self) -> None:
        if self.model and self.model not in MODELS:
            raise InvalidValue(f"model is {self.model!r}; accepted: {', '.join(MODELS)}")
        if self.mains_hz not in (0, 50, 60):
            raise InvalidValue(f"mains_hz is {self.mains_hz}; accepted: 50, 60, 0 (no rejection)")
        for name in ("current_range_a", "current_range_max_a", "bandwidth_hz", "abort_timeout_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InvalidValue(f"{name} is {value}; it must be greater than zero")


class MethodScript(Potentiostat):
    """`address`: a byte stream.

    EmStat Pico and Sensit talk at 230400 baud (the default); EmStat4 and Nexus at 921600, which matters where theirs
    is a real UART and not USB-CDC: `serial:/dev/ttyUSB0?baud=921600`.
    """

    options_type = MethodScriptOptions
    options: MethodScriptOptions
    wire_defaults: ClassVar[dict[str, dict[str, str]]] = {"serial": {"baud": "230400"}}

    def _set_up(self) -> None:
        self._protocol = Protocol(self.clock, self.options.abort_timeout_s)
        self._link = Link(self.transport, self._protocol.synchronise, name=self.name, quiet_s=0.05)
        self._run: ScriptRun | None = None
        self._model: Model | None = None
        self._load_apart = False
        self._commands: int | None = None
        self.script_version = ""

    # --- who it is -----------------------------------------------------------------------------------------------

    async def _connect(self) -> Identity:
        """The cell goes off as soon as it is known who answers, before anything else can go wrong."""
        self._protocol.answered, self._protocol.identified = False, None
        try:
            await self._link.open()
            assert self._protocol.identified is not None
            try:
                self._model = self._model_of(self._protocol.identified)
            except (WrongDevice, DeviceError) as error:
                error.annotate(device=self.name, operation="identify", sent=b"t\n")
                raise
            await self.cell_off()
            identity = await self._identify()
            await self._again_if_lost(self._ask_capabilities)
        except DeviceLost:
            raise
        except LinkError as error:
            if self._protocol.answered:
                hint_for_lost_reply(error)
            elif not isinstance(error, WrongDevice) and self._baud:
                hint_for_silence(error, str(self.transport.address), self._baud)
            raise
        return identity

    async def _again_if_lost(self, question: Callable[[], Awaitable[T]]) -> T:
        """Ask what is harmless a second time, in step again, if there was no answer that can be read."""
        try:
            return await question()
        except (DeviceLost, WrongDevice):
            raise
        except LinkError:
            return await question()

    @property
    def _baud(self) -> str:
        return self.transport.address.parameters.get("baud", "")

    async def identify(self) -> Identity:
        """While a run is under way its samples are the sign of life, and this is what was known before."""
        if self._run is not None and self.identity is not None:
            return self.identity
        return await self._identify()

    async def _identify(self) -> Identity:
        return await self._again_if_lost(self._ask_identity)

    async def _ask_identity(self) -> Identity:
        async with self._link.transaction("identify") as talk:
            firmware = await self._protocol.firmware(talk)
            self._model = self._model_of(firmware)
            serial = await self._text(talk, "i")
            self.script_version = await self._text(talk, "v")
        version = firmware.version if firmware.released else f"{firmware.version} beta"
        identity = Identity("PalmSens", self._model.name, serial, version)
        if self.identity is not None and identity.serial != self.identity.serial:
            raise WrongDevice(
                f"{identity.model} {identity.serial} answers where {self.identity.serial} was", device=self.name
            )
        return identity

    async def _text(self, talk: Conversation, command: str) -> str:
        """What the device answers; empty where it does not have the command."""
        try:
            return (await self._protocol.ask(talk, command))[1:].strip()
        except DeviceError as refusal:
            if refusal.detail.get("code") == NOT_POSSIBLE_NOW:
                raise
            return ""

    def _model_of(self, firmware: Firmware) -> Model:
        if firmware.code == BOOTLOADER:
            raise DeviceError(
                "the instrument is in its bootloader: it takes no measurement",
                hint="Power-cycle it; if it stays there, upload the firmware again with the maker's program.",
            )
        if firmware.code not in MODELS:
            raise WrongDevice(
                f"a device with the code {firmware.code!r} answers; this driver knows {', '.join(MODELS)}",
            )
        if self.options.model not in ("", firmware.code):
            raise WrongDevice(f"{firmware.code} answers; the option model asks for {self.options.model}")
        return MODELS[firmware.code]

    async def _ask_capabilities(self) -> None:
        async with self._link.transaction("capabilities") as talk:
            runtime = await self._capabilities(talk, "CC")
            self._commands = await self._capabilities(talk, "CM")
            self._load_apart = (
                runtime is not None
                and bool(runtime >> CC_LOAD & 1 and runtime >> CC_RUN & 1)
                and await self._protocol.loads_apart(talk)
            )

    async def _capabilities(self, talk: Conversation, command: str) -> int | None:
        """The bit field, or None where the firmware is too old to have one."""
        try:
            return parse_capabilities(await self._protocol.ask(talk, command))
        except DeviceError:
            return None

    @property
    def capabilities(self) -> PotentiostatCapabilities:
        if self._model is None:
            return family_capabilities()
        found = self._model.capabilities()
        if self._commands is None:
            return found
        has = Settings(commands=self._commands).has
        able = frozenset(name for name in found.techniques if has(*CM_OF_TECHNIQUE[name]))
        return replace(found, techniques=able)

    # --- measuring -----------------------------------------------------------------------------------------------

    async def run(self, technique: Technique) -> AsyncGenerator[SampleBlock, None]:
        if self._model is None:
            raise Refused("not connected: the model and what it can do are not known yet", device=self.name)
        settings = Settings(
            current_range_a=self.options.current_range_a,
            current_range_max_a=self.options.current_range_max_a,
            autorange=self.options.autorange,
            mains_hz=self.options.mains_hz,
            bandwidth_hz=self.options.bandwidth_hz,
            commands=self._commands,
        )
        try:
            ready = plan(technique, self._model, settings)
        except (InvalidValue, Unsupported) as refusal:
            refusal.annotate(device=self.name, operation=technique.name)
            raise
        if self._run is not None:
            raise Busy("a run is under way", device=self.name, operation=technique.name)
        if isinstance(technique, Impedance) and technique.bias_v is None:
            potential = await self._open_circuit_potential(settings)
            if potential is None:
                yield SampleBlock.of(
                    IMPEDANCE_COLUMNS,
                    {column.name: () for column in IMPEDANCE_COLUMNS},
                    start_time_ns=self.clock.time_ns(),
                    end=EndReason.STOPPED,
                    attributes={"technique": technique.name, "model": self._model.name},
                )
                return
            try:
                ready = plan(replace(technique, bias_v=potential), self._model, settings)
            except InvalidValue as refusal:
                raise Refused(
                    f"the open-circuit potential is {potential:g} V, which this instrument cannot be biased to:"
                    f" {refusal.message}",
                    device=self.name,
                    operation=technique.name,
                    hint=refusal.hint,
                ) from refusal
            ready = replace(ready, attributes={**ready.attributes, "bias": "open-circuit potential just before"})
        async with aclosing(self._blocks(ready)) as blocks:
            async for block in blocks:
                yield block

    async def _open_circuit_potential(self, settings: Settings) -> float | None:
        """At the end of a short open-circuit measurement, the cell disconnected; None if `stop` was called.

        Raises `RunFailed` if it is no number that a spectrum could be biased to.
        """
        assert self._model is not None
        ready = plan(OpenCircuit(duration_s=_REST_S, interval_s=_REST_INTERVAL_S), self._model, settings)
        async with aclosing(self._blocks(ready)) as blocks:
            rest = SampleBlock.concatenate([block async for block in blocks])
        if rest.end is EndReason.STOPPED:
            return None
        usable = np.isfinite(rest["voltage_v"]) & (rest["flags"] & (Flag.OVERLOAD | Flag.INVALID) == 0)
        if not usable.any():
            raise RunFailed(
                f"the open-circuit potential for the bias could not be measured: none of {len(rest)} samples is valid",
                device=self.name,
                operation=Impedance.name,
                hint="Is a cell connected, within this instrument's potentials? Or give bias_v.",
            )
        return round(float(np.median(rest["voltage_v"][usable][-3:])), 6)  # the first ones may not have settled

    async def _blocks(self, ready: Plan) -> AsyncGenerator[SampleBlock, None]:
        assert self._model is not None
        run = ScriptRun(self._link, self._protocol, self.clock, self._model, ready, self._load_apart)
        self._run = run
        try:
            while (block := await run.next_block()) is not None:
                yield block
        finally:
            try:
                await run.end()
            finally:
                self._run = None
            if isinstance(run.error, CellNotOff):
                raise run.error

    async def stop(self) -> None:
        run = self._run
        if run is not None:
            await run.end()
            if isinstance(run.error, CellNotOff):
                raise run.error

    async def cell_off(self) -> None:
        """Proven by a script of nothing but `cell_off` that ends without an error."""
        await self.stop()
        problem: DeviceError | LinkError | None = None
        for _ in range(_CELL_OFF_ATTEMPTS):
            try:
                async with self._link.transaction("cell off") as talk:
                    return await self._protocol.cell_off(talk)
            except (DeviceError, LinkError) as error:
                problem = error
            if isinstance(problem, DeviceLost):
                break
        assert problem is not None
        raise CellNotOff(
            f"the cell could not be switched off and proven off: {problem.message}",
            device=self.name,
            operation="cell off",
            sent=problem.sent,
            received=problem.received,
            cause=type(problem).__name__,
        ) from problem
