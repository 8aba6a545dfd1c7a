"""Stage of a Carl Zeiss SEM or Crossbeam through SmartSEM's RemCon32.

The protocol is in `remcon_protocol`. What this driver makes of it:

- The tool has neither relative nor single-axis moves: all six axes are read, some are changed, all six are sent, the M
  axis of a super-eucentric stage as it was read. The two sources that send 0 for it would move it.
- `>` after a move only means accepted, and the moving flag may lag by about 1 s (vendor documentation, by way of
  odemis). So idle is believed only 1 s after the command, or once the flag has been seen to rise and fall.
- The touch alarm is blind while the specimen current monitor is on (two labs), so `SCM 0` goes before a move. The
  monitor's state cannot be asked for; `PRB?` answers while it is on and fails while it is off (ScopeFoundry), which is
  used only where the answer is seen to stop with `SCM 0`.
- Compatible servers implement subsets: `VER?`, `IST?`, `SCM`, `PRB?` may be missing, and `capabilities.notes` then says
  so. A server without `VER?` is known by a well-formed answer to `C95?`.
- `stop` waits for the exchange under way, which on a working link is one poll (about 50 ms), then sends `ABO`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import ClassVar

from ..errors import (
    Busy,
    DeviceError,
    DeviceLost,
    DeviceTimeout,
    InvalidValue,
    LinkError,
    MoveFailed,
    PicobridgeError,
    ProtocolError,
    Refused,
    Unsupported,
)
from ..interfaces import Identity, Options, Stage, StageCapabilities, StagePosition, TouchAlarm
from ..motion import lost_in_motion
from ..queries import ask_again
from ..transports import Conversation, Link
from .remcon_optional import OptionalVerbs
from .remcon_options import AXES, ROTATION, TERMINATORS, ZeissRemconOptions, check_limit, to_si, to_tool
from .remcon_protocol import (
    MISSING_VERB,
    Reading,
    ask,
    changed,
    kept,
    prove_stage,
    read_reply,
    require_smartsem,
    send_to_unknown,
)

_LOG = logging.getLogger(__name__)

_QUIET_S = 0.2
#: for how long after a command the moving flag cannot be trusted
_START_S = 1.0
_STOP_S = 10.0
_STOP_AGAIN_S = 0.5  # for a stage that has outlasted an ABO already
_ATTEMPTS = 3
_MAY_BE_MOVING = "The stage may still be moving: look into the chamber, and stop it in SmartSEM or at its joystick."


class ZeissRemcon(Stage):
    """See the module. One move at a time: a second one is refused as `Busy`; `stop` may be called at any time."""

    options_type: ClassVar[type[Options]] = ZeissRemconOptions
    wire_defaults: ClassVar[dict[str, dict[str, str]]] = {"serial": {"baud": "9600"}}
    options: ZeissRemconOptions

    def _set_up(self) -> None:
        self._end = TERMINATORS[self.options.terminator]
        self._link = Link(self.transport, self._synchronise, name=self.name, quiet_s=_QUIET_S)
        self._move_lock = asyncio.Lock()
        self._stops = 0
        self._commanded_s = -math.inf
        self._deaf_to_abort = False
        self._optional = OptionalVerbs(lambda command: self._ask("move", command), name=self.name)

    @property
    def capabilities(self) -> StageCapabilities:
        return StageCapabilities(
            limits=dict(self.options.limits),
            tolerance_m=self.options.tolerance_m,
            tolerance_deg=self.options.tolerance_deg,
            notes=(
                "RemCon32 does not tell whether the touch alarm is armed or tripped",
                *self._optional.missing.values(),
            ),
        )

    # --- life ------------------------------------------------------------------------------------------------------

    async def _connect(self) -> Identity:
        self._optional.forget()
        await self._link.open()
        identity = await self.identify()
        await self.make_safe()
        return identity

    async def identify(self) -> Identity:
        """`VER?`, such as "SmartSEM Remote Control V06.01, February 2016"; `C95?` where there is none. Raises
        `WrongDevice`.
        """
        version = await self._optional.version()
        if version is None:
            await ask_again(self._read)
            return Identity("", "RemCon-compatible server")
        require_smartsem(version)
        match = re.search(r"\s+(V\d.*)", version)
        model = version[: match.start()] if match else version
        return Identity("Zeiss", model, firmware=match.group(1) if match else "")

    async def make_safe(self) -> None:
        """Stop the stage if it moves. One that rests gets no command: an `ABO` could end somebody else's work. One that
        did not come to rest after an earlier `ABO` is told again, but not waited for again.
        """
        if self._move_lock.locked() or (await self._poll()).moving or self._starting:
            self._stops += 1
            refusal = await self._abort()
            await self._wait_at_rest(refusal, _STOP_AGAIN_S if self._deaf_to_abort else _STOP_S)

    # --- the interface ---------------------------------------------------------------------------------------------

    async def position(self) -> StagePosition:
        return _position(await ask_again(self._read))

    async def move_to(
        self,
        x_m: float | None = None,
        y_m: float | None = None,
        z_m: float | None = None,
        tilt_deg: float | None = None,
        rotation_deg: float | None = None,
    ) -> StagePosition:
        given = dict(zip(AXES, (x_m, y_m, z_m, tilt_deg, rotation_deg), strict=True))
        targets = {AXES.index(axis): to_tool(axis, value) for axis, value in given.items() if value is not None}
        if not targets:
            raise InvalidValue(f"no axis is given; accepted: {', '.join(AXES)}", device=self.name, operation="move_to")
        for axis, value in targets.items():
            check_limit(self.options.limits, axis, value, device=self.name, operation="move_to")
        return await self._move("move_to", lambda reading: targets)

    async def move_by(
        self,
        x_m: float = 0.0,
        y_m: float = 0.0,
        z_m: float = 0.0,
        tilt_deg: float = 0.0,
        rotation_deg: float = 0.0,
    ) -> StagePosition:
        given = zip(AXES, (x_m, y_m, z_m, tilt_deg, rotation_deg), strict=True)
        numbers = [to_tool(axis, value) for axis, value in given]

        def targets(reading: Reading) -> dict[int, Decimal]:
            found = {axis: reading.values[axis] + number for axis, number in enumerate(numbers) if number}
            for axis, value in found.items():
                check_limit(self.options.limits, axis, value, device=self.name, operation="move_by")
            return found

        return await self._move("move_by", targets)

    async def stop(self) -> StagePosition:
        self._stops += 1
        refusal = await self._abort()
        return _position(await self._wait_at_rest(refusal))

    async def home(self) -> StagePosition:
        raise Unsupported(
            "RemCon32 has no command that initialises the stage",
            device=self.name,
            operation="home",
            hint="Initialise it in SmartSEM, where the chamber can be seen.",
        )

    async def touch_alarm(self) -> TouchAlarm:
        """`DISABLED` while the specimen current monitor is on; otherwise `UNKNOWN`, because RemCon32 tells no more."""
        return TouchAlarm.DISABLED if await self._optional.monitor_is_on() else TouchAlarm.UNKNOWN

    # --- moving ----------------------------------------------------------------------------------------------------

    @property
    def _starting(self) -> bool:
        return self.clock.monotonic() - self._commanded_s < _START_S

    async def _move(self, operation: str, choose: Callable[[Reading], dict[int, Decimal]]) -> StagePosition:
        if self._move_lock.locked():
            raise Busy("a move is under way", device=self.name, operation=operation, hint="Wait for it, or stop it.")
        async with self._move_lock:
            try:
                return await self._guarded_move(choose)
            except PicobridgeError as error:
                error.operation = operation
                raise

    async def _guarded_move(self, choose: Callable[[Reading], dict[int, Decimal]]) -> StagePosition:
        stops = self._stops
        await self._optional.require_initialised()
        monitor_was_on = await self._optional.monitor_off() if self.options.monitor_off else False
        reading = await self._resting()
        targets = choose(reading)
        arguments = [kept(text, rotation=axis == ROTATION) for axis, text in enumerate(reading.texts)]
        for axis, value in targets.items():
            arguments[axis] = changed(value, rotation=axis == ROTATION)
        taken = False
        try:
            doubt = await self._start(f"C95 {' '.join(arguments)}", stops)
            taken = True
            final = await self._follow(tuple(map(Decimal, arguments)), stops, doubt)
        except asyncio.CancelledError:
            with contextlib.suppress(PicobridgeError):
                await self._link.urgent(b"ABO" + self._line_end)
                await self._abort()
            raise
        except (LinkError, DeviceError) as error:
            if isinstance(error, DeviceError) and not taken:
                raise  # refused: nothing moves
            # nobody sees the stage any more: tell it to stop, without hoping for an answer
            with contextlib.suppress(PicobridgeError):
                await self._link.urgent(b"ABO" + self._line_end)
            lost_in_motion(error, _MAY_BE_MOVING)
            raise
        if monitor_was_on:
            await self._optional.monitor_on()
        return _position(final)

    async def _resting(self) -> Reading:
        """Where the stage rests, read twice: the axes that stay are sent back, and a garbled digit would move them."""
        first, second = await ask_again(self._read), await ask_again(self._read)
        if first.moving or second.moving:
            raise Busy(
                "the stage is moving, by the joystick or another program",
                device=self.name,
                operation="move",
                hint="Wait until it rests, or stop it.",
            )
        if not self.options.near(first.values, second.values):
            raise Refused(
                f"two readings of the resting stage differ: {' '.join(first.texts)} and {' '.join(second.texts)}",
                device=self.name,
                operation="move",
                hint="Nothing was moved. Is the line disturbed, or does the stage drift?",
            )
        return second

    async def _start(self, command: str, stops: int) -> LinkError | None:
        """Send the move, once. A reply that is lost or garbled is returned as doubt, to be settled by looking."""
        try:
            async with self._link.transaction("move") as conversation:
                if self._stops == stops:
                    self._commanded_s = self.clock.monotonic()
                    self._deaf_to_abort = False
                    await ask(conversation, command, self._line_end)
        except DeviceLost:
            raise
        except LinkError as error:
            _LOG.warning("%s: no clean reply to a move, looking whether it began: %s", self.name, error)
            return error
        return None

    async def _follow(self, target: tuple[Decimal, ...], stops: int, doubt: LinkError | None) -> Reading:
        began = self.clock.monotonic()
        seen_moving = False
        resting: Reading | None = None
        while True:
            await self.clock.sleep(self.options.poll_s)
            reading = await self._poll()
            elapsed = self.clock.monotonic() - began
            if self._stops != stops:
                raise self._failed("the move was stopped", await self._wait_at_rest(None))
            if reading.moving:
                seen_moving, resting = True, None
            elif self.options.near(reading.values, target) and (seen_moving or elapsed >= _START_S):
                self._commanded_s = -math.inf
                return reading
            elif elapsed >= _START_S:
                if resting is not None and self.options.near(reading.values, resting.values):
                    raise self._failed(self._elsewhere(reading, target, doubt), reading)
                resting = reading
            if elapsed > self.options.move_timeout_s:
                text = f"the move timed out: it was not finished after {round(elapsed)} s and was aborted"
                refusal = await self._abort()
                try:
                    reading = await self._wait_at_rest(refusal)
                except MoveFailed as error:
                    error.message = f"{text}, but {error.message}"
                    raise
                raise self._failed(text, reading)

    def _elsewhere(self, reading: Reading, target: tuple[Decimal, ...], doubt: LinkError | None) -> str:
        off = [
            f"{AXES[axis]} {to_si(axis, reading.values[axis]):.9g} instead of {to_si(axis, target[axis]):.9g}"
            for axis in range(len(AXES))
            if not self.options.axis_near(axis, reading.values[axis], target[axis])
        ]
        text = f"the stage is at rest elsewhere than at its target: {', '.join(off) or 'the M axis is off'}"
        return text if doubt is None else f"{text}; the tool had not confirmed the move ({doubt.message})"

    def _failed(self, message: str, reading: Reading) -> MoveFailed:
        return MoveFailed(
            message,
            device=self.name,
            operation="move",
            hint="Look into the chamber before moving on; if the stage rests just beside its target, see tolerance_m.",
            position=dataclasses.asdict(_position(reading)),
        )

    async def _abort(self) -> PicobridgeError | None:
        """`ABO`, again if its reply is lost: stopping may be repeated. Returns the tool's refusal, if it refused.

        The first goes past a question that the tool is slow to answer; its own answer puts the wire out of step, which
        the next question mends.
        """
        if self._link.busy:
            await self._link.urgent(b"ABO" + self._line_end)
        for attempt in range(_ATTEMPTS):
            try:
                await self._ask("stop", "ABO")
            except DeviceError as error:
                return error
            except DeviceLost:
                raise
            except LinkError:
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                return None
        return None

    async def _wait_at_rest(self, refusal: PicobridgeError | None, patience_s: float = _STOP_S) -> Reading:
        began = self.clock.monotonic()
        last: Reading | None = None
        while True:
            reading = await self._poll()
            if reading.moving or self._starting:
                last = None
            elif last is not None and self.options.near(reading.values, last.values):
                self._deaf_to_abort = False
                return reading
            else:
                last = reading
            if self.clock.monotonic() - began > patience_s:
                self._deaf_to_abort = True
                reason = f" ({refusal.message})" if refusal is not None else ""
                raise self._failed(f"the stage did not come to rest within {_STOP_S:g} s of ABO{reason}", reading)
            await self.clock.sleep(self.options.poll_s)

    # --- the wire --------------------------------------------------------------------------------------------------

    @property
    def _line_end(self) -> bytes:
        return self._end or b"\r"

    async def _ask(self, operation: str, command: str) -> str:
        async with self._link.transaction(operation) as conversation:
            return await ask(conversation, command, self._line_end)

    async def _read(self) -> Reading:
        async with self._link.transaction("position") as conversation:
            return Reading.parse(await ask(conversation, "C95?", self._line_end))

    async def _poll(self) -> Reading:
        """A reading worth some patience: looking changes nothing, and not looking at a moving stage is worse."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._read()
            except (DeviceTimeout, ProtocolError) as error:
                _LOG.warning("%s: the position could not be read, asking again: %s", self.name, error)
        return await self._read()

    async def _synchronise(self, conversation: Conversation) -> None:
        """Two questions whose answers differ in form, so that a late answer to one cannot pass for the other's."""
        try:
            require_smartsem(await self._version(conversation))
        except DeviceError as refusal:
            if refusal.detail.get("code") not in MISSING_VERB:
                raise
            await prove_stage(conversation, self._line_end, refusal)
            return
        with contextlib.suppress(DeviceError):
            Reading.parse(await ask(conversation, "C95?", self._line_end))

    async def _version(self, conversation: Conversation) -> str:
        if self._end is not None:
            return await ask(conversation, "VER?", self._end)
        end = await send_to_unknown(conversation, "VER?")
        try:
            version = await read_reply(conversation, "VER?")
        except DeviceError:
            self._end = end  # refused in due form is answered
            raise
        self._end = end
        return version


def _position(reading: Reading) -> StagePosition:
    return StagePosition(*(to_si(axis, value) for axis, value in enumerate(reading.values[: len(AXES)])))
