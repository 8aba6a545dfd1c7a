"""One technique on the instrument: set up, energise without a kick, read at the pace asked for."""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import AbstractAsyncContextManager
from typing import Any

from ...clock import Clock
from ...errors import DeviceError, DeviceTimeout, LinkError, ProtocolError
from ...samples import Flag
from ...techniques import Galvanostatic
from ..limits import LimitWatch
from ..polling import Reading, crossed
from ..staircase import set_points
from .dialect import Dialect
from .models import Model
from .options import Keithley24xxOptions
from .plan import INTEGRATION_S, Plan
from .readings import DeviceTime, RawReading, number
from .session import Session, Stopped, Talk

log = logging.getLogger(__name__)

#: The output relay takes about 15 ms (2400 manual 13-9).
_RELAY_S = 0.02
_NPLC_MIN, _NPLC_MAX = 0.01, 10.0
#: One reading is up to three conversions (signal and two zeros) of each of two quantities, and a change of range.
_CONVERSIONS = 8
_TUNINGS = 4
#: A reading that takes more than this part of the interval would come later and later.
_ON_TIME = 1.005
#: What a conversation out of step leaves in the error queue ("Query INTERRUPTED" and its kin): 2400 manual B-8.
_QUERY_ERRORS = range(-499, -399)
_OUTPUT_IS_OFF = 803
#: A range reads a few per cent beyond its end and then says overflow: what is further out was changed on the way.
_IMPOSSIBLE = 1.2


class Run:
    """Used once, in the order `configure`, `switch_on`, then `wait` and `read_one` by `poll`.

    A current source goes on at 0 A or the first of its sequence, a voltage source at its first potential: at 0 V it
    would short a charged cell.
    Time zero is the instrument's own stamp of the last reading before the first level. The host paces: it waits until
    a reading that takes as long as the last one did would end when it is due, so that an instrument that measures more
    slowly than expected is only late, never out of step. All but `read_one` raise `Stopped` if `stop` was set.
    """

    def __init__(
        self,
        *,
        session: Session,
        dialect: Dialect,
        plan: Plan,
        options: Keithley24xxOptions,
        model: Model,
        mains_hz: float,
        clock: Clock,
        stop: asyncio.Event,
    ) -> None:
        self.plan = plan
        self.name = plan.technique.name
        self.start_time_ns = 0
        self._session = session
        self._dialect = dialect
        self._options = options
        self._model = model
        self._mains_hz = mains_hz
        self._clock = clock
        self._stop = stop
        self._notes = list(plan.notes)
        self._nplc = options.nplc or whole_periods(min(INTEGRATION_S, plan.interval_s) * mains_hz)
        self._levels = set_points(plan.technique)
        if self._levels is not None:
            next(self._levels)  # which goes on with the source
        self._over = False
        self._time = DeviceTime(dialect.wraps_at_s)
        self._ready: Reading | None = None
        self._output_was_on = False
        self._last: RawReading | None = None
        self._stamps_move = False
        self._zero_s = 0.0
        self._due_s = plan.interval_s
        self._reading_takes_s = 0.0

    @property
    def attributes(self) -> dict[str, Any]:
        """What does not change within the run, as JSON values. `sampled_from_s`: how long after its set point a reading
        begins."""
        plan = self.plan
        return {
            **({} if self._levels is None else {"sampled_from_s": plan.interval_s - self._reading_takes_s}),
            "technique": self.name,
            "model": self._model.name,
            "command_set": self._dialect.name,
            "source": "current" if plan.sources_current else "voltage",
            "source_range": plan.source_range,
            "current_range_a": plan.current_range.full_scale_a if plan.current_range else None,
            "compliance_v" if plan.sources_current else "compliance_a": plan.limit,
            "interval_s": plan.interval_s,
            "integration_s": self._nplc / self._mains_hz,
            "nplc": self._nplc,
            "mains_hz": self._mains_hz,
            "notes": list(self._notes),
        }

    async def configure(self) -> None:
        """Everything but the level, with the output off. Raises `DeviceError` for a setting that was not taken."""
        plan, dialect = self.plan, self._dialect
        async with self._transaction() as talk:
            for code, text in await talk.errors():
                log.warning("%s: error %+d, %s, was waiting in the instrument", self._session.link.name, code, text)
            for refusal in await talk.offer(dialect.tidy(plan, self._options)):
                self._notes.append(
                    f"refused by the instrument, so that a setting of its front panel may hold: {refusal}"
                )
            await talk.accept(dialect.configure(plan, self._options))
            present = number(await talk.ask(dialect.limit_query(plan)))
            await talk.accept(dialect.limit_and_range(plan, plan.limit_first, present))
            await talk.accept(dialect.integration(plan, self._nplc))
            await self._set_level(talk, plan.first_level)
            await self._check_limit(talk, plan.limit_first)
            await self._check_source_range(talk)

    async def switch_on(self) -> None:
        """Output on, settled, first level applied, time zero taken."""
        plan, dialect = self.plan, self._dialect
        async with self._transaction() as talk:
            await talk.accept([":OUTP ON"])
            if not (answer := await talk.ask(":OUTP?")).upper().startswith(("1", "ON")):
                raise DeviceError(f"the output does not go on: :OUTP? says {answer!r}")
        await self._clock.sleep(_RELAY_S + plan.settling_s)
        raw = await self._tuned()
        at_rest = Reading(0.0, raw.voltage_v, raw.current_a, raw.flags | Flag.SETTLING)
        if self._levels is not None or not plan.sources_current:
            self._ready = at_rest
        elif isinstance(plan.technique, Galvanostatic) and crossed(LimitWatch(plan.technique), at_rest) is not None:
            # outside the window before anything has flowed: this one sample says so and ends the run
            self._ready = at_rest
            self._start_time(raw)
            return
        elif plan.limit < plan.limit_first:
            async with self._transaction() as talk:
                await talk.accept([dialect.limit(plan, plan.limit)])
                await self._check_limit(talk, plan.limit)
            raw = await self._read()
        self._start_time(raw)
        if isinstance(plan.technique, Galvanostatic):
            async with self._transaction() as talk:
                await self._set_level(talk, plan.technique.current_a)

    async def wait(self) -> None:
        """To the next set point, if there are many, then until the next reading must begin."""
        if self._ready is not None:
            return
        if self._levels is not None:
            level = next(self._levels, None)
            if level is None:
                self._over = True
                return
            async with self._transaction() as talk:
                await talk.accept([self._dialect.level(self.plan, level)])
        delay_s = self._due_s - self._reading_takes_s - (self._clock.monotonic() - self._zero_s)
        if delay_s > 0:
            await self._clock.sleep(delay_s)

    async def read_one(self) -> Reading | None:
        """The next sample; None when there is no set point left or the run was stopped."""
        if self._ready is not None:
            ready, self._ready = self._ready, None
            return ready
        if self._over:
            return None
        gap = Flag.NONE
        try:
            try:
                raw = await self._read()
            except (DeviceTimeout, ProtocolError) as failure:
                raw, gap = await self._read_again(failure), Flag.GAP
        except Stopped:
            return None
        now_s = self._clock.monotonic()
        elapsed_s, flags = self._time.elapsed(raw.stamp_s, now_s)
        flags |= raw.flags | gap
        if elapsed_s < self.plan.settling_s:
            flags |= Flag.SETTLING
        if now_s - self._zero_s > self._due_s + 0.5 * self.plan.interval_s:
            flags |= Flag.TIMING
            self._due_s = now_s - self._zero_s
        self._due_s += self.plan.interval_s
        return Reading(elapsed_s, raw.voltage_v, raw.current_a, flags)

    def _transaction(self) -> AbstractAsyncContextManager[Talk]:
        return self._session.transaction(self.name, unless=self._stop)

    def _start_time(self, raw: RawReading) -> None:
        self._zero_s = self._clock.monotonic()
        self.start_time_ns = self._clock.time_ns()
        self._time.start(raw.stamp_s, self._zero_s)

    async def _tuned(self) -> RawReading:
        """A reading that takes no longer than the interval, by integrating less if need be."""
        raw = await self._read()
        if self._options.nplc is not None:
            return raw
        for _ in range(_TUNINGS):
            too_slow = self._reading_takes_s > _ON_TIME * self.plan.interval_s
            if not too_slow or self._nplc <= _NPLC_MIN:
                break
            self._nplc = whole_periods(self._nplc * 0.9 * self.plan.interval_s / self._reading_takes_s)
            async with self._transaction() as talk:
                await talk.accept(self._dialect.integration(self.plan, self._nplc))
            raw = await self._read()
        integration_s = self._nplc / self._mains_hz
        if integration_s < INTEGRATION_S * (1 - 1e-9):
            cycles = "" if self._nplc >= 1 else ", less than a mains period: mains pick-up is not averaged out"
            self._notes.append(
                f"integration {integration_s:g} s instead of {INTEGRATION_S:g} s, for the interval of "
                f"{self.plan.interval_s:g} s{cycles}"
            )
        return raw

    async def _read(self) -> RawReading:
        raw = await self._ask_reading()
        if self._last is not None:
            self._stamps_move = self._stamps_move or raw.stamp_s != self._last.stamp_s
            if raw == self._last and self._stamps_move:
                # the same to the last digit of the time: an answer that came twice, so the wire is out of step
                self._session.link.dirty = True
                raw = await self._ask_reading()
        self._last = raw
        return raw

    async def _read_again(self, failure: LinkError) -> RawReading:
        """Once, after a reading that was lost or broken: to ask moves and energises nothing. But a query that the
        instrument refuses has no answer either, and then its error queue says why."""
        async with self._transaction() as talk:
            errors = [(code, text) for code, text in await talk.errors() if code not in _QUERY_ERRORS]
        if errors:
            code, text = errors[0]
            hint = ""
            if code == _OUTPUT_IS_OFF:
                hint = (
                    "Its output was off although it had been switched on: a power cut, the output-enable line or the "
                    "interlock. Let it start with high impedance after a power cut: *SAV 0, then :SYST:POS SAV0."
                )
            raise DeviceError(f"error {code:+d}, {text!r}, instead of a reading", code=code, hint=hint) from failure
        log.warning("%s: a reading was lost: %s", self._session.link.name, failure)
        return await self._read()

    async def _ask_reading(self) -> RawReading:
        async with self._transaction() as talk:
            begun_s = self._clock.monotonic()
            line = await talk.ask(self._dialect.read_query(), extra_s=_CONVERSIONS * self._nplc / self._mains_hz)
            raw = self._dialect.parse(line, self.plan)
            if raw.output_on is False and self._output_was_on:
                raise DeviceError(
                    "the output is off although nobody here switched it off: the instrument was restarted, or its "
                    "interlock or over-temperature protection acted",
                    hint="Look at its front panel and its power supply; start the run again.",
                )
            self._check_plausible(raw)
        self._output_was_on = self._output_was_on or bool(raw.output_on)
        self._reading_takes_s = self._clock.monotonic() - begun_s
        return raw

    def _check_plausible(self, raw: RawReading) -> None:
        """One flipped bit of an exponent makes a number in due form. Raises `ProtocolError` beyond what the ranges in
        use can read."""
        plan = self.plan
        sensed = plan.measure_range
        if sensed is None:
            sensed = plan.limit_first if plan.sources_current else self._model.current_max_a
        volts, amperes = (sensed, plan.source_range) if plan.sources_current else (plan.source_range, sensed)
        for measured, full_scale, unit in ((raw.voltage_v, volts, "V"), (raw.current_a, amperes, "A")):
            if abs(measured) > _IMPOSSIBLE * full_scale:  # NaN is not
                raise ProtocolError(f"a reading of {measured:g} {unit} on the range of {full_scale:g} {unit}")

    async def _set_level(self, talk: Talk, level: float) -> None:
        """Set, and read back: a set point that was rounded away must not look like one that flows."""
        plan = self.plan
        await talk.accept([self._dialect.level(plan, level)])
        found = number(await talk.ask(self._dialect.level_query(plan)))
        if abs(found - level) > max(plan.source_step, 1e-4 * abs(level)):
            unit = "A" if plan.sources_current else "V"
            raise DeviceError(f"the level was set to {level:g} {unit} and reads back as {found:g} {unit}")

    async def _check_limit(self, talk: Talk, limit: float) -> None:
        found = number(await talk.ask(self._dialect.limit_query(self.plan)))
        if abs(found - limit) > 0.01 * limit:
            unit = "V" if self.plan.sources_current else "A"
            raise DeviceError(f"the compliance was set to {limit:g} {unit} and reads back as {found:g} {unit}")

    async def _check_source_range(self, talk: Talk) -> None:
        """The answer is the full scale, on some with the 5 % that the range goes beyond it."""
        plan = self.plan
        found = number(await talk.ask(self._dialect.source_range_query(plan)))
        if not 0.99 <= found / plan.source_range <= 1.11:
            unit = "A" if plan.sources_current else "V"
            raise DeviceError(
                f"the source range was set to {plan.source_range:g} {unit} and reads back as {found:g} {unit}",
                hint="Is the remote preamplifier connected?" if self._model.name == "6430" else "",
            )


def whole_periods(periods: float) -> float:
    """As many mains periods as fit, whole ones where at least one does, within what the instruments take."""
    if periods >= 1:
        periods = math.floor(periods + 1e-9)
    return float(min(max(periods, _NPLC_MIN), _NPLC_MAX))
