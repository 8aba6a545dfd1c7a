"""Looks after what is under way, four times a second: rules that are broken meanwhile, leases that ran out, a sleep."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from bridge.safety.leases import Ended
from bridge.safety.suspension import Suspension
from bridge.safety.violations import Broken, refusal
from drivers.errors import InterlockViolated, PicobridgeError, RunFailed
from drivers.uninterrupted import to_the_end

from .events import Events
from .guard import INTERLOCK, Guard
from .heartbeat import Heartbeat
from .runs import Runs
from .supervisor import DeviceSupervisor

LOG = logging.getLogger("picobridge.safety")

PERIOD_S = 0.25
#: What a rule looks at while an act lasts is asked for so often.
READ_EVERY_S = 1.0
#: Making a group safe takes this long at most.
SAFE_LIMIT_S = 15.0


class SafetyWatch:
    """Run `run` as a task. Nothing that goes wrong ends it; what it does about something is done beside it, so that
    one device that does not answer keeps nobody else from being looked after."""

    def __init__(
        self,
        guard: Guard,
        devices: Mapping[str, DeviceSupervisor],
        runs: Runs,
        events: Events,
        heartbeat: Heartbeat,
        suspension: Suspension | None = None,
    ) -> None:
        self._guard = guard
        self._devices = devices
        self._runs = runs
        self._events = events
        self._heartbeat = heartbeat
        self._suspension = suspension or Suspension()
        self._read_at = 0.0
        self._reading: asyncio.Future[Any] | None = None
        #: what is being done, by what it is about; with the loop's time by which it is to be over
        self._reactions: dict[object, tuple[asyncio.Task[None], float]] = {}
        #: what broke, and was told
        self._broken: set[str] = set()

    async def run(self) -> None:
        """Until cancelled; returns when what was begun is done."""
        try:
            while True:
                now = asyncio.get_running_loop().time()
                if all(now < until for _, until in self._reactions.values()):  # else the watchdog has to see it
                    self._heartbeat.expect(PERIOD_S, "looking after what is under way")
                self._look()
                await asyncio.sleep(PERIOD_S)
        except asyncio.CancelledError:
            self._heartbeat.rest()
            raise
        finally:
            if self._reading is not None:
                self._reading.cancel()
                await asyncio.gather(self._reading, return_exceptions=True)
            if reacting := [task for task, _ in self._reactions.values()]:
                await to_the_end(asyncio.wait(reacting))

    def _look(self) -> None:
        self._safely("noticing a sleep", self._notice_sleep)
        self._safely("looking at leases", self._end_leases)
        self._safely("reading what rules look at", self._read_again)
        self._safely("looking at what is under way", self._look_at_acts)
        self._safely("looking at what caused faults", self._look_at_causes)

    def _end_leases(self) -> None:
        for ended in self._guard.leases.expire():
            self._safely("the dead-man", partial(self._dead_man, ended))

    def _look_at_acts(self) -> None:
        for broken in self._guard.interlocks.poll(self._guard.clock()):
            self._safely(f"reacting to {broken.violation.rule.id}", partial(self._react, broken))

    # --- whatever breaks -------------------------------------------------------------------------------------------

    def _safely(self, what: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self._tell(what, error)
        else:
            self._broken.discard(what)

    def _tell(self, what: str, error: Exception) -> None:
        """In the log each time, as an event once as long as it goes on."""
        LOG.critical("%s broke", what, exc_info=error)
        if what in self._broken:
            return
        self._broken.add(what)
        known = error if isinstance(error, PicobridgeError) else PicobridgeError(f"internal error: {error!r}")
        try:
            self._events.publish("safety", f"{what} broke: {known}", severity="error", error=known)
        except Exception:
            LOG.exception("telling that broke, too")

    def _begin(self, what: str, about: object, work: Coroutine[Any, Any, None]) -> None:
        """Do something, unless it is being done."""
        if about in self._reactions:
            work.close()
            return
        task = asyncio.create_task(work, name=f"picobridge {what}")
        self._reactions[about] = task, asyncio.get_running_loop().time() + SAFE_LIMIT_S
        task.add_done_callback(partial(self._done, what, about))

    def _done(self, what: str, about: object, task: asyncio.Task[None]) -> None:
        del self._reactions[about]
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, Exception):
            self._tell(what, error)
        else:
            self._broken.discard(what)

    # --- what is looked at -----------------------------------------------------------------------------------------

    def _look_at_causes(self) -> None:
        """The cause of a rule's fault is over once the act has ended, and the rule would allow it again."""
        under_way = self._guard.interlocks.under_way()
        for (kind, device), act in list(self._guard.causes.items()):
            broken = [INTERLOCK + one.rule.id for one in self._guard.interlocks.check(act, self._guard.clock())]
            if act not in under_way and kind not in broken and (kind, id(act)) not in self._reactions:
                del self._guard.causes[kind, device]
                self._guard.over(kind, device)

    def _notice_sleep(self) -> None:
        """Leases are void then, and what was read is old: what a person moved is stopped, and a run that nobody looked
        after has ended."""
        if not (slept_s := self._suspension.slept_s()):
            return
        why = f"the computer slept for {slept_s:.0f} s"
        text = f"{why}: all leases are void, and samples may be missing"
        self._events.publish("safety", text, severity="error", slept_s=slept_s)
        for ended in self._guard.leases.void_all(why):
            if ended.lease.until_s is None:
                error = RunFailed(
                    f"{why} while the run was under way; the source was switched off",
                    operation="run",
                    hint="Look at the sample, and keep the computer from going to sleep by itself.",
                )
                self._runs.fail(ended.lease.holder.removeprefix("run "), error)
            else:
                self._safely("the dead-man", partial(self._dead_man, ended))

    def _read_again(self) -> None:
        """What rules look at, without waiting for it here."""
        now = self._guard.clock()
        if now - self._read_at < READ_EVERY_S or (self._reading is not None and not self._reading.done()):
            return
        wanted = [
            (device, method)
            for device, method in sorted(self._watched(now))
            if device in self._devices and self._devices[device].device.interface != "gauge"  # which is asked anyway
        ]
        if wanted:
            self._read_at = now
            reads = [self._devices[device].read(method) for device, method in wanted]
            self._reading = asyncio.gather(*reads, return_exceptions=True)

    def _watched(self, now: float) -> set[tuple[str, str]]:
        """For what is under way; and for what a rule has ended, until it would be allowed again."""
        interlocks = self._guard.interlocks
        ended = [act for act in self._guard.causes.values() if act not in interlocks.under_way()]
        return set(interlocks.watched(now)).union(*(interlocks.wanted(act, now) for act in ended))

    # --- what is done about it -------------------------------------------------------------------------------------

    def _dead_man(self, ended: Ended) -> None:
        """Whoever held the devices has gone silent: what they move is stopped."""
        lease = ended.lease
        stopped = [name for name in self._guard.moved_by_hand(lease.group) if name in self._devices]
        if stopped:
            self._begin(f"stopping what moved in {lease.group}", lease.id, self._stop(stopped))
        text = f"{ended.why}: {lease.group} is free again"
        if stopped:
            text += f", and {' and '.join(stopped)} was stopped"
        audited = {"group": lease.group, "holder": lease.holder, "fence": lease.fence}
        self._guard.audit.note("lease ended", **audited, why=ended.why, stopped=stopped)
        self._events.publish("safety", text, severity="warning" if stopped else "info", group=lease.group)

    def _react(self, broken: Broken) -> None:
        act = broken.act
        error = refusal([broken.violation])
        text = f"{act.name} goes on although it may not: {broken.violation}"
        if broken.reaction != "refuse":
            kind = INTERLOCK + broken.violation.rule.id
            self._begin(f"ending {act.name} by {kind}", (kind, id(act)), self._end(broken, error, text))
        self._events.publish("safety", text, severity="error", device=act.device, run=act.run, error=error)

    async def _end(self, broken: Broken, error: InterlockViolated, text: str) -> None:
        """An act that may not go on."""
        act = broken.act
        if act.run:
            self._runs.fail(act.run, error)
        if broken.reaction == "stop":
            await self._stop([act.device])
            return
        members = [
            self._devices[name]
            for name in self._guard.leases.members(self._guard.leases.group_of(act.device))
            if name in self._devices
        ]

        async def make_safe() -> None:
            await asyncio.gather(*(supervisor.make_safe() for supervisor in members))

        kind = INTERLOCK + broken.violation.rule.id
        self._guard.causes[kind, act.device] = act
        await self._guard.latch_and_make_safe(kind, act.device, text, make_safe, hint=error.hint)

    async def _stop(self, names: list[str]) -> None:
        supervisors = [self._devices[name] for name in names if name in self._devices]
        await asyncio.gather(*(supervisor.make_safe() for supervisor in supervisors))
