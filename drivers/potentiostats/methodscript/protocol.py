"""Commands, replies and errors of the communication protocol; nothing about techniques.

A command is a line that ends in LF; the reply begins with an echo of its first character. An error is `<echo>!XXXX`;
after it the device is deaf for 50 to 100 ms. Sources: PalmSens MethodSCRIPT_Examples at bd1a44a (Example_Python
palmsens/instrument.py: `abort_and_sync`, `t`, `i`, `v`); palmsens-sdk at 39c885d (comm_registry.py: command table, CC
and CM); two third-party drivers that cite "Communication protocol for EmStat4 v1.3" and "... EmStat Pico v1.6": `l` and
`r`, 150 ms after an error, an empty line after a runtime error.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from ...clock import Clock
from ...errors import DeviceError, DeviceTimeout, LinkError, OutOfSync, PicobridgeError, ProtocolError
from ...transports import Conversation
from .errors_table import error_text
from .models import BOOTLOADER, MODELS
from .stream import CONTROLS, ErrorLine, error_in

#: how long after an error reply the device takes no command
DEAF_S = 0.15
_QUIET_S = 0.02
#: empty lines before a reply that are taken for the end of something earlier
_STRAY_ENDS = 2
#: an unknown command is refused within this time
_REFUSAL_S = 0.1
NOT_POSSIBLE_NOW = 0x0006

_VERSION = re.compile(r"(\d*)(?:#.*)?")


@dataclass(frozen=True, slots=True)
class Firmware:
    """Reply to `t`: device code, version (1.5.00), and whether it is a released one."""

    code: str
    version: str
    released: bool


def parse_firmware(lines: list[str]) -> Firmware:
    """`tes4_lr1500#Mar 12 2026 14:28:01` and `R*`: six characters (the bootloader: five) of type, version, `#`, date.

    Raises `ProtocolError`.
    """
    text = lines[0][1:]
    code = next((known for known in (*MODELS, BOOTLOADER) if text.startswith(known)), text[:6])
    match = _VERSION.fullmatch(text[len(code) :])
    if match is None or not lines[0].startswith("t") or not lines[-1].endswith("*"):
        raise ProtocolError(f"{' '.join(lines)!r} is no reply of a MethodSCRIPT instrument to t")
    digits = match[1]
    if len(digits) == 4:
        version = f"{digits[0]}.{digits[1]}.{digits[2:]}"
    elif len(digits) == 2:
        version = f"{digits[0]}.{digits[1]}"
    else:
        version = digits
    return Firmware(code, version, released="B" not in lines[-1])


def parse_capabilities(reply: str) -> int:
    """The bit field in a reply to CC or CM, after the echo. Raises `ProtocolError`."""
    match = re.fullmatch(r"(?:C[CM]?)?([0-9A-Fa-f]{64}|[0-9A-Fa-f]{1,63})", reply)
    if match is None:
        raise ProtocolError(f"{reply!r} is no bit field of capabilities")
    return int(match[1], 16)


def device_error(error: ErrorLine, script: list[str] | None = None) -> DeviceError:
    """The device's error in words, with the script's line if it names one."""
    message = f"error {error.code:04X}: {error_text(error.code)}"
    if error.line is not None:
        message += f", in line {error.line} of the script"
        if script is not None and 1 <= error.line <= len(script):
            message += f" ({script[error.line - 1]!r})"
        if error.column is not None:
            message += f", column {error.column}"
    return DeviceError(message, code=error.code, line=error.line, column=error.column)


class Protocol:
    """The commands, over a conversation that is handed in.

    `answered`: something that only a MethodSCRIPT instrument says has come since this was last set to False;
    `identified`: the last reply to `t`.
    """

    def __init__(self, clock: Clock, abort_timeout_s: float, reply_timeout_s: float = 2.0) -> None:
        self._clock = clock
        self.abort_timeout_s = abort_timeout_s
        self.reply_timeout_s = reply_timeout_s
        self.answered = False
        self.identified: Firmware | None = None

    async def read_line(self, talk: Conversation, timeout_s: float | None = None) -> str:
        """One line without control characters; may be empty. Raises `DeviceTimeout`, `DeviceLost`, `ProtocolError`."""
        allowed_s = self.reply_timeout_s if timeout_s is None else timeout_s
        line = await talk.read_until(b"\n", allowed_s, limit=1 << 16)
        return line.translate(None, CONTROLS).decode("ascii", "replace")

    async def ask(self, talk: Conversation, command: str) -> str:
        """The reply line to a command, echo included. Raises `DeviceError` (the device hears again), `LinkError`s."""
        await talk.send(f"{command}\n".encode("ascii"))
        return await self._reply(talk, command[0])

    async def firmware(self, talk: Conversation) -> Firmware:
        """Raises `ProtocolError` if what answers is no MethodSCRIPT instrument."""
        lines = [await self.ask(talk, "t")]
        while not lines[-1].endswith("*") and len(lines) < 4:
            lines.append(await self.read_line(talk))
        self.identified = parse_firmware(lines)
        self.answered = True
        return self.identified

    async def synchronise(self, talk: Conversation) -> None:
        """End whatever script runs and prove that the device answers in step. For `Link`."""
        try:
            await self.quiet(talk)
            await self.firmware(talk)
        except (LinkError, DeviceError):
            await self._clock.sleep(DEAF_S)
            raise

    async def quiet(self, talk: Conversation, end_timeout_s: float | None = None) -> bool:
        """Abort a running script and wait for its end (at most `end_timeout_s`); returns whether one was running.

        The first LF ends a command that somebody left unfinished. Data of the old run comes before the echo of Z.
        """
        await talk.send(b"\nZ\n")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.reply_timeout_s
        asked_again = False
        while not (line := await self.read_line(talk, max(0.0, deadline - loop.time()))).startswith("Z"):
            if error_in(line.encode("ascii", "replace")) is not None and not asked_again:
                await self.recover(talk)  # it was deaf to the Z behind what it did not understand
                asked_again = True
                await talk.send(b"Z\n")
        if error_in(line.encode("ascii", "replace")) is not None:
            self.answered = True
            await self.recover(talk)
            return False
        allowed_s = self.abort_timeout_s if end_timeout_s is None else end_timeout_s
        deadline = loop.time() + allowed_s
        while line:
            try:
                line = await self.read_line(talk, max(0.0, deadline - loop.time()))
            except DeviceTimeout as silence:
                silence.message = f"the running script took the abort but did not end within {allowed_s:g} s"
                raise
            if line.startswith("!"):
                await self.recover(talk)
                return True
        return True

    async def recover(self, talk: Conversation) -> None:
        """Wait until the device hears again after an error, and discard what it said meanwhile."""
        await self._clock.sleep(DEAF_S)
        await talk.drain(_QUIET_S)

    async def load(self, talk: Conversation, command: str, script: list[str]) -> None:
        """Send a script by `l` (load only) or `e` (load and run). Raises `DeviceError` if refused: nothing moved."""
        await talk.send("".join(f"{line}\n" for line in (command, *script, "")).encode("ascii"))
        await self._reply(talk, command, script)

    async def start(self, talk: Conversation) -> None:
        """Run what was loaded."""
        await self.ask(talk, "r")

    async def loads_apart(self, talk: Conversation) -> bool:
        """Whether the device has `l` and `r`, found out with a script of nothing but `cell_off`.

        A device without `l` would take the lines that follow it for commands, so the script waits for a refusal first.
        """
        try:
            await talk.send(b"l\n")
            try:
                line = await self.read_line(talk, _REFUSAL_S)
            except DeviceTimeout:
                await talk.send(b"cell_off\n\n")
                line = await self.read_line(talk)
            await self._checked(talk, line, "l", ["cell_off"])
            await self.start(talk)
            await self._end_of_cell_off(talk)
        except DeviceError:
            return False
        return True

    async def cell_off(self, talk: Conversation) -> None:
        """Run a script of nothing but `cell_off` to its end. Raises `DeviceError`, `LinkError`s."""
        await self.load(talk, "e", ["cell_off"])
        await self._end_of_cell_off(talk)

    async def _end_of_cell_off(self, talk: Conversation) -> None:
        line = await self.read_line(talk)
        if line:
            error = error_in(line.encode("ascii", "replace"))
            if error is None:
                raise ProtocolError(f"{line!r} came where cell_off should have ended")
            await self.recover(talk)
            raise device_error(error, ["cell_off"])

    async def _reply(self, talk: Conversation, echo: str, script: list[str] | None = None) -> str:
        line = await self.read_line(talk)
        for _ in range(_STRAY_ENDS):
            if not line:
                line = await self.read_line(talk)
        return await self._checked(talk, line, echo, script)

    async def _checked(self, talk: Conversation, line: str, echo: str, script: list[str] | None = None) -> str:
        """`line`, if it is a reply to `echo`. Raises `DeviceError` for its refusal."""
        error = error_in(line.encode("ascii", "replace"))
        if error is not None and line.startswith(("!", f"{echo}!")):
            await self.recover(talk)
            raise device_error(error, script)
        if error is not None:
            await self.recover(talk)  # the opinion of another command, or of this one damaged on its way
        if not line.startswith(echo):
            raise ProtocolError(f"{line!r} came where a reply to {echo!r} was expected")
        return line


def hint_for_lost_reply(error: PicobridgeError) -> None:
    """Of a device that has answered already: what it said cannot be a matter of address or baud rate."""
    if isinstance(error, OutOfSync) or (isinstance(error, DeviceTimeout) and error.hint == error.default_hint):
        error.hint = (
            "The instrument answered before, so address and baud rate are right: a reply was lost or damaged, or it has"
            " stopped. Try again; if it stays, check the cable, power-cycle it, see that it is the right instrument."
        )


def hint_for_silence(error: LinkError, address: str, baud: str) -> None:
    """Say which other baud rate to try."""
    other = "921600" if baud != "921600" else "230400"
    plain = address.partition("?")[0]
    error.hint = (
        f"No answer in step at {baud} baud. EmStat Pico and Sensit talk at 230400, EmStat4 and Nexus at 921600:"
        f" try {plain}?baud={other}. Is the instrument switched on, and is it this port?"
    )
