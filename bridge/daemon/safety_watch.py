"""Looks after what is under way, four times a second: rules that are broken meanwhile, leases that ran out, a sleep."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from bridge.safety.acts import Act
from bridge.safety.leases import Ended
from bridge.safety.suspension import Suspension
from bridge.safety.violations import Broken, refusal
from drivers.errors import RunFailed

from .events import Events
from .guard import Guard
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
    """Run `run` as a task."""

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
        #: acts that were ended by a rule with a fault, by the rule and the fault's device: the cause is still there
        self._causes: dict[tuple[str, str], Act] = {}
        self._reading: asyncio.Future[Any] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self._heartbeat.expect(PERIOD_S + SAFE_LIMIT_S, "looking after what is under way")
                await self._look()
                await asyncio.sleep(PERIOD_S)
        finally:
            self._heartbeat.rest()
            if self._reading is not None:
                self._reading.cancel()
                await asyncio.gather(self._reading, return_exceptions=True)

    async def _look(self) -> None:
        await self._notice_sleep()
        for ended in self._guard.leases.expire():
            await self._dead_man(ended)
        self._read_again()
        for broken in self._guard.interlocks.poll(self._guard.clock()):
            await self._react(broken)
        self._look_at_causes()

    def _look_at_causes(self) -> None:
        """The cause of a rule's fault is over once the act has ended, and the rule would allow it again."""
        under_way = self._guard.interlocks.under_way()
        for (rule, device), act in list(self._causes.items()):
            broken = [one.rule.id for one in self._guard.interlocks.check(act, self._guard.clock())]
            if act not in under_way and rule not in broken:
                del self._causes[rule, device]
                self._guard.over(f"interlock {rule}", device)

    async def _notice_sleep(self) -> None:
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
                await self._dead_man(ended)

    def _read_again(self) -> None:
        """What rules look at, without waiting for it here."""
        now = self._guard.clock()
        if now - self._read_at < READ_EVERY_S or (self._reading is not None and not self._reading.done()):
            return
        wanted = [
            (device, method)
            for device, method in sorted(self._guard.interlocks.watched(now))
            if device in self._devices and self._devices[device].device.interface != "gauge"  # which is asked anyway
        ]
        if wanted:
            self._read_at = now
            reads = [self._devices[device].read(method) for device, method in wanted]
            self._reading = asyncio.gather(*reads, return_exceptions=True)

    async def _dead_man(self, ended: Ended) -> None:
        """Whoever held the devices has gone silent: what they move is stopped."""
        lease = ended.lease
        members = [name for name in self._guard.leases.members(lease.group) if name in self._devices]
        moving = [act.device for act in self._guard.interlocks.under_way() if act.device in members and not act.run]
        stopped = sorted(set(moving))
        text = f"{ended.why}: {lease.group} is free again"
        if stopped:
            text += f", and {' and '.join(stopped)} was stopped"
        audited = {"group": lease.group, "holder": lease.holder, "fence": lease.fence}
        self._guard.audit.note("lease ended", **audited, why=ended.why, stopped=stopped)
        self._events.publish("safety", text, severity="warning" if moving else "info", group=lease.group)
        await self._stop(moving)

    async def _react(self, broken: Broken) -> None:
        act = broken.act
        error = refusal([broken.violation])
        text = f"{act.name} goes on although it may not: {broken.violation}"
        self._events.publish("safety", text, severity="error", device=act.device, run=act.run, error=error)
        if broken.reaction == "refuse":
            return
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

        rule = broken.violation.rule
        self._causes[rule.id, act.device] = act
        await self._guard.latch_and_make_safe(f"interlock {rule.id}", act.device, text, make_safe, hint=error.hint)

    async def _stop(self, names: list[str]) -> None:
        supervisors = [self._devices[name] for name in dict.fromkeys(names)]
        await asyncio.gather(*(supervisor.make_safe() for supervisor in supervisors))
