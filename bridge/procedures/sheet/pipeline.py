"""The landings, carried out: heads move and settle, channels measure, each as soon as what it needs is there.

Heads work side by side, and so do the channels under a head. A channel that several heads share goes to whoever was
ready first, so while one head moves the channel measures under another. A head leaves when its last cell is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from bridge.analysis.sheet.bound import Touchdown
from bridge.analysis.sheet.positions import Place, name_of
from bridge.procedures.context import Context
from drivers.errors import CellNotOff, DeviceError, DeviceLost, LinkError, RunFailed

from .book_keeping import Keeping
from .fit import Fitter
from .layout import Site
from .measuring import Interrupted, Meter
from .parameters import SheetMap
from .planning import Landing
from .records import Record
from .rig import Carrier, Channel, Rig
from .spectrum import Spectrum, values_of

#: so many cells in a row that could not be recorded at all, and the channel is not to be trusted
_FAILURES = 3


class Pipeline:
    """`staggered`: impedances one at a time. `touchdowns` is what was done, for the bound."""

    def __init__(
        self, context: Context, rig: Rig, meter: Meter, fitter: Fitter | None, keeping: Keeping, parameters: SheetMap
    ) -> None:
        self.staggered = parameters.shared_terminal == "staggered"
        self.touchdowns: list[Touchdown] = []
        self._context = context
        self._rig = rig
        self._meter = meter
        self._fitter = fitter
        self._keeping = keeping
        self._p = parameters
        self._failures: dict[str, int] = {}
        self._interrupted = False

    async def run(self, landings: Mapping[str, Sequence[Landing]]) -> None:
        """All landings, or until a pause is asked for or a stop rule holds; the heads are lifted then.

        Raises what a device raises; nothing moves and all records are ended then.
        """
        self._interrupted = False
        work = [(carrier, landings.get(carrier.head.name, ())) for carrier in self._rig.carriers]
        for carrier, _ in work:
            self._rig.keeper.enter(carrier.resource)
        await together([self._serve(carrier, line) for carrier, line in work])

    @property
    def halting(self) -> bool:
        return self._interrupted or self._context.pausing or self._keeping.stopped is not None

    async def _serve(self, carrier: Carrier, landings: Sequence[Landing]) -> None:
        resource, keeper = carrier.resource, self._rig.keeper
        try:
            for landing in landings:
                if self.halting:
                    break
                began = resource.now_s
                with resource.working("moving"):
                    await carrier.mover.land(landing.target_m)
                landed = resource.now_s
                with resource.working("settling"):
                    await resource.clock.sleep(self._p.settle_s)
                touchdown = Touchdown(carrier.head.name, landed - began, resource.now_s - landed)
                self.touchdowns.append(touchdown)
                await resource.wait_until(await self._measure(carrier, landing, touchdown))
                self._keeping.landing_done(self._rig.elapsed_s)
            with resource.working("moving"):
                await carrier.mover.lift()
        finally:
            keeper.leave(resource)

    async def _measure(self, carrier: Carrier, landing: Landing, touchdown: Touchdown) -> float:
        """All cells of a landing; returns when the last one was done."""
        by_channel: dict[str, list[tuple[Site, Place]]] = {}
        for site, place in landing.cells:
            by_channel.setdefault(site.channel, []).append((site, place))
        ready_s, keeper = carrier.resource.now_s, self._rig.keeper
        left, done = len(by_channel), [ready_s]

        async def job(channel: Channel, cells: list[tuple[Site, Place]]) -> None:
            nonlocal left
            try:
                done.append(await self._work_off(carrier, channel, cells, ready_s, touchdown))
            finally:
                # the head is at work again before its last channel is not: nobody gets a turn in between
                left -= 1
                if not left:
                    keeper.enter(carrier.resource)
                keeper.leave(channel.resource)

        jobs = []
        for name, cells in by_channel.items():
            keeper.enter(self._rig.channels[name].resource)
            jobs.append(job(self._rig.channels[name], cells))
        keeper.leave(carrier.resource)
        await together(jobs)
        return max(done)

    async def _work_off(
        self, carrier: Carrier, channel: Channel, cells: list[tuple[Site, Place]], ready_s: float, touchdown: Touchdown
    ) -> float:
        resource = channel.resource
        await resource.wait_until(await channel.turn.acquire(resource, ready_s))
        try:
            for site, place in cells:
                if self._interrupted:
                    break
                began = None
                try:
                    if site.route:
                        await self._connect(channel, site.route)
                    began = resource.now_s
                    waited = await self._cell(carrier, channel, site, place, touchdown)
                    spent = resource.now_s - began - waited
                    touchdown.channel_s[channel.name] = touchdown.channel_s.get(channel.name, 0.0) + spent
                    if site.route:
                        longest = max(touchdown.route_s.get(site.route, 0.0), spent)
                        touchdown.route_s[site.route] = longest
                except Interrupted:
                    self._interrupted = True
                finally:
                    if site.route and began is not None and self._rig.multiplexer is not None:
                        self._rig.multiplexer.turn.release(resource.now_s)
        finally:
            channel.turn.release(resource.now_s)
        return resource.now_s

    async def _connect(self, channel: Channel, route: str) -> None:
        """The route closed; switched, if it has to be, when no channel measures through another one."""
        board = self._rig.multiplexer
        assert board is not None  # `assemble` has seen to it
        starts_s = await board.turn.acquire(channel.resource, channel.resource.now_s, route)
        if board.turn.switching:
            await board.resource.wait_until(starts_s)
            with board.resource.working("switching"):
                await board.feedthrough.select(route)
            board.turn.switched(board.resource.now_s)
            starts_s = max(starts_s, board.resource.now_s)
        await channel.resource.wait_until(starts_s)

    async def _cell(self, carrier: Carrier, channel: Channel, site: Site, place: Place, touchdown: Touchdown) -> float:
        """Measure one cell and enter it; returns for how long the shared terminal was waited for."""
        resource, visit = channel.resource, self._keeping.book.visits(place) + 1
        record = Record(
            place[0], place[1], carrier.head.name, site.number, channel.name, visit,
            resource.now_s, 0.0, channel.potentiostat.clock.time_ns(),
        )  # fmt: skip
        waited = 0.0
        for attempt in range(self._p.retries + 1):
            try:
                record.values, spectrum, more = await self._values(channel, visit, touchdown)
                waited += more
            except (DeviceLost, CellNotOff):
                raise
            except (LinkError, DeviceError) as error:
                record.values, record.error = {}, str(error)
                self._context.note(f"{name_of(place)} could not be recorded: {error}", attempt=attempt + 1)
                continue
            record.error = ""
            self._failures[channel.name] = 0
            if self._fitter is not None and len(spectrum):
                record.values |= await asyncio.to_thread(self._fitter.fit, spectrum)
            break
        else:
            self._failures[channel.name] = self._failures.get(channel.name, 0) + 1
            if self._failures[channel.name] >= _FAILURES:
                raise RunFailed(
                    f"{_FAILURES} cells in a row could not be recorded by {channel.name}, the last {name_of(place)}: "
                    f"{record.error}",
                    device=channel.name,
                    hint="What was measured is kept: see to the instrument and resume the run.",
                )
        record.duration_s = resource.now_s - record.started_s
        self._keeping.enter(record)
        return waited

    async def _values(
        self, channel: Channel, visit: int, touchdown: Touchdown
    ) -> tuple[dict[str, float], Spectrum, float]:
        """Quantities, the spectrum, and the time spent waiting for the terminal."""
        resource, waited = channel.resource, 0.0
        started = resource.now_s
        with resource.working("open-circuit voltage"):
            values = await self._meter.voltage(channel.potentiostat)
        if not self._meter.wants_impedance():
            return values, Spectrum.empty(), waited
        if self.staggered:
            asked = resource.now_s
            lead_s = asked - started
            touchdown.lead_s = min(touchdown.lead_s, lead_s) if touchdown.lead_s else lead_s
            await resource.wait_until(await self._rig.terminal.acquire(resource, asked))
            waited = resource.now_s - asked
        began = resource.now_s
        try:
            with resource.working("impedance"):
                spectrum = await self._meter.impedance(channel.potentiostat, values, visit)
        finally:
            if self.staggered:
                touchdown.terminal_s += resource.now_s - began
                self._rig.terminal.release(resource.now_s)
        values |= values_of(spectrum, self._keeping.judge.names)
        return values, spectrum, waited


async def together(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """All of them side by side; if one raises, the others are cancelled and waited for, and that is raised."""
    if len(work) == 1:
        await work[0]
        return
    try:
        async with asyncio.TaskGroup() as group:
            for part in work:
                group.create_task(part)
    except BaseExceptionGroup as errors:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
