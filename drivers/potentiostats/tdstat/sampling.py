"""When to ask the converters, so that a sample is of the time that it is said to be of.

Facts (firmware): `ADCREAD` hands out the conversion that has ended and starts the next one, which takes about 80 ms;
asked meanwhile the instrument says `WAIT`. So what is read first after a pause is as old as the pause.
"""

from __future__ import annotations

import asyncio

from ...clock import Clock
from ...errors import DeviceError, DeviceLost, DeviceTimeout, LinkError
from ...queries import ask_again
from ...samples import Flag
from ..polling import Reading
from .codec import ADC_SPAN, CONVERSION_S, FRESH_S, Calibration
from .plan import Plan
from .protocol import Session, set_dac

#: A conversion that is not over after this long will never be.
CONVERSION_TIMEOUT_S = 0.5
#: Attempts at one reading over a bad link; then the run ends.
READ_TRIES = 3
#: Of these so many may be silence: nobody watches the cell meanwhile.
SILENT_TRIES = 2
#: Deviation that says "this is not the current that was set": this much of the range, or of the current itself where
#: that is small, but never less than so many counts of the converter.
DEVIATION_OF_RANGE, DEVIATION_OF_CURRENT, DEVIATION_COUNTS = 0.02, 0.5, 20


async def finished(session: Session, clock: Clock) -> tuple[bytes, float]:
    """The conversion under way, awaited, and when it was fetched, which is when the next one began (`clock`'s seconds).

    Raises `DeviceError` if it does not end, `LinkError`s.
    """
    deadline = clock.monotonic() + CONVERSION_TIMEOUT_S
    while True:
        asked = clock.monotonic()
        async with session.exchange("read sample") as exchange:
            packet = await exchange.sample()
        if packet is not None:
            return packet, asked
        if asked >= deadline:
            raise DeviceError(
                f"the converter is still busy after {CONVERSION_TIMEOUT_S:g} s; a conversion takes {CONVERSION_S:g} s",
                code="WAIT",
                hint="Unplug the instrument and plug it in again.",
            )
        await clock.sleep(0.01)


async def convert(session: Session, clock: Clock) -> tuple[bytes, float]:
    """A conversion that began after this call, and when it began at the earliest."""
    _, began = await ask_again(lambda: finished(session, clock))
    await clock.sleep(FRESH_S)
    packet, _ = await ask_again(lambda: finished(session, clock))
    return packet, began


class Sampler:
    """Readings at the times of a plan, for `poll`.

    `time_s` of a sample is when its conversion began, on the host's clock; zero is when the first one did, right
    after the cell was switched on. With an interval of at least twice a conversion each sample is converted on
    purpose (at the end of a staircase's step); with less, fetching one sample begins the conversion of the next.
    """

    def __init__(
        self, session: Session, clock: Clock, calibration: Calibration, plan: Plan, stop: asyncio.Event
    ) -> None:
        self._session = session
        self._clock = clock
        self._calibration = calibration
        self._plan = plan
        self._stop = stop
        self._on_purpose = plan.interval_s >= 2 * FRESH_S
        self._index = 0
        self._zero = self._began = 0.0
        self._timing = Flag.NONE
        self.start_time_ns = 0

    @property
    def sampled_from_s(self) -> float:
        """How long after a staircase's set point its conversion begins."""
        return self._plan.interval_s - FRESH_S if self._on_purpose else 0.0

    async def begin(self) -> None:
        """Begin the first conversion, now."""
        _, self._zero = await ask_again(lambda: finished(self._session, self._clock))
        self._began = self._zero
        self.start_time_ns = self._clock.time_ns()

    async def wait(self) -> None:
        """Until the next sample has to be fetched, or its conversion begun."""
        periods = self._index if self._on_purpose and not self._plan.steps else self._index + 1
        due = self._zero + periods * self._plan.interval_s
        if self._on_purpose and self._plan.steps:
            due -= FRESH_S
        late = self._clock.monotonic() - due
        self._timing = Flag.TIMING if late > self._plan.interval_s / 2 else Flag.NONE
        while (delay := due - self._clock.monotonic()) > 0:
            await self._clock.sleep(max(delay, 1e-9))

    async def read(self) -> Reading | None:
        """The next sample; None at the end of a staircase, or when stopped meanwhile.

        Samples are asked for again over a bad link (a few times, then the error is raised); set points never
        are.
        """
        steps = self._plan.steps
        if steps and self._index >= len(steps):
            return None
        if not self._on_purpose:
            await self._step()  # first, so that the conversion begun by fetching this sample sees it
        flags = self._timing
        silent = 0
        for attempt in range(1, READ_TRIES + 1):
            try:
                packet, began = await self._fetch(again=attempt > 1)
                break
            except DeviceLost:
                raise
            except (LinkError, DeviceError) as error:
                flags |= Flag.TIMING
                silent += isinstance(error, DeviceTimeout)
                if attempt == READ_TRIES or silent == SILENT_TRIES or self._stop.is_set():
                    raise
        if self._on_purpose:
            await self._step()
        if self._stop.is_set():
            return None  # the cell may have been off during this conversion
        reading = self._reading(packet, began, flags)
        self._index += 1
        return reading

    async def _fetch(self, *, again: bool) -> tuple[bytes, float]:
        first = self._index == 0 and not self._plan.steps
        if again or (self._on_purpose and not first):
            return await convert(self._session, self._clock)
        if self._on_purpose:
            await self._clock.sleep(FRESH_S)
        began = self._began
        packet, self._began = await finished(self._session, self._clock)
        return packet, began

    async def _step(self) -> None:
        """Set the staircase's next step, if there is one."""
        if self._index + 1 < len(self._plan.steps) and not self._stop.is_set():
            async with self._session.exchange("set point") as exchange:
                await exchange.command(set_dac(self._plan.steps[self._index + 1]))

    def _reading(self, packet: bytes, began: float, flags: Flag) -> Reading:
        voltage, current, converter_flags = self._calibration.decode(packet, self._plan.range_index)
        flags |= converter_flags | Flag.HOST_TIME
        if self._index == 0 and self._plan.cell_on:
            flags |= Flag.SETTLING
        if self._deviates(current):
            flags |= Flag.COMPLIANCE
        return Reading(began - self._zero, voltage, current, int(flags))

    def _deviates(self, current_a: float) -> bool:
        """Whether a galvanostat's current is not the one that was set: out of compliance, or restarted unnoticed."""
        expected = self._plan.expected_a
        if expected is None:
            return False
        full_scale = self._calibration.full_scale_a(self._plan.range_index)
        allowed = max(DEVIATION_OF_CURRENT * abs(expected), DEVIATION_COUNTS * full_scale / ADC_SPAN)
        return not abs(current_a - expected) <= min(allowed, DEVIATION_OF_RANGE * full_scale)
