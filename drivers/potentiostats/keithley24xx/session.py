"""Commands and queries over the wire, each reply proven to belong to its question."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ...errors import DeviceError, DeviceTimeout, ProtocolError, WrongDevice
from ...interfaces import Identity
from ...transports import Conversation, Link, Transport
from ...transports.lines import read_line
from .options import TERMINATORS, Keithley24xxOptions
from .readings import error_of

#: An error queue longer than this is a wire that repeats itself.
_ERRORS_MAX = 64
#: These questions are answered at once, after a reading under way at most; an output that must go off waits for them.
_SYNC_S = 1.0
_QUIET_S = 0.1
_FLOW_CONTROL = b"\x11\x13"
#: `KEITHLEY INSTRUMENTS INC.,MODEL 6430,1141613,C27   Jul 12 2004 15:47:33/A02  /D/B` and
#: `KEITHLEY INSTRUMENTS,MODEL 2450,01419966,1.6.4c` (both as recorded from instruments in public repositories)
_IDENTITY = re.compile(r"\s*([A-Za-z][^,]*),\s*([^,]+),([^,]*),(.*)", re.DOTALL)


def identity_of(line: str) -> Identity:
    """Raises `ProtocolError` if this is no answer to `*IDN?`, `WrongDevice` if it is that of another make."""
    match = _IDENTITY.fullmatch(line)
    if match is None:
        raise ProtocolError(f"{line!r} is no answer to *IDN?")
    make, model, serial, firmware = (part.strip() for part in match.groups())
    if "KEITHLEY" not in make.upper():
        raise WrongDevice(
            f"a {make} {model} answered, not a Keithley source-measure unit",
            hint="Check the address; `picobridge discover` shows what is plugged in where.",
        )
    name = re.sub(r"(?i)^model\s*", "", model)
    return Identity("Keithley", name, serial, firmware)


class Stopped(Exception):
    """`stop()` was called: not a fault, and nothing was sent."""


class Talk:
    """One transaction: commands and queries, one message each."""

    def __init__(self, session: Session, conversation: Conversation) -> None:
        self._session = session
        self._conversation = conversation

    async def send(self, *commands: str) -> None:
        for command in commands:
            await self._session.write(self._conversation, command)

    async def ask(self, query: str, extra_s: float = 0.0) -> str:
        """The answer's line. `extra_s`: how much longer than usual it may take."""
        await self._session.write(self._conversation, query)
        return await self._session.line(self._conversation, self._session.timeout_s + extra_s)

    async def errors(self) -> list[tuple[int, str]]:
        """Empty the error queue: what was in it, oldest first."""
        found: list[tuple[int, str]] = []
        while len(found) < _ERRORS_MAX:
            code, text = error_of(await self.ask(":SYST:ERR?"))
            if code == 0:
                return found
            found.append((code, text))
        raise ProtocolError(f"the error queue does not end: {_ERRORS_MAX} entries, the last one {found[-1]}")

    async def accept(self, commands: list[str]) -> None:
        """Send settings, and see each one taken. Raises `DeviceError` with the instrument's own words."""
        for command in commands:
            await self.send(command)
            for code, text in await self.errors():
                raise DeviceError(f"error {code:+d}, {text!r}, in answer to {command!r}", code=code)

    async def offer(self, commands: list[str]) -> list[str]:
        """As `accept`, but what is refused is returned in words instead."""
        refused: list[str] = []
        for command in commands:
            await self.send(command)
            refused += [f"{command} (error {code:+d}, {text})" for code, text in await self.errors()]
        return refused


class Session:
    """The link to one instrument.

    Request and reply are paired by writing a number into the standard event enable register and reading it back,
    another one each time: a late answer to anything else, or to an earlier test, does not pass. The register only
    masks a summary bit that nobody here looks at (IEEE 488.2; 2400 manual section 16).
    """

    def __init__(self, transport: Transport, options: Keithley24xxOptions, *, name: str) -> None:
        self.link = Link(transport, self._synchronise, name=name, quiet_s=_QUIET_S)
        self.timeout_s = options.timeout
        self._sync_s = min(options.timeout, _SYNC_S)
        self.terminator = TERMINATORS[options.terminator if options.terminator != "auto" else _usual(transport)]
        self.identity: Identity | None = None
        self._number = 0
        self._echoes: bool | None = None

    async def open(self) -> Identity:
        """Raises `LinkError`s, `WrongDevice` among them."""
        self.identity = None
        self._echoes = None
        await self.link.open()
        assert self.identity is not None
        return self.identity

    @asynccontextmanager
    async def transaction(
        self, operation: str, *, unless: asyncio.Event | None = None, blind: tuple[str, ...] = ()
    ) -> AsyncIterator[Talk]:
        """The wire for oneself. If `unless` is set by the time it is, nothing is sent and `Stopped` raised. `blind` are
        commands that go out first if the wire is out of step."""
        async with self.link.transaction(operation, blind=self._apart(blind)) as conversation:
            stopped = unless is not None and unless.is_set()
            if not stopped:
                yield Talk(self, conversation)
        if stopped:
            raise Stopped

    async def shout(self, *commands: str) -> None:
        """Send without a word of reply, past whatever is under way or out of step."""
        await self.link.urgent(self._apart(commands))

    def _apart(self, commands: tuple[str, ...]) -> bytes:
        """A half-sent command before each is ended first."""
        return b"".join(self.terminator + command.encode("ascii") + self.terminator for command in commands)

    async def write(self, conversation: Conversation, command: str) -> None:
        await conversation.send(command.encode("ascii") + self.terminator)

    async def line(self, conversation: Conversation, timeout_s: float) -> str:
        if self.link.transport.packets:
            data = await conversation.read_some(timeout_s)
        else:
            data = await read_line(conversation, timeout_s, rest_s=self._sync_s, limit=4096)
        try:
            return data.translate(None, _FLOW_CONTROL).decode("ascii").strip()
        except UnicodeDecodeError:
            raise ProtocolError("bytes that are no ASCII text", received=data) from None

    async def _synchronise(self, conversation: Conversation) -> None:
        if self.identity is None:
            # nothing that changes a setting goes to a device that is not known to be ours
            await self.write(conversation, "*IDN?")
            self.identity = identity_of(await self.line(conversation, self._sync_s))
        if self._echoes is not False:
            try:
                await self._echo(conversation)
                self._echoes = True
                return
            except DeviceTimeout:
                if self._echoes:
                    raise
        await self._identify_alone(conversation)
        self._echoes = False

    async def _echo(self, conversation: Conversation) -> None:
        self._number = self._number % 255 + 1
        await self.write(conversation, f"*ESE {self._number}")
        await self.write(conversation, "*ESE?")
        answer = (await self.line(conversation, self._sync_s)).split()
        try:
            returned = int(float(answer[-1]))
        except (ValueError, OverflowError, IndexError):
            raise ProtocolError(f"{' '.join(answer)!r} came where {self._number} was expected") from None
        if returned != self._number:
            raise ProtocolError(f"{returned} came back where {self._number} was sent: an old answer")

    async def _identify_alone(self, conversation: Conversation) -> None:
        """For an instrument that does not know `*ESE?`: its identity, and then silence."""
        await self.write(conversation, "*IDN?")
        if identity_of(await self.line(conversation, self._sync_s)) != self.identity:
            raise ProtocolError("another instrument answered than before")
        stray = await conversation.drain(_QUIET_S)
        if stray.strip():
            raise ProtocolError("something came that nobody asked for", received=stray)


def _usual(transport: Transport) -> str:
    """On RS-232 the 2400 acts on CR (2400 manual section 14); the LF after it is white space to it."""
    address = transport.address
    is_serial = address.kind == "serial" or (address.kind == "visa" and address.target.upper().startswith("ASRL"))
    return "crlf" if is_serial else "lf"
