"""What a New Focus / Newport 8742 says and is told.

Sources: the maker's command texts as quoted in quartiq/newfocus8742 at 5614c0c (`protocol.py`) and in the 8743-CL
manual (page 113, `TB?`); behaviour from delmic/odemis at a673eab (`nfpm.py`), AlexShkarin/pyLabLib at dfd3273
(`picomotor.py`) and instrumentkit/InstrumentKit at 9405b1e (`newport_pmc8742.py`).

Commands end with CR, replies with CR LF. A command that sets something has no reply: whether it was accepted is in
the error queue (10 deep, each `TB?` takes one, 0 is "empty"). Reading that queue is therefore the end of every
exchange; and as its reply looks like no other, a reply left over from earlier shows there and is never taken for the
answer to something else.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..errors import DeviceError, DeviceTimeout, InvalidValue, ProtocolError
from ..interfaces import Identity
from ..queries import ask_patiently
from ..transports import Conversation, Link, Transport

_LOG = logging.getLogger(__name__)

REPLY_TIMEOUT_S = 1.0
QUIET_S = 0.1
AXES = (1, 2, 3, 4)
STEPS_MIN, STEPS_MAX = -(1 << 31), (1 << 31) - 1
#: Sent by the controller on a new TCP connection (telnet negotiation); it may come late, in parts, or not at all.
GREETING = b"\xff\xfd\x03\xff\xfb\x01"
QUEUE_DEPTH = 10
NO_SUCH_COMMAND = 6

_INTEGER = re.compile(rb"[+-]?\d+")
_DONE = re.compile(rb"[01]")
_ERROR = re.compile(rb"(\d+)\s*,\s*(.*)")
#: A word, not a number: what tells an identity from every other reply.
_IDENTITY = re.compile(rb"[A-Za-z][\x20-\x7e]*")

#: Meanings that we add a way out to. Axis errors are 100 * axis + these.
_HINTS = {
    NO_SUCH_COMMAND: "The controller's firmware does not know this command.",
    9: "Axes are 1 to 4: check option axes.",
}
_AXIS_HINTS = {
    0: "Run the motor check (MC) from the maker's program: it moves each axis by one step and finds the motors.",
    8: "Check the motor's cable at this channel of the controller, and option axes. A motor plugged in since is found "
    "by the motor check (MC) of the maker's program, which moves each axis by a step.",
    10: "Lower the speed: 2000 steps/s at most, 1750 with a tiny motor.",
    14: "One axis moves at a time: wait until the other motion ends (hand pad, another program), or stop it.",
}


class Controller:
    """One controller, by itself or chained (`address` 1 to 31, 0 for none)."""

    def __init__(self, transport: Transport, name: str, address: int = 0) -> None:
        if not 0 <= address <= 31:
            raise InvalidValue(f"option address is {address}; accepted: 0 (a single controller) to 31")
        self._prefix = b"%d>" % address if address else b""
        self._name = name
        self._knows_motors = True
        self._link = Link(transport, self._synchronise, name=name, quiet_s=QUIET_S)

    async def open(self) -> None:
        """Raises `LinkError`s."""
        self._knows_motors = True
        await self._link.open()

    @asynccontextmanager
    async def exchange(self, operation: str) -> AsyncIterator[Exchange]:
        """The wire for oneself. On leaving without error the error queue is read: raises `DeviceError` for what is in
        it.
        """
        async with self._link.transaction(operation) as talk:
            exchange = Exchange(talk, self._prefix)
            yield exchange
            await exchange.check()

    async def motor_type(self, axis: int) -> int | None:
        """0 none, 1 unknown, 2 tiny, 3 standard, as the controller remembers it; None where it cannot be asked,
        which is said once.
        """

        async def ask() -> int | None:
            async with self.exchange("motor type") as exchange:
                return await exchange.motor_type(axis)

        if not self._knows_motors:
            return None
        found = None
        try:
            found = await ask_patiently(ask)
        except DeviceTimeout:
            async with self.exchange("motor type") as exchange:
                await exchange.identity()  # is it silent to everything, or to this question?
        if found is None:
            self._knows_motors = False
            _LOG.warning("%s: the controller does not know QM?, so motor types are not checked", self._name)
        return found

    async def abort(self) -> None:
        """Stop all axes of this controller, now, even in the middle of an exchange: the command has no reply."""
        await self._link.urgent(self._prefix + b"AB\r")

    async def _synchronise(self, talk: Conversation) -> None:
        """Two questions whose answers look different, so that a stray one cannot stand for either."""
        exchange = Exchange(talk, self._prefix)
        await exchange.identity()
        await exchange.errors()


class Exchange:
    """Commands and questions within one transaction."""

    def __init__(self, talk: Conversation, prefix: bytes) -> None:
        self._talk = talk
        self._prefix = prefix
        self._sent = b""

    async def send(self, command: str) -> None:
        """A command without a reply. What the controller thinks of it is said when the exchange ends."""
        self._sent = self._prefix + command.encode("ascii") + b"\r"
        await self._talk.send(self._sent)

    async def integer(self, query: str) -> int:
        number = int(await self._ask(query, _INTEGER))
        if not STEPS_MIN <= number <= STEPS_MAX:
            raise ProtocolError(f"{number} came in answer to {query}, which is more than the controller can count")
        return number

    async def moving(self, axis: int) -> bool:
        return await self._ask(f"{axis}MD?", _DONE) == b"0"

    async def motor_type(self, axis: int) -> int | None:
        """0 none, 1 unknown, 2 tiny, 3 standard, as remembered; None if the firmware does not know the question."""
        try:
            return await self.integer(f"{axis}QM?")
        except DeviceTimeout:
            if any(code == NO_SUCH_COMMAND for code, _ in await self.errors()):
                return None
            raise

    async def identity(self) -> Identity:
        """Such as `New_Focus 8742 v2.2 08/01/13 11511`: make, model, firmware and its date, serial number."""
        text = (await self._ask("*IDN?", _IDENTITY)).decode("ascii")
        words = text.replace(",", " ").split()
        model = next((word for word in words if re.fullmatch(r"\d{4}(-\w+)?", word)), "")
        firmware = re.search(r"\bv\S+( \d\S*/\S+)?", text, re.IGNORECASE)
        serial = words[-1] if len(words) > 3 and words[-1].isalnum() else ""
        return Identity(words[0].replace("_", " "), model, serial, firmware.group() if firmware else "")

    async def errors(self) -> list[tuple[int, str]]:
        """Empty the error queue."""
        found: list[tuple[int, str]] = []
        while True:
            match = _ERROR.fullmatch(await self._ask("TB?", _ERROR))
            assert match is not None
            code, text = int(match[1]), match[2].decode("ascii", "replace")
            if code == 0:
                return found
            found.append((code, text))
            if len(found) > 2 * QUEUE_DEPTH:
                raise ProtocolError(f"the error queue does not end; the last one is {code}, {text}")

    async def check(self) -> None:
        """Raise what is in the error queue as a `DeviceError`."""
        sent = self._sent
        errors = await self.errors()
        if not errors:
            return
        code, text = errors[0]
        axis, number = divmod(code, 100)
        where = f"axis {axis}: " if axis else ""
        others = f" (and {', '.join(f'{c} {t}' for c, t in errors[1:])})" if errors[1:] else ""
        hint = (_AXIS_HINTS if axis else _HINTS).get(number, "")
        raise DeviceError(
            f"{where}error {code}, {text.lower()}{others}",
            sent=sent,
            received=f"{code}, {text}".encode(),
            hint=hint,
            code=code,
            axis=axis or None,
        )

    async def _ask(self, query: str, shape: re.Pattern[bytes]) -> bytes:
        await self.send(query)
        line = await self._talk.read_until(b"\n", REPLY_TIMEOUT_S, limit=512)
        reply = _without_greeting(line).strip()
        if self._prefix:
            if not reply.startswith(self._prefix):
                raise ProtocolError(f"{reply!r} does not begin with the address {self._prefix!r} that was asked")
            reply = reply[len(self._prefix) :].strip()
        if not shape.fullmatch(reply):
            raise ProtocolError(f"{reply!r} is not an answer to {query}")
        return reply


def _without_greeting(line: bytes) -> bytes:
    """A reply without the telnet bytes before it, of which the first ones may have been drained already."""
    line = line.replace(GREETING, b"")
    for start in range(1, len(GREETING)):
        if line.startswith(GREETING[start:]):
            return line[len(GREETING) - start :]
    return line
