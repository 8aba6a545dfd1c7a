"""Modbus RTU relay board as the switch of an electrical feedthrough.

Source: the board maker's wiki (Waveshare "Modbus RTU Relay": 9600 8N1, unit 1, functions 01, 05, 15, latching
variants); the frames are in `modbus_rtu`. Not used, because no standard knows them: coil 0x00FF for all relays, and the
value 0x5500, which toggles and so can never be repeated. Broadcasts are never sent.

A board's reply tells that its coil register changed, not that a contact moved; what can be proven is the register.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import DeviceError, DeviceLost, InvalidValue, LinkError, ProtocolError
from ..interfaces import Feedthrough, FeedthroughCapabilities, Identity, Options, option
from ..interfaces.feedthrough import OPEN
from ..quantities import quantity
from ..queries import ask_again
from ..transports import Conversation, Link
from ..uninterrupted import to_the_end
from .modbus_rtu import (
    ILLEGAL_ADDRESS,
    ILLEGAL_FUNCTION,
    ReadCoils,
    Request,
    WriteCoil,
    WriteCoils,
    read_reply,
    silence_s,
)

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"[a-z0-9_-]{1,32}")
_QUIET_S = 0.2
_EXAMPLE = "such as {feedthrough = [0], stage-ground = [1]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusRelayOptions(Options):
    """`routes` after construction: name to the frozenset of coils that are on, `open` (none) included."""

    unit: int = option(1, help="the board's unit address, 1 to 255 (0 is broadcast and never used)")
    routes: Mapping[str, Any] = option(
        help=f"route names and the coils that each closes, {_EXAMPLE}; 'open' (none) is always there",
        default_factory=dict,
    )
    coils: int = option(8, help="how many relays the board has")
    release_s: float = option(0.05, unit="s", help="wait after opening, until contacts are surely apart")
    bounce_s: float = option(0.02, unit="s", help="wait after closing, until contacts have stopped bouncing")
    timeout_s: float = option(1.0, unit="s", help="how long the board may take to answer")

    def __post_init__(self) -> None:
        _whole("unit", self.unit, 1, 255)
        _whole("coils", self.coils, 1, 256)
        for name in ("release_s", "bounce_s", "timeout_s"):
            value = quantity(getattr(self, name), "s", field=name)
            if value < 0:
                raise InvalidValue(f"{name} is {value!r}; accepted: a time of 0 s or more")
            object.__setattr__(self, name, value)
        object.__setattr__(self, "routes", _routes(self.routes, self.coils))


def _whole(name: str, value: Any, lowest: int, highest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise InvalidValue(f"{name} is {value!r}; accepted: a whole number from {lowest} to {highest}")


def _routes(table: Any, coils: int) -> dict[str, frozenset[int]]:
    if not isinstance(table, Mapping):
        raise InvalidValue(f"routes is {table!r}; a table is accepted, {_EXAMPLE}")
    routes: dict[str, frozenset[int]] = {OPEN: frozenset()}
    for name, given in table.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidValue(f"routes: {name!r} is no name; accepted: 1 to 32 of a-z, 0-9, _ and -")
        if not isinstance(given, list | tuple | set | frozenset):
            raise InvalidValue(f"routes: {name} is {given!r}; a list of coil numbers is accepted, such as [0]")
        for coil in given:
            _whole(f"routes: a coil of {name}", coil, 0, coils - 1)
        mask = frozenset(given)
        if (name == OPEN) != (not mask):
            wanted = "no coils, since it means that nothing is connected" if name == OPEN else "at least one coil"
            raise InvalidValue(f"routes: {name} is {given!r}; it takes {wanted}")
        for other, taken in routes.items():
            if other != name and taken == mask:
                raise InvalidValue(f"routes: {name} and {other} close the same coils, so they cannot be told apart")
        routes[name] = mask
    return routes


class ModbusRelay(Feedthrough):
    """Routes are sets of relays. The state is always read from the board, never remembered: boards with latching relays
    keep it through a power loss, and a hand may press the board's buttons.
    """

    options_type: ClassVar[type[Options]] = ModbusRelayOptions
    wire_defaults: ClassVar[dict[str, dict[str, str]]] = {"serial": {"baud": "9600"}}
    options: ModbusRelayOptions

    def _set_up(self) -> None:
        self._silence_s = silence_s(self.transport.address.integer("baud", 9600))
        self._link = Link(self.transport, self._synchronise, name=self.name, quiet_s=_QUIET_S)
        self._switching = asyncio.Lock()
        self._one_by_one = False

    @property
    def capabilities(self) -> FeedthroughCapabilities:
        return FeedthroughCapabilities(tuple(self.options.routes), self.options.release_s + self.options.bounce_s)

    async def _connect(self) -> Identity:
        self._one_by_one = False
        await self._link.open()
        return await self.identify()

    async def identify(self) -> Identity:
        """Relay boards have no identity to ask for; that the coils can be read is all there is."""
        await self._closed("identify")
        return Identity("", f"Modbus RTU relay board, unit {self.options.unit}, {self.options.coils} coils")

    async def route(self) -> str:
        closed = await self._closed("route")
        name = self._name_of(closed)
        if name is None:
            raise DeviceError(
                f"{_relays(closed)} closed, which is none of the routes {', '.join(self.options.routes)}",
                device=self.name,
                operation="route",
                hint="Select 'open' to open all relays, or correct the option routes.",
                closed=sorted(closed),
            )
        return name

    async def select(self, route: str) -> str:
        """A route that the board says is closed already is left alone: no contact wears, none opens under current."""
        target = self.options.routes.get(route)
        if target is None:
            raise InvalidValue(
                f"route is {route!r}; accepted: {', '.join(self.options.routes)}",
                device=self.name,
                operation="select",
                hint=f"Other routes are named by the option routes, {_EXAMPLE}.",
            )
        async with self._switching:
            if await self._closed("select") != target:
                await self._break_before_make(target, route)
        return route

    async def _break_before_make(self, target: frozenset[int], route: str) -> None:
        await self._switch(frozenset(), route)
        await self.clock.sleep(self.options.release_s)
        if not target:
            return
        try:
            await self._switch(target, route)
        except DeviceLost:
            raise
        except (DeviceError, LinkError) as error:
            await self._open_after(error)
            raise
        except asyncio.CancelledError:
            # some of the relays of a route may be closed, which is no route
            with suppress(DeviceError, LinkError):
                await to_the_end(self._switch(frozenset(), OPEN))
            raise
        await self.clock.sleep(self.options.bounce_s)

    def _name_of(self, closed: frozenset[int]) -> str | None:
        return next((name for name, mask in self.options.routes.items() if mask == closed), None)

    async def _switch(self, target: frozenset[int], route: str) -> None:
        """Write the coils and read them back. A write whose reply went wrong is not repeated: the read-back decides."""
        failure: LinkError | None = None
        try:
            await self._write(target)
        except DeviceLost:
            raise
        except LinkError as error:
            failure = error
        closed = await self._closed("read back")
        if closed == target:
            return
        if failure is not None:
            raise failure
        raise DeviceError(
            f"the board was told to have {_relays(target)} closed and reads back {_relays(closed)} closed",
            device=self.name,
            operation=f"select {route}",
            hint="A relay or its driver is stuck; do not use this feedthrough until the board is repaired.",
            closed=sorted(closed),
        )

    async def _open_after(self, error: DeviceError | LinkError) -> None:
        """Open everything after a failed switch, and add to the error what came of it."""
        try:
            await self._switch(frozenset(), OPEN)
        except (DeviceError, LinkError) as second:
            error.message += f"; opening all relays failed too: {second.message}"
        else:
            error.message += "; all relays were opened"

    async def _closed(self, operation: str) -> frozenset[int]:
        request = ReadCoils(self.options.unit, self.options.coils)

        async def ask() -> frozenset[int]:
            async with self._link.transaction(operation) as conversation:
                return request.decode(await self._exchange(conversation, request))

        return await ask_again(ask)

    async def _write(self, target: frozenset[int]) -> None:
        unit = self.options.unit
        if not self._one_by_one:
            try:
                await self._write_one(WriteCoils(unit, self.options.coils, target))
                return
            except DeviceError as error:
                if error.detail.get("code") != ILLEGAL_FUNCTION:
                    raise
                _LOG.info("%s: the board does not know function 15; its relays are switched one by one", self.name)
                self._one_by_one = True
        for coil in range(self.options.coils):
            if coil not in target:
                await self._write_one(WriteCoil(unit, coil, False))
        for coil in sorted(target):
            await self._write_one(WriteCoil(unit, coil, True))

    async def _write_one(self, request: WriteCoil | WriteCoils) -> None:
        async with self._link.transaction("write coils") as conversation:
            data = await self._exchange(conversation, request)
            if data != request.echo:
                raise ProtocolError(f"the board confirmed {data.hex(' ')} instead of {request.echo.hex(' ')}")

    async def _exchange(self, conversation: Conversation, request: Request) -> bytes:
        await self.clock.sleep(self._silence_s)
        await conversation.send(request.frame())
        try:
            return await read_reply(conversation, request, self.options.timeout_s)
        except DeviceError as error:
            if error.detail.get("code") == ILLEGAL_ADDRESS:
                error.hint = f"Option coils is {self.options.coils}: set it to the number of relays of the board."
            raise

    async def _synchronise(self, conversation: Conversation) -> None:
        """A board answers in the order it was asked, so one reply and then silence means that none is outstanding."""
        request = ReadCoils(self.options.unit, self.options.coils)
        try:
            request.decode(await self._exchange(conversation, request))
        except DeviceError:
            return  # an exception in due form is an answer to this question; the caller's own will say it again
        extra = await conversation.drain(_QUIET_S)
        if extra:
            raise ProtocolError("more than one reply came to one question", received=extra)


def _relays(coils: frozenset[int]) -> str:
    if not coils:
        return "no relay"
    return ("relay " if len(coils) == 1 else "relays ") + ", ".join(str(coil) for coil in sorted(coils))
