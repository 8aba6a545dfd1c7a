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

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import ClassVar

from ...errors import (
    Busy,
    CellNotOff,
    DeviceError,
    DeviceLost,
    InvalidValue,
    LinkError,
    Refused,
    Unsupported,
    WrongDevice,
)
from ...interfaces import Identity, Options, Potentiostat, PotentiostatCapabilities, option
from ...samples import SampleBlock
from ...techniques import Technique
from ...transports import Conversation, Link
from .models import BOOTLOADER, CC_LOAD, CC_RUN, CM_OF_TECHNIQUE, MODELS, Model, family_capabilities
from .protocol import Firmware, Protocol, hint_for_silence, parse_capabilities
from .run import ScriptRun
from .script import Settings, plan


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodScriptOptions(Options):
    model: str = option("", help=f"device code that must answer: {', '.join(MODELS)} (empty: any)")
    current_range_a: float | None = option(None, help="fixed current range (default: by technique)", unit="A")
    autorange: bool = option(True, help="change the current range by itself where the current is what is measured")
    mains_hz: int = option(50, help="mains frequency to reject, 50 or 60 Hz (0: do not)")
    bandwidth_hz: float | None = option(None, help="largest bandwidth (default: 5.85 / interval)", unit="Hz")
    abort_timeout_s: float = option(30.0, help="how long a running script may take to end after an abort", unit="s")

    def __post_init__(self) -> None:
        if self.model and self.model not in MODELS:
            raise InvalidValue(f"model is {self.model!r}; accepted: {', '.join(MODELS)}")
        if self.mains_hz not in (0, 50, 60):
            raise InvalidValue(f"mains_hz is {self.mains_hz}; accepted: 50, 60, 0 (no rejection)")
        for name in ("current_range_a", "bandwidth_hz", "abort_timeout_s"):
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
        try:
            await self._link.open()
            identity = await self._identify()
        except DeviceLost:
            raise
        except (LinkError, DeviceError) as error:
            if isinstance(error, LinkError) and not isinstance(error, WrongDevice) and self._baud:
                hint_for_silence(error, str(self.transport.address), self._baud)
            raise
        async with self._link.transaction("capabilities") as talk:
            runtime = await self._capabilities(talk, "CC")
            self._commands = await self._capabilities(talk, "CM")
            self._load_apart = runtime is not None and bool(runtime >> CC_LOAD & 1 and runtime >> CC_RUN & 1)
        await self.cell_off()
        return identity

    @property
    def _baud(self) -> str:
        return self.transport.address.parameters.get("baud", "")

    async def identify(self) -> Identity:
        """While a run is under way its samples are the sign of life, and this is what was known before."""
        if self._run is not None and self.identity is not None:
            return self.identity
        return await self._identify()

    async def _identify(self) -> Identity:
        async with self._link.transaction("identify") as talk:
            firmware = await self._protocol.firmware(talk)
            self._model = self._model_of(firmware)
            serial = (await self._protocol.ask(talk, "i"))[1:].strip()
            self.script_version = (await self._protocol.ask(talk, "v"))[1:].strip()
        version = firmware.version if firmware.released else f"{firmware.version} beta"
        identity = Identity("PalmSens", self._model.name, serial, version)
        if self.identity is not None and identity.serial != self.identity.serial:
            raise WrongDevice(
                f"{identity.model} {identity.serial} answers where {self.identity.serial} was", device=self.name
            )
        return identity

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
        try:
            async with self._link.transaction("cell off") as talk:
                await self._protocol.cell_off(talk)
        except (DeviceError, LinkError) as error:
            raise CellNotOff(
                f"the cell could not be switched off and proven off: {error.message}",
                device=self.name,
                operation="cell off",
                sent=error.sent,
                received=error.received,
                cause=type(error).__name__,
            ) from error
