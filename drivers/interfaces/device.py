"""What every device has: a wire, options, an identity, a life between `connect` and `close`."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import DeviceLost, InvalidValue, LinkError, MoveFailed
from ..transports import Transport, open_transport
from ..uninterrupted import to_the_end


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answered. `serial` is empty where the device does not tell (or where every unit tells the same)."""

    make: str
    model: str
    serial: str = ""
    firmware: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Base of each driver's options. Fields are made with `option`."""


def option(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    unit: str = "",
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    choices: tuple[str, ...] = (),
    file: bool = False,
    **field: Any,
) -> Any:
    """A field of a driver's options or of a procedure's parameters.

    With a `unit` the value is in that SI unit; text such as "30 nm" is accepted. Limits (in that unit) and `choices`
    are held by `drivers.fields.parse_fields`, and are told to whoever makes a form. With `file` the value is the text
    of a file: the command line takes its name, and reads it.
    """
    limits = {"at_least": at_least, "above": above, "at_most": at_most, "choices": choices or None}
    limits["file"] = file or None
    metadata = {"help": help, "unit": unit} | {name: limit for name, limit in limits.items() if limit is not None}
    return dataclasses.field(default=default, metadata=metadata, **field)


class Device(ABC):
    """Base of the interfaces; drivers derive from one of them.

    `address` is text, or a transport that is not open yet. `name` is what errors call the device. `clock` is what the
    driver waits by; a simulated instrument brings its own.

    `async with Driver("serial:/dev/ttyUSB0") as device:` connects, and on leaving makes safe and closes.

    A driver names its `options_type` and prepares in `_set_up`, when `transport`, `options`, `name` and `clock` are
    there; it has no constructor of its own.
    """

    interface: ClassVar[str]
    options_type: ClassVar[type[Options]] = Options
    #: parameters of the address that this device's wire needs unless the address says otherwise (e.g. {"baud": "9600"})
    wire_defaults: ClassVar[dict[str, dict[str, str]]] = {}

    def __init__(
        self,
        address: str | Transport,
        options: Options | None = None,
        *,
        name: str = "",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if isinstance(address, str):
            address = open_transport(address, self.wire_defaults)
        self.transport = address
        if options is not None and not isinstance(options, self.options_type):
            raise InvalidValue(f"options are {type(options).__name__}; {self.options_type.__name__} is accepted")
        self.options = self.options_type() if options is None else options
        self.name = name or type(self).__name__
        self.clock = clock
        self.identity: Identity | None = None
        self._set_up()

    async def connect(self) -> Identity:
        """Open the wire, prove that request and reply are paired, identify, and make safe: source off, nothing moving.

        Safe to call again after `DeviceLost`: a wire that is still open is closed first. Raises `LinkError`s,
        `WrongDevice` among them.
        """
        await self.transport.close()
        try:
            self.identity = await self._connect()
        except BaseException:
            await self.transport.close()
            raise
        return self.identity

    async def close(self) -> None:
        """Make safe as far as the wire allows, then close it; a cancellation waits until both are done.

        Raises `CellNotOff` if the source was not proven off.
        """
        if not self.transport.is_open:
            return
        try:
            await to_the_end(self.make_safe())
        finally:
            await self.transport.close()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Close. That the same trouble is met again in closing does not hide the error that tells what it struck."""
        try:
            await self.close()
        except (LinkError, MoveFailed):
            if not isinstance(error, LinkError | MoveFailed):
                raise

    def on_lost(self, callback: Callable[[DeviceLost], None]) -> None:
        """Call `callback` once when the wire is noticed to be gone although nobody was reading."""

        def noticed(error: DeviceLost) -> None:
            error.annotate(device=self.name, operation="idle")  # the wire does not know whose it is
            callback(error)

        self.transport.on_lost(noticed)

    def _set_up(self) -> None:  # noqa: B027  # not every driver has something to prepare
        """Prepare what the driver keeps: its link, its state. Nothing is open yet."""

    @abstractmethod
    async def _connect(self) -> Identity:
        """Open the link, identify, make safe."""

    @abstractmethod
    async def identify(self) -> Identity:
        """Ask the device who it is. Harmless: also used as the heart-beat of an idle device."""

    @abstractmethod
    async def make_safe(self) -> None:
        """Less energy and no motion: source off and verified, motion stopped. Never a retract, home or tilt."""
