"""One command, one packet; one packet back. And the proof, after each, that the packet belonged to that command.

Facts (firmware of thomasdob/tdstatv3 and kirkpsmith/mystat): commands are matched by their exact length, an unknown
one is answered `?`; an answer that nobody reads stops the instrument from taking further commands, so a write is
always followed by its read; replies are `OK`, `WAIT`, `?`, or 6 (8) raw bytes.

Every exchange ends by reading the stored offsets again, whose bytes are known: any reply left over from earlier would
turn up in their place. So a late or doubled packet fails the exchange in which it shows, and is never taken for a
sample.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ...errors import DeviceError, DeviceTimeout, ProtocolError
from ...transports import Conversation, Link, Transport
from .codec import MODELS, SAMPLE_BYTES, Calibration

REPLY_TIMEOUT_S = 0.5
QUIET_S = 0.1
_REST_S = 0.05

CELL_ON, CELL_OFF = b"CELL ON", b"CELL OFF"
POTENTIOSTATIC, GALVANOSTATIC = b"POTENTIOSTATIC", b"GALVANOSTATIC"
ADC_READ, OFFSET_READ, SHUNT_READ = b"ADCREAD", b"OFFSETREAD", b"SHUNTCALREAD"


def select_range(index: int) -> bytes:
    return b"RANGE %d" % (index + 1)


def set_dac(code: bytes) -> bytes:
    return b"DACSET " + code


class Session:
    """The instrument's conversation partner. `calibration` is what it told when the link was opened."""

    def __init__(self, transport: Transport, name: str) -> None:
        self._link = Link(transport, self._synchronise, name=name, quiet_s=QUIET_S)
        self._offsets = b""
        self._shunts = b""

    async def open(self) -> Calibration:
        """Open, switch the cell off, read the calibration. Raises `LinkError`s."""
        self._offsets = self._shunts = b""
        await self._link.open()
        return Calibration.of(MODELS[len(self._shunts)], self._offsets, self._shunts)

    @asynccontextmanager
    async def exchange(self, operation: str, *, blind: bytes = b"") -> AsyncIterator[Exchange]:
        """The wire for oneself; on leaving without error, the proof. `blind` goes out first on a wire out of step."""
        async with self._link.transaction(operation, blind=blind) as talk:
            yield Exchange(talk)
            await self._expect(talk, OFFSET_READ, self._offsets)

    async def cell_off(self) -> None:
        """Switch the cell off and prove that the acknowledgement belonged to that.

        On a wire that is out of step the command is first sent blindly, since an instrument whose answers are lost may
        still hear: switching off may be repeated, and must not wait for order on the wire.
        """
        async with self.exchange("cell off", blind=CELL_OFF) as exchange:
            await exchange.command(CELL_OFF)

    async def verify(self, operation: str) -> None:
        """Read the stored calibration again. Raises `ProtocolError` if it is not the one that was read on opening."""
        async with self.exchange(operation) as exchange:
            await self._expect(exchange.talk, SHUNT_READ, self._shunts)

    async def _synchronise(self, talk: Conversation) -> None:
        try:
            if self._offsets:
                await self._expect(talk, SHUNT_READ, self._shunts)
                await self._expect(talk, OFFSET_READ, self._offsets)
            else:
                await self._introduce(talk)
        except DeviceError as error:
            raise ProtocolError(error.message, hint=error.hint) from error

    async def _introduce(self, talk: Conversation) -> None:
        # lengths 2, 6, 6 or 8, 2: a stray packet before any of them shows as a wrong length
        await self._expect(talk, CELL_OFF, b"OK")
        offsets = await _ask(talk, OFFSET_READ, SAMPLE_BYTES)
        shunts = await _ask(talk, SHUNT_READ, *MODELS)
        await self._expect(talk, CELL_OFF, b"OK")
        self._offsets, self._shunts = offsets, shunts

    @staticmethod
    async def _expect(talk: Conversation, command: bytes, reply: bytes) -> None:
        if (received := await _ask(talk, command, len(reply))) != reply:
            raise ProtocolError(f"{received!r} is not the answer to {command.decode()}; {reply!r} was expected")


class Exchange:
    """Commands within one transaction."""

    def __init__(self, talk: Conversation) -> None:
        self.talk = talk

    async def command(self, command: bytes) -> None:
        """Raises `DeviceError` if the instrument does not know the command, `LinkError`s."""
        if (received := await _ask(self.talk, command, 2)) != b"OK":
            raise ProtocolError(f"{received!r} is not an acknowledgement; b'OK' was expected")

    async def sample(self) -> bytes | None:
        """A finished conversion (6 bytes; reading it starts the next one), or None while it is under way."""
        received = await _ask(self.talk, ADC_READ, SAMPLE_BYTES, 4)
        if received == b"WAIT":
            return None
        if len(received) != SAMPLE_BYTES:
            raise ProtocolError(f"{received!r} is not a sample; 6 bytes or b'WAIT' were expected")
        return received


async def _ask(talk: Conversation, command: bytes, *lengths: int) -> bytes:
    await talk.send(command)
    received = await _reply(talk, command, lengths)
    if received == b"?":
        raise DeviceError(
            f"the instrument did not understand {command!r}",
            code="?",
            hint="If this stays, its firmware differs from the published TDstatv3 and MYSTAT ones.",
        )
    return received


async def _reply(talk: Conversation, command: bytes, lengths: tuple[int, ...]) -> bytes:
    """A reply of one of `lengths`, or `?`. It is one packet, but one that was cut on the way is put together again."""
    received = await talk.read_some(REPLY_TIMEOUT_S)
    while len(received) < max(lengths):
        if received == b"WAIT" and len(received) in lengths:
            break
        try:
            received += await talk.read_some(_REST_S)
        except DeviceTimeout:
            break
    talk.received = received
    if len(received) not in lengths and received != b"?":
        accepted = " or ".join(str(length) for length in lengths)
        raise ProtocolError(f"{len(received)} bytes in answer to {command!r}; {accepted} were expected")
    return received
