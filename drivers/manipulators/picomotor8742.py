"""New Focus / Newport 8742 picomotor controller: four open-loop axes, over USB or TCP.

The position is counted steps times a nominal step. The real step depends on load, direction and wear and is not
measured by anybody: the maker says "< 30 nm" for picomotors, which is the default here; calibrate option
`step_size_m` under the microscope. Counting starts at zero when the controller is switched on or reset, wherever the
tip then is.

One axis moves at a time: newer controllers cannot do otherwise. Facts of the protocol and their sources are in
`newfocus_protocol`. The motor check (`MC`) moves every axis by a step and is never sent by this driver. What `QM?`
remembers of the motors means nothing before that check, and not every firmware has it: whether there is a motor is
judged by the controller's answer to a move.

`AB` stops all axes, whoever moves them, so it is sent only where one moves: connecting, looking and closing ask first.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

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
    WrongDevice,
)
from ..interfaces import Identity, Manipulator, ManipulatorCapabilities, ManipulatorPosition
from ..motion import lost_in_motion
from ..queries import ask_patiently
from ..uninterrupted import to_the_end
from .newfocus_axes import AXIS_NAMES, Axis, Picomotor8742Options, exact, make_axis
from .newfocus_protocol import STEPS_MAX, STEPS_MIN, Controller

#: Steps a second; a motor of the type "tiny" takes fewer.
SPEED_MAX, SPEED_MAX_TINY = 2000, 1750
TINY = 2
POLL_S = 0.05
#: An axis that says it is moving but whose count stands still for this long is given up.
STALL_S = 10.0
#: Polls in a row that a bad link may spoil.
POLL_TRIES = 3
SILENT_TRIES = 2
#: How long an axis may go on after it was told to stop (its speed's deceleration, or the abort's next step).
STOP_S = 5.0

_MAY_BE_MOVING = (
    "The tip may still be moving: look at it, and stop it at the hand pad or by switching the controller off."
)


@dataclass(slots=True)
class _Move:
    """The move under way. `begun` once a command that moves has been sent; `stopped` is set by `stop`, from another
    task.
    """

    operation: str
    begun: bool = False
    stopped: bool = False


class Picomotor8742(Manipulator):
    """Moves end when the controller says that it is done and its count is the target's."""

    options_type = Picomotor8742Options
    options: Picomotor8742Options

    def _set_up(self) -> None:
        self._axes = tuple(make_axis(axis, self.options) for axis in AXIS_NAMES)
        self._controller = Controller(self.transport, self.name, self.options.address)
        self._move: _Move | None = None
        self._counted: tuple[int, ...] | None = None
        self._reference_lost = False

    @property
    def capabilities(self) -> ManipulatorCapabilities:
        steps = [axis.step_m for axis in self._axes]
        return ManipulatorCapabilities(
            limits={f"{axis.name}_m": axis.limits for axis in self._axes},
            resolution_m=max(steps),
            speed_max_m_per_s=SPEED_MAX * min(steps),
            closed_loop=False,
        )

    async def _connect(self) -> Identity:
        await self._controller.open()
        identity = await self.identify()
        await self.make_safe()
        before, now = self._counted, await ask_patiently(self._count)
        if before is not None and any(before) and not any(now):
            self._reference_lost = True
        if self.options.speed_m_per_s:
            await self.set_speed(self.options.speed_m_per_s)
        return identity

    async def identify(self) -> Identity:
        identity = await ask_patiently(self._identity)
        expected = self.options.serial
        if "874" not in identity.model or (expected and identity.serial != expected):
            wanted = f"an 8742 with serial number {expected}" if expected else "an 8742"
            raise WrongDevice(
                f"{identity.make} {identity.model} {identity.serial} answered; {wanted} was expected",
                device=self.name,
                operation="identify",
                hint="Check address and cable, or option serial.",
            )
        return identity

    async def _identity(self) -> Identity:
        async with self._controller.exchange("identify") as exchange:
            return await exchange.identity()

    async def make_safe(self) -> None:
        """Stop what moves. Axes at rest get no command, and neither does whoever uses them next."""
        if self._move is not None or await self._asked_moving():
            await self.stop()

    async def _asked_moving(self) -> bool:
        """Whether an axis moves; true also if the controller does not say."""
        try:
            return bool(await ask_patiently(self._moving))
        except DeviceLost:
            raise
        except LinkError:
            return True

    def accept_position(self) -> None:
        """Allow absolute moves again after the controller has lost its count: from now on its zero is where it was
        reset.
        """
        self._reference_lost = False

    # --- position --------------------------------------------------------------------------------------------------

    async def position(self) -> ManipulatorPosition:
        return self._position(await ask_patiently(self._count))

    def _position(self, counts: tuple[int, ...]) -> ManipulatorPosition:
        x, y, z = (axis.metres(count) for axis, count in zip(self._axes, counts, strict=True))
        return ManipulatorPosition(x, y, z, closed_loop=False)

    async def _count(self) -> tuple[int, ...]:
        """The counts of the axes. Read twice, since the protocol has no checksum: they may differ only in motion."""
        async with self._controller.exchange("position") as exchange:
            first, counts = [[await exchange.integer(f"{a.number}TP?") for a in self._axes] for _ in range(2)]
            for axis, before, now in zip(self._axes, first, counts, strict=True):
                if before != now and not await exchange.moving(axis.number):
                    raise ProtocolError(f"axis {axis.name} is at rest, but was at step {before} and then at {now}")
        self._counted = tuple(counts)
        return self._counted

    # --- motion ----------------------------------------------------------------------------------------------------

    async def move_to(
        self, x_m: float | None = None, y_m: float | None = None, z_m: float | None = None
    ) -> ManipulatorPosition:
        targets: dict[Axis, int] = {}
        with self._named("move_to"):
            for axis, value in zip(self._axes, (x_m, y_m, z_m), strict=True):
                if value is not None:
                    targets[axis] = axis.steps(value, f"{axis.name}_m")
            if not targets:
                raise InvalidValue("no axis is given; accepted: x_m, y_m, z_m")
        if self._reference_lost:
            raise Refused(
                "the controller was reset and counts from zero again: where the tip is in its old terms is unknown",
                device=self.name,
                operation="move_to",
                hint="Look where the tip is; then go on with relative moves, or accept the new count: "
                "accept_position of the driver, or a restart of picobridge.",
            )

        async def chosen() -> Mapping[Axis, int]:
            return targets

        return await self._run_move("move_to", chosen)

    async def move_by(self, x_m: float = 0.0, y_m: float = 0.0, z_m: float = 0.0) -> ManipulatorPosition:
        wanted: list[tuple[Axis, float]] = []
        with self._named("move_by"):
            for axis, distance in zip(self._axes, (x_m, y_m, z_m), strict=True):
                if not math.isfinite(distance) or (distance and not round(exact(distance) / axis.step)):
                    raise InvalidValue(
                        f"{axis.name}_m is {distance:g} m; accepted: 0, or at least half a step of {axis.step_m:g} m"
                    )
                if distance:
                    wanted.append((axis, distance))

        async def chosen() -> Mapping[Axis, int]:
            counts = dict(zip(self._axes, await ask_patiently(self._count), strict=True))
            with self._named("move_by"):
                return {
                    axis: axis.steps(distance, f"{axis.name}_m (position plus distance)", counts[axis])
                    for axis, distance in wanted
                }

        return await self._run_move("move_by", chosen)

    async def stop(self) -> ManipulatorPosition:
        if self._move is not None:
            self._move.stopped = True
        await self._halt()
        return await self.position()

    async def _halt(self) -> None:
        """Stop every axis of the controller and see that they are at rest. Raises `MoveFailed` if one does not stop."""
        with suppress(DeviceTimeout):  # it is said again below
            await self._controller.abort()
        started = self.clock.monotonic()
        while True:
            moving = await ask_patiently(self._moving)
            if not moving:
                return
            await self._controller.abort()
            if self.clock.monotonic() - started > STOP_S:
                raise MoveFailed(
                    f"axis {', '.join(moving)} still moves {STOP_S:g} s after it was told to stop",
                    device=self.name,
                    operation="stop",
                    position=None,
                    hint="Switch the controller off.",
                )
            await self.clock.sleep(POLL_S)

    async def _moving(self) -> list[str]:
        """The axes that move."""
        async with self._controller.exchange("stop") as exchange:
            return [axis.name for axis in self._axes if await exchange.moving(axis.number)]

    async def _run_move(
        self, operation: str, choose: Callable[[], Awaitable[Mapping[Axis, int]]]
    ) -> ManipulatorPosition:
        """`choose` finds the targets as a part of the move, so that a `stop` meanwhile ends it before it begins."""
        if self._move is not None:
            raise Busy(
                "a move is under way; the controller moves one axis at a time",
                device=self.name,
                operation=operation,
                hint="Wait for it or call stop.",
            )
        move = self._move = _Move(operation)
        try:
            for axis, target in (await choose()).items():
                await self._move_axis(move, axis, target)
            return await self.position()
        except BaseException as error:
            expected = isinstance(error, DeviceLost | MoveFailed | Refused | InvalidValue)
            at_rest = not expected and await to_the_end(self._halt_after_failure())
            if isinstance(error, LinkError) and move.begun and not at_rest:
                lost_in_motion(error, _MAY_BE_MOVING)
            if isinstance(error, PicobridgeError):
                error.operation = operation  # rather than the question on which it failed
            raise
        finally:
            self._move = None

    async def _halt_after_failure(self) -> bool:
        """Whatever went wrong in a move (a broken link, a cancellation), do not leave an axis running. Returns whether
        all were seen at rest.
        """
        # what fails here says less than the error of the move itself, which is raised next
        with suppress(LinkError, DeviceError, MoveFailed, TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._halt()
                return True
        return False

    async def _move_axis(self, move: _Move, axis: Axis, target: int) -> None:
        if not STEPS_MIN <= target <= STEPS_MAX:
            raise InvalidValue(f"{axis.name} would be at step {target}; accepted: {STEPS_MIN} to {STEPS_MAX}")
        if self.options.require_motor and not await self._controller.motor_type(axis.number):
            raise Refused(
                f"axis {axis.name}: the controller knows of no motor at its axis {axis.number}",
                device=self.name,
                operation=move.operation,
                hint="Check the motor's cable and option axes. A motor plugged in since is found by the motor check "
                "(MC) of the maker's program, which moves each axis by a step. Or unset option require_motor.",
            )
        count = (await ask_patiently(self._count))[self._axes.index(axis)]
        failure: LinkError | None = None
        if count != target and not move.stopped:
            failure = await self._command(move, f"{axis.number}PA{target}")
            count = await self._until_done(move, axis, target)
        if move.stopped:
            raise await self._failed(move, f"axis {axis.name} was stopped at step {count} on its way to {target}")
        if count != target:
            text = f"axis {axis.name} ended at step {count}, its target was {target}"
            raise await self._failed(move, f"{text} ({failure.message})" if failure else text) from failure

    async def _command(self, move: _Move, command: str) -> LinkError | None:
        """Send a move, once. If the link breaks after it was sent it may have been taken: the error is returned."""
        sent = False
        try:
            async with self._controller.exchange(move.operation) as exchange:
                if not move.stopped:
                    sent = move.begun = True
                    await exchange.send(command)
        except DeviceLost:
            raise
        except LinkError as error:
            if not sent:
                raise
            return error
        return None

    async def _until_done(self, move: _Move, axis: Axis, target: int) -> int:
        """Poll until the axis is at rest; returns its count. Questions are asked again over a bad link."""
        before: tuple[bool, int] | None = None
        changed = self.clock.monotonic()
        failures = 0
        while True:
            try:
                async with self._controller.exchange(move.operation) as exchange:
                    moving = await exchange.moving(axis.number)
                    count = await exchange.integer(f"{axis.number}TP?")
            except DeviceLost:
                raise
            except LinkError as error:
                failures += 1
                if failures >= (SILENT_TRIES if isinstance(error, DeviceTimeout) else POLL_TRIES):
                    raise
                continue
            failures = 0
            # a count short of the target is believed when it is seen at rest twice
            if not moving and (count == target or before == (False, count)):
                return count
            if before is None or count != before[1]:
                changed = self.clock.monotonic()
            elif self.clock.monotonic() - changed > STALL_S:
                await self._halt_after_failure()
                raise await self._failed(move, f"axis {axis.name} has stood at step {count} for {STALL_S:g} s")
            before = (moving, count)
            await self.clock.sleep(POLL_S)

    async def _failed(self, move: _Move, text: str) -> MoveFailed:
        """The error, with the position that is counted now."""
        at = await self.position()
        return MoveFailed(
            f"{text}; now at x {at.x_m:.9g} m, y {at.y_m:.9g} m, z {at.z_m:.9g} m",
            device=self.name,
            operation=move.operation,
            position={"x_m": at.x_m, "y_m": at.y_m, "z_m": at.z_m},
        )

    # --- speed, and what there is none of --------------------------------------------------------------------------

    async def set_speed(self, speed_m_per_s: float) -> None:
        with self._named("set_speed"):
            rates = {axis: axis.rate(speed_m_per_s, SPEED_MAX) for axis in self._axes}
        for axis in self._axes:
            if await self._controller.motor_type(axis.number) == TINY:
                with self._named("set_speed"):
                    axis.rate(speed_m_per_s, SPEED_MAX_TINY)
        async with self._controller.exchange("set_speed") as exchange:
            for axis, rate in rates.items():
                await exchange.send(f"{axis.number}VA{rate}")
        async with self._controller.exchange("set_speed") as exchange:
            for axis, rate in rates.items():
                if (taken := await exchange.integer(f"{axis.number}VA?")) != rate:
                    raise DeviceError(f"axis {axis.name} has {taken} steps/s, {rate} were set", code=None)

    async def insert(self) -> ManipulatorPosition:
        raise self._unsupported("insert")

    async def retract(self) -> None:
        raise self._unsupported("retract")

    @contextmanager
    def _named(self, operation: str) -> Iterator[None]:
        """Errors about values say which device and operation they are about."""
        try:
            yield
        except InvalidValue as error:
            error.annotate(device=self.name, operation=operation)
            raise

    def _unsupported(self, operation: str) -> Unsupported:
        return Unsupported(
            "a picomotor controller has no park position",
            device=self.name,
            operation=operation,
            hint="Use move_to and move_by.",
        )
