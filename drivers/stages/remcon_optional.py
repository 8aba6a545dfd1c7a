"""What not every RemCon32-compatible server has: initialisation state, specimen current monitor."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable

from ..errors import DeviceError, LinkError, ProtocolError, Refused
from ..queries import ask_again
from .remcon_protocol import MISSING_VERB

_LOG = logging.getLogger(__name__)


class OptionalVerbs:
    """`ask` sends one command and returns the data of its answer, as `remcon_protocol.ask` does. `missing` holds, by
    command, what the server was found to lack and what that means.
    """

    def __init__(self, ask: Callable[[str], Awaitable[str]], *, name: str) -> None:
        self._ask = ask
        self._name = name
        self.missing: dict[str, str] = {}
        self._probe_tells_monitor: bool | None = None

    def forget(self) -> None:
        """Another server may answer after a reconnection."""
        self.missing.clear()
        self._probe_tells_monitor = None

    async def version(self) -> str | None:
        """What the server calls itself; None where it does not say."""
        return await self._optional("VER?", "the server was known by its answer to C95? and not by a name")

    async def monitor_is_on(self) -> bool:
        """False also where it cannot be told."""
        return self._probe_tells_monitor is not False and await self._probe_answers()

    async def require_initialised(self) -> None:
        answer = await self._optional("IST?", "whether the stage is initialised cannot be asked for")
        if answer is None:
            return
        fields = answer.split()
        if len(fields) < 2 or not all(re.fullmatch(r"-?\d+(\.\d*)?", field) for field in fields):
            raise ProtocolError(
                f"the tool answered IST? with {answer!r}; a type and a flag were expected",
                device=self._name,
                operation="move",
            )
        if float(fields[1]) != 0:
            raise Refused(
                "the stage is not initialised, so its position is not known",
                device=self._name,
                operation="move",
                hint="Initialise it in SmartSEM, where the chamber can be seen.",
            )

    async def monitor_off(self) -> bool:
        """Returns whether the specimen current monitor was on and is to be restored after the move."""
        answered = await self._probe_answers()
        off = await self._optional("SCM 0", "the specimen current monitor cannot be switched off; mind the touch alarm")
        if off is None:  # a server without SCM answers PRB? whatever the monitor does
            self._probe_tells_monitor = False
        if off is None or not answered:
            return False
        self._probe_tells_monitor = not await self._probe_answers()
        return self._probe_tells_monitor

    async def monitor_on(self) -> None:
        """After a good move only: after a bad one the touch alarm had better stay awake."""
        try:
            await self._ask("SCM 1")
        except (DeviceError, LinkError) as error:  # the move itself is done, and that is what was asked for
            _LOG.warning("%s: the specimen current monitor could not be switched on again: %s", self._name, error)

    async def _probe_answers(self) -> bool:
        try:
            return await self._optional("PRB?", "whether the specimen current monitor is on cannot be told") is not None
        except DeviceError:
            return False

    async def _optional(self, command: str, note: str) -> str | None:
        """The answer, or None where the server lacks the verb, which is noted and said once."""
        if command in self.missing:
            return None
        try:
            # each of these may be asked twice: two are questions, and what is off stays off
            return await ask_again(lambda: self._ask(command))
        except DeviceError as error:
            if error.detail.get("code") not in MISSING_VERB:
                raise
            self.missing[command] = f"no {command}: {note}"
            _LOG.warning("%s: the server has %s", self._name, self.missing[command])
            return None
