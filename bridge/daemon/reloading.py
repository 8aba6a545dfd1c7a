"""The configuration read again while the daemon works: on request, and on SIGHUP.

A file with a mistake changes nothing. What can change at once does; what something under way forbids waits for
another reload, and what cannot change at all for a restart, and both are said. Nothing is applied halfway, no run
notices, and no sample is lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bridge.access.caller import CALLER
from bridge.record.recorder import check_writable
from bridge.safety.default_rules import RigDevice, default_rules, groups_of
from bridge.safety.interlock_options import InterlockOptions
from drivers.errors import PicobridgeError, Refused
from drivers.interfaces import Device
from drivers.uninterrupted import to_the_end

from .changes import DeviceChange, device_changes, differences, needs_restart, others
from .config import Config, DeviceConfig, load
from .events import Events
from .guard import Guard
from .params import accept
from .supervision import Supervision
from .supervisor import DeviceSupervisor
from .systemd import notify

Handler = Callable[[Mapping[str, Any]], Awaitable[Any]]

_AGAIN = "reload again then"


@dataclass(slots=True)
class _Plan:
    """What is to be done about devices and rules, and what waits for what."""

    devices: list[DeviceChange]
    interlocks: InterlockOptions
    applied: list[str] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)


class Reloading:
    """`handlers` are the methods of requests. `file` is None for a program whose configuration is in no file.

    `make` makes a device. `serve_metrics(config)` serves by another configuration or raises, and then serves by the one
    before. `adopt(config)` hands everything else to whom it concerns, and cannot fail.
    """

    def __init__(
        self,
        file: Path | None,
        config: Config,
        make: Callable[[DeviceConfig], Device],
        supervision: Supervision,
        guard: Guard,
        events: Events,
        serve_metrics: Callable[[Config], Awaitable[None]],
        adopt: Callable[[Config], None],
    ) -> None:
        self.handlers: Mapping[str, Handler] = {"reload": self._requested}
        self._file = file
        self._config = config
        self._make = make
        self._supervision = supervision
        self._guard = guard
        self._events = events
        self._serve_metrics = serve_metrics
        self._adopt = adopt
        self._lock = asyncio.Lock()
        self._closing = False
        self._state: dict[str, Any] = {"error": "", "waits": [], "restart_needed": []}

    async def close(self) -> None:
        """Wait for one that is under way; none begins after it."""
        self._closing = True
        async with self._lock:
            pass

    def state(self) -> Mapping[str, Any]:
        """For the health topic: `error` of the last attempt ("": it was good), what waits, what needs a restart."""
        return {"file": None if self._file is None else str(self._file), **self._state}

    async def on_signal(self) -> None:
        """As the request; who wants to know reads the events."""
        with suppress(PicobridgeError):  # which was told
            await self.reload("SIGHUP")

    async def _requested(self, params: Mapping[str, Any]) -> Any:
        accept(params)
        return await self.reload(CALLER.get().name)

    async def reload(self, by: str) -> dict[str, list[str]]:
        """`applied`, `waits` and `restart_needed` are sentences. Raises `ConfigurationError` for a file that is not
        good, `Refused` without one, `PortBusy` (metrics), `AuditFailed`: nothing has changed then."""
        async with self._lock:
            notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
            try:
                return await to_the_end(self._reload(by))
            except PicobridgeError as error:
                error.hint = error.hint or "Mend it and reload again; until then all is as it was."
                self._state["error"] = error.message
                text = f"the configuration was not reloaded, nothing has changed: {error}"
                self._events.publish("daemon", text, severity="error", error=error, by=by)
                raise
            finally:
                notify("READY=1")

    async def _reload(self, by: str) -> dict[str, list[str]]:
        if self._closing:
            raise Refused("the daemon is stopping")
        if self._file is None:
            raise Refused(
                "this bridge was started without a configuration file; there is nothing to read again",
                hint="Programs such as `picobridge demo` bring their own configuration. `picobridge run` has a file.",
            )
        read = await asyncio.to_thread(load, self._file)
        old = self._config
        restart, new = needs_restart(old, read)
        if new.data_dir is not None and new.data_dir != old.data_dir:
            await asyncio.to_thread(check_writable, new.data_dir)
        made = {c.name: self._make(c.after) for c in device_changes(old, new) if c.after is not None}
        wanted = [*others(old, new), *_of_interlocks(old, new), *map(str, device_changes(old, new))]
        user = CALLER.get().user
        await self._guard.audit.record("reload", file=str(self._file), wanted=wanted, restart=restart, by=by, user=user)
        await self._serve_metrics(new)
        plan = self._plan(old, new, made)
        applied = [*others(old, new), *plan.applied]
        retired = self._switch(old, new, plan, made)
        coming = {change.name for change in plan.devices if change.after is not None}
        await asyncio.gather(*(self._supervision.close(one, comes_back=one.name in coming) for one in retired))
        for change in plan.devices:
            if change.after is not None:
                self._supervision.add(change.after, made[change.name])
        self._state = {"error": "", "waits": plan.waits, "restart_needed": restart}
        self._tell(applied, plan.waits, restart, by)
        return {"applied": applied, "restart_needed": restart, "waits": plan.waits}

    def _switch(self, old: Config, new: Config, plan: _Plan, made: Mapping[str, Device]) -> list[DeviceSupervisor]:
        """At one moment: which devices there are, and by which rules. Returns those that are to be closed."""
        devices = _after(old, plan.devices)
        if plan.devices or plan.interlocks != old.interlocks:
            rig = self._rig(devices, plan.devices, made)
            self._guard.use(devices, default_rules(rig, plan.interlocks), groups_of(rig, plan.interlocks))
        self._config = replace(new, devices=devices, interlocks=plan.interlocks)
        self._adopt(self._config)
        retired = [self._supervision.retire(change.name) for change in plan.devices if change.before is not None]
        for change in plan.devices:
            if change.after is not None:  # nothing is done with it before it was read
                self._guard.faults.must_be_read(change.name)
        return retired

    def _plan(self, old: Config, new: Config, made: Mapping[str, Device]) -> _Plan:
        """All of it, if nothing under way is in its way; else the devices that nothing is done with, one by one, and
        the rules wait: they are written for all the devices of the file."""
        changes = device_changes(old, new)
        of_rules = _of_interlocks(old, new)
        busy = {change.name: why for change in changes if (why := self._in_use(change))}
        conflicts = self._conflicts(old, changes, made, new.interlocks)
        if not busy and not conflicts:
            return _Plan(changes, new.interlocks, [*of_rules, *map(str, changes)])
        plan = _Plan([], old.interlocks)
        if of_rules:
            why = " and ".join(busy.values() if busy else conflicts)
            plan.waits += [f"{text}: {why}; {_AGAIN}" for text in of_rules]
        for change in changes:
            more = [*plan.devices, change]
            if why := busy.get(change.name) or " and ".join(self._conflicts(old, more, made, old.interlocks)):
                plan.waits.append(f"{change}: {why}; {_AGAIN}")
            else:
                plan.devices.append(change)
                plan.applied.append(str(change))
        return plan

    def _in_use(self, change: DeviceChange) -> str:
        """What a device that is taken out or changed is in the middle of; empty if of nothing."""
        if change.before is None:
            return ""
        supervisor = self._supervision.devices[change.name]
        if supervisor.run:
            return f"run {supervisor.run} uses {change.name}"
        if supervisor.busy:
            return f"a call to {change.name} is under way"
        lease = self._guard.leases.holder(change.name)
        return "" if lease is None else f"{lease.holder} holds {lease.group}"

    def _conflicts(
        self, old: Config, changes: Sequence[DeviceChange], made: Mapping[str, Device], options: InterlockOptions
    ) -> list[str]:
        """Why these devices with these rules cannot be in force now."""
        if not changes and options == old.interlocks:
            return []
        rig = self._rig(_after(old, changes), changes, made)
        return self._guard.conflicts(default_rules(rig, options), groups_of(rig, options))

    def _rig(
        self, names: Iterable[str], changes: Sequence[DeviceChange], made: Mapping[str, Device]
    ) -> list[RigDevice]:
        """Devices as the rules see them, with `changes` made."""
        known = {name: supervisor.device for name, supervisor in self._supervision.devices.items()}
        known |= {change.name: made[change.name] for change in changes if change.after is not None}
        return [RigDevice(name, known[name].interface) for name in names]

    def _tell(self, applied: Sequence[str], waits: Sequence[str], restart: Sequence[str], by: str) -> None:
        self._guard.audit.note("reloaded", applied=applied, waits=waits, restart_needed=restart, by=by)
        text = f"{by} had the configuration read again: {'; '.join(applied) or 'nothing to apply'}"
        if waits:
            text += f". Not now: {'; '.join(waits)}"
        if restart:
            text += f". After a restart only: {'; '.join(restart)}"
        severity = "warning" if waits or restart else "info"
        self._events.publish("daemon", text, severity=severity, by=by)


def _after(old: Config, changes: Sequence[DeviceChange]) -> dict[str, DeviceConfig]:
    """The devices with `changes` made, each where it was and new ones behind: what rules say keeps its order."""
    devices = dict(old.devices)
    for change in changes:
        if change.after is None:
            del devices[change.name]
        else:
            devices[change.name] = change.after
    return devices


def _of_interlocks(old: Config, new: Config) -> list[str]:
    return [f"[interlocks] {text}" for text in differences(old.interlocks, new.interlocks)]
