"""Requests about safety: who controls what, what is latched, which rules hold, what a person has seen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bridge.access.caller import CALLER
from bridge.safety.leases import Lease
from drivers.errors import InvalidValue
from drivers.interfaces import TouchAlarm
from drivers.quantities import quantity

from .events import Events
from .guard import Guard
from .observing import Observer
from .outlook import Outlooks
from .params import accept, text_of, whole_number
from .supervisor import DeviceSupervisor

Handler = Callable[[Mapping[str, Any]], Awaitable[Any]]

#: How long a person's word counts unless said otherwise.
STATED_S = 600.0
#: What a person can state of a device, and as what.
STATED: Mapping[str, tuple[Any, ...]] = {
    "touch_alarm": (str(TouchAlarm.ARMED), str(TouchAlarm.TRIPPED), str(TouchAlarm.DISABLED)),
    "contact": (False, True),
}


class SafetyRequests:
    """`handlers` are the methods by name."""

    def __init__(
        self, guard: Guard, observer: Observer, events: Events, devices: Mapping[str, DeviceSupervisor]
    ) -> None:
        self._devices = devices
        self._guard = guard
        self._observer = observer
        self._events = events
        self._outlooks = Outlooks(guard, devices)
        self.handlers: Mapping[str, Handler] = {
            "lease": self._lease,
            "renew": self._renew,
            "release": self._release,
            "takeover": self._take_over,
            "leases": self._leases,
            "faults": self._faults,
            "acknowledge": self._acknowledge,
            "rules": self._rules,
            "outlook": self._outlook,
            "override": self._override,
            "end_override": self._end_override,
            "state": self._state,
        }

    # --- leases ----------------------------------------------------------------------------------------------------

    async def _lease(self, params: Mapping[str, Any]) -> Any:
        accept(params, "device", "ttl")
        lease = await self._guard.leases.acquire(self._target(params), CALLER.get().name, _ttl(params))
        await self._guard.audit.record("lease", group=lease.group, holder=lease.holder, fence=lease.fence)
        return self._described(lease)

    async def _renew(self, params: Mapping[str, Any]) -> Any:
        accept(params, "lease")
        return self._described(self._guard.leases.renew(text_of(params, "lease")))

    async def _release(self, params: Mapping[str, Any]) -> Any:
        accept(params, "lease")
        lease = self._guard.leases.release(text_of(params, "lease"))
        if lease is not None:
            await self._end_motion(lease.group, f"{lease.holder} has let {lease.group} go")
        return None if lease is None else self._described(lease)

    async def _take_over(self, params: Mapping[str, Any]) -> Any:
        accept(params, "device", "reason", "ttl")
        reason = text_of(params, "reason")
        await self._guard.audit.record("takeover", group=params["device"], reason=reason, by=CALLER.get().name)
        lease, ended = await self._guard.leases.take_over(self._target(params), CALLER.get().name, reason, _ttl(params))
        if ended is not None:
            self._events.publish("safety", ended.why, severity="warning", holder=ended.lease.holder, by=lease.holder)
            await self._end_motion(lease.group, ended.why)
        return self._described(lease)

    async def _leases(self, params: Mapping[str, Any]) -> Any:
        accept(params)
        return [self._described(lease, secret=True) for lease in self._guard.leases.held()]

    async def _end_motion(self, group: str, why: str) -> None:
        """What somebody had begun who does not control it any more is stopped: nobody would see to it."""
        moving = [name for name in self._guard.moved_by_hand(group) if name in self._devices]
        if moving:
            text = f"{why}: {' and '.join(moving)} was stopped"
            self._events.publish("safety", text, severity="warning", group=group)
            await asyncio.gather(*(self._devices[name].make_safe() for name in moving))

    def _target(self, params: Mapping[str, Any]) -> str:
        name = text_of(params, "device")
        known = self._guard.devices
        group = self._guard.leases.group_of(name)
        if name not in known and not any(self._guard.leases.group_of(device) == group for device in known):
            raise InvalidValue(f"device is {name!r}; accepted: {', '.join(known) or 'none'}, or a group of them")
        return name

    def _described(self, lease: Lease, *, secret: bool = False) -> dict[str, Any]:
        """The id of a lease is for its holder only: who has it may act."""
        left = None if lease.until_s is None else max(0.0, lease.until_s - self._guard.clock())
        known = {
            "group": lease.group,
            "devices": list(self._guard.leases.members(lease.group)),
            "holder": lease.holder,
            "fence": lease.fence,
            "ttl_s": lease.ttl_s,
            "left_s": left,
        }
        return known if secret else {"lease": lease.id, **known}

    # --- faults ----------------------------------------------------------------------------------------------------

    async def _faults(self, params: Mapping[str, Any]) -> Any:
        accept(params)
        return self._guard.faults.state()

    async def _acknowledge(self, params: Mapping[str, Any]) -> Any:
        accept(params, "fault", "ticket")
        caller = CALLER.get()
        number = whole_number(params, "fault")
        await self._guard.audit.record("acknowledge", fault=number, by=caller.name, user=caller.user)
        fault = await self._guard.faults.acknowledge(number, str(params.get("ticket", "")), caller.name)
        if fault.device:
            self._observer.adrift.discard(fault.device)
        text = f"fault {number} ({fault.text}) was acknowledged by {caller.name}; nothing was started by that"
        self._events.publish("safety", text, device=fault.device, by=caller.name)
        return {"fault": number}

    # --- rules -----------------------------------------------------------------------------------------------------

    async def _rules(self, params: Mapping[str, Any]) -> Any:
        accept(params)
        return self._guard.interlocks.state(self._guard.clock())

    async def _outlook(self, params: Mapping[str, Any]) -> Any:
        accept(params)
        return await self._outlooks.tell()

    async def _override(self, params: Mapping[str, Any]) -> Any:
        accept(params, "rule", "for", "reason")
        caller = CALLER.get()
        rule, reason = text_of(params, "rule"), text_of(params, "reason")
        seconds = quantity(params.get("for"), "s", field="for")
        await self._guard.audit.record(
            "override", rule=rule, seconds=seconds, reason=reason, by=caller.name, user=caller.user
        )
        made = self._guard.interlocks.override(
            rule, by=caller.name, role=str(caller.role), seconds=seconds, reason=reason, now=self._guard.clock()
        )
        text = f"{caller.name} set the rule {rule} aside for {seconds:g} s: {reason}"
        self._events.publish("safety", text, severity="warning", rule=rule, by=caller.name)
        return {"rule": rule, "until_s": time.time() + made.until_s - self._guard.clock()}

    async def _end_override(self, params: Mapping[str, Any]) -> Any:
        accept(params, "rule")
        caller = CALLER.get()
        rule = text_of(params, "rule")
        await self._guard.audit.record("end_override", rule=rule, by=caller.name)
        self._guard.interlocks.end_override(rule)
        self._events.publish(
            "safety", f"the rule {rule} is in force again, says {caller.name}", rule=rule, by=caller.name
        )
        return {"rule": rule}

    async def _state(self, params: Mapping[str, Any]) -> Any:
        """What a person has seen where a device cannot tell."""
        accept(params, "input", "value", "for")
        name = text_of(params, "input")
        if name.rpartition(".")[0] not in self._guard.devices:
            raise InvalidValue(f"input is {name!r}; accepted: DEVICE.QUANTITY, such as stage.touch_alarm")
        accepted = STATED.get(name.rpartition(".")[2])
        if accepted is None:
            raise InvalidValue(
                f"input is {name!r}; accepted: {', '.join(f'DEVICE.{quantity}' for quantity in STATED)}",
                hint="Only what a device cannot tell can be stated.",
            )
        if params.get("value") not in accepted or isinstance(params["value"], int) is not isinstance(accepted[0], int):
            listed = ", ".join(str(value).lower() for value in accepted)
            raise InvalidValue(f"value is {params.get('value')!r:.100}; accepted for {name}: {listed}")
        by = CALLER.get().name
        seconds = quantity(params.get("for", STATED_S), "s", field="for")
        await self._guard.audit.record("state", input=name, value=params["value"], seconds=seconds, by=by)
        said = self.stated(name, params["value"], by, seconds)
        return {"input": name, "value": params["value"], "until_s": time.time() + said - self._guard.clock()}

    def stated(self, name: str, value: Any, by: str, seconds: float) -> float:
        """Take a person's word; until when it counts, in the guard's clock."""
        said = self._observer.observations.state(name, value, by, self._guard.clock(), seconds)
        self._events.publish("safety", f"{by} has seen that {name} is {value}", input=name, value=value, by=by)
        return said.until_s


def _ttl(params: Mapping[str, Any]) -> float | None:
    return quantity(params["ttl"], "s", field="ttl") if "ttl" in params else None
