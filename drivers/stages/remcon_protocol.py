"""The RemCon32 conversation: commands, two-line replies, error numbers, stage readings.

Sources: delmic/odemis `src/odemis/driver/zeiss.py` and ScopeFoundry/HW_zeiss_sem `remcon32.py` (framing, error numbers,
C95, STG, ABO, IST?, SCM); the sheet `protocols/motion.md` section 1 lists what they disagree on.

A command ends in CR; an LF after it is optional on the real tool, wanted by some compatible servers and taken for the
first character of the next command by others. The reply has two lines: `@` accepted or `#` rejected, then `>` and the
data, or `*` and an error number (`* 603` has been seen with a space).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from ..errors import DeviceError, DeviceTimeout, ProtocolError, WrongDevice
from ..transports import Conversation
from ..transports.lines import read_line

ERRORS: dict[int, str] = {
    600: "unknown command",
    601: "wrong number of parameters",
    602: "wrong type of a parameter",
    603: "parameter out of range",
    604: "command timed out",
    605: "catastrophic error, the system must be rebooted",
    611: "unexpected abort of external control",
    613: "parameter cannot be attained",
    614: "option not fitted",
    615: "that parameter cannot be changed",
    616: "that command cannot be executed",
    617: "command too long",
}

#: Codes that mean that the server does not have the verb at all; None is a bare `#`.
MISSING_VERB = (None, 600, 614)

_WHICH_PORT = "Is this the port that leads to the PC with RemCon32?"
_ACKNOWLEDGE_S = 1.0
_RESULT_S = 10.0
#: how long a server may take to acknowledge CR before it is offered the LF of CR LF
_FIND_END_S = 0.5
_AFTER_REJECTION_S = 0.2
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
_PLAIN = re.compile(r"-?\d+(\.\d+)?")
_MICRO = Decimal("1e-6")
_TURN = Decimal(360)
#: Of any axis, in mm or degrees; beyond these a number was damaged on its way.
_SMALLEST, _LARGEST = Decimal("1e-12"), Decimal("1e6")
_LONGEST = 32


async def ask(conversation: Conversation, command: str, end: bytes) -> str:
    """One command and the data of its reply ("" for a set command).

    Raises `DeviceError` (`detail["code"]` is the tool's number, None after a bare rejection), `ProtocolError`,
    `DeviceTimeout`, `DeviceLost`.
    """
    await conversation.send(command.encode("ascii") + end)
    return await read_reply(conversation, command)


async def send_to_unknown(conversation: Conversation, command: str) -> bytes:
    """Send a command to a server whose line end is not known. Returns the line end; the reply is there to be read."""
    await conversation.send(command.encode("ascii") + b"\r")
    try:
        first = await conversation.read_some(_FIND_END_S)
    except DeviceTimeout:
        await conversation.send(b"\n")  # completes the CR LF that this server seems to be waiting for
        return b"\r\n"
    conversation.unread(first)
    conversation.received = b""
    return b"\r"


async def read_reply(conversation: Conversation, command: str) -> str:
    """Both lines; the second may take seconds where the first came at once."""
    first = (await read_line(conversation, _ACKNOWLEDGE_S)).strip()
    if first == b"#":
        raise await _rejection(conversation, command)
    if first != b"@":
        raise ProtocolError(f"the tool answered {command!r} with {first!r}; @ or # was expected")
    second = (await read_line(conversation, _RESULT_S)).decode("latin-1").strip()
    if second.startswith(">"):
        return second[1:].strip()
    if second.startswith("*"):
        raise _failure(command, second)
    raise ProtocolError(f"the tool answered {command!r} with {second!r}; > or * was expected")


async def _rejection(conversation: Conversation, command: str) -> DeviceError:
    """Some servers send a second line after `#`, some do not: wait a little, then begin afresh."""
    try:
        second = (await read_line(conversation, _AFTER_REJECTION_S, gap_s=_AFTER_REJECTION_S)).decode("latin-1").strip()
    except DeviceTimeout:
        second = ""
    await conversation.drain(0.0)
    if second.startswith("*"):
        return _failure(command, second)
    return DeviceError(f"the tool rejected {command!r}", code=None)


def _failure(command: str, line: str) -> DeviceError:
    digits = line[1:].strip()
    if not digits.isdecimal():
        raise ProtocolError(f"the tool answered {command!r} with {line!r}; a number was expected after *")
    code = int(digits)
    meaning = ERRORS.get(code, "a number that is not documented")
    return DeviceError(f"the tool refused {command!r} with error {code}, {meaning}", code=code)


@dataclass(frozen=True, slots=True)
class Reading:
    """Answer to `C95?`: x, y, z, tilt, rotation, m as the tool wrote them (mm and degrees), and the moving flag."""

    texts: tuple[str, ...]
    moving: bool

    @property
    def values(self) -> tuple[Decimal, ...]:
        return tuple(Decimal(text) for text in self.texts)

    @staticmethod
    def parse(answer: str) -> Reading:
        """Raises `ProtocolError` unless it is seven numbers, the last one 0 or 1."""
        fields = answer.split()
        if len(fields) != 7 or not all(map(_is_plausible, fields)) or Decimal(fields[6]) not in (0, 1):
            raise ProtocolError(
                f"the tool gave {answer!r} as the stage's position; six numbers and a moving flag were expected"
            )
        return Reading(tuple(fields[:6]), Decimal(fields[6]) == 1)


def _is_plausible(text: str) -> bool:
    """A number of mm or degrees that a stage may have, and that can be sent back to it as it is."""
    if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
        return False
    size = abs(Decimal(text))
    return size == 0 or _SMALLEST <= size < _LARGEST


def require_smartsem(version: str) -> None:
    """Raises `WrongDevice` for the name of something else."""
    if not any(word in version.lower() for word in ("smartsem", "remcon")):
        raise WrongDevice(f"the device calls itself {version!r}; SmartSEM was expected", hint=_WHICH_PORT)


async def prove_stage(conversation: Conversation, end: bytes, refusal: DeviceError) -> None:
    """A server that refused `VER?` must know where its stage is. Raises `WrongDevice`, `ProtocolError`."""
    try:
        answer = await ask(conversation, "C95?", end)
    except DeviceError as error:
        raise WrongDevice(f"no RemCon32: {refusal.message}, and {error.message}", hint=_WHICH_PORT) from error
    Reading.parse(answer)


def kept(text: str, *, rotation: bool = False) -> str:
    """An axis that is to stay, as the tool wrote it; rewritten only where the tool would not take its own writing."""
    value = Decimal(text)
    if rotation and not 0 <= value < _TURN:
        value %= _TURN
        return format(value + _TURN if value < 0 else value, "f")
    return text if _PLAIN.fullmatch(text) else format(value, "f")


def changed(value: Decimal, *, rotation: bool = False) -> str:
    """An axis that is to move, in mm or degrees with six decimals: a nanometre, far below any stage's resolution."""
    rounded = value.quantize(_MICRO)
    if rotation:
        rounded %= _TURN
        rounded += _TURN if rounded < 0 else 0
    return format(rounded + 0, "f")
