"""The answer to "what may be done now": rules, faults and leases, asked without doing anything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from bridge.safety.acts import Act
from bridge.safety.outlook import Outlook, thought_of
from drivers.errors import FaultLatched

from .guard import Guard
from .supervisor import DeviceSupervisor

#: However many look, devices are asked for what rules look at once in this time at most.
READ_EVERY_S = 1.0
#: Nobody waits longer for what somebody else has asked the devices.
READ_S = 2.0


class Outlooks:
    """Made anew for whoever asks. What the rules would find old is read first, as before the act itself, so that "no"
    is never for want of looking; a question is never taken back, as it may be one to a device that moves."""

    def __init__(self, guard: Guard, devices: Mapping[str, DeviceSupervisor]) -> None:
        self._guard = guard
        self._devices = devices
        self._reading: asyncio.Event | None = None
        self._read_s = -READ_EVERY_S

    async def tell(self) -> dict[str, Any]:
        """JSON values. "acts" that no rule and no fault forbids are "allowed"; "held_by" is who has the device's lease,
        or the run that uses it, which keeps everybody else from it."""
        acts = thought_of({name: each.device.interface for name, each in self._devices.items()})
        await self._refresh([act for _, act in acts])
        outlook = Outlook(self._guard.interlocks, acts, self._guard.clock())
        told = []
        for (_, act), judged in zip(acts, outlook.acts(), strict=True):
            fault = self._fault(act)
            holder = self._guard.leases.holder(act.device)
            device = self._devices.get(act.device)
            if device is None:  # taken out of the configuration while it was read
                continue
            run = device.run
            told.append(
                {
                    **judged,
                    "allowed": judged["allowed"] and fault is None,
                    "fault": fault,
                    "held_by": f"run {run}" if run else holder.holder if holder is not None else None,
                }
            )
        return {"acts": told, "inputs": outlook.inputs(), "windows": outlook.windows()}

    def _fault(self, act: Act) -> dict[str, Any] | None:
        try:
            self._guard.faults.require(act)
        except FaultLatched as error:
            return error.to_dict()
        return None

    async def _refresh(self, acts: Iterable[Act]) -> None:
        now = self._guard.clock()
        if self._reading is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._reading.wait(), READ_S)
            return
        if now - self._read_s < READ_EVERY_S:
            return
        wanted = {each for act in acts for each in self._guard.interlocks.wanted(act, now)}
        self._read_s = now
        reading = self._reading = asyncio.Event()
        try:
            await asyncio.gather(
                *(self._devices[name].read(method) for name, method in sorted(wanted) if name in self._devices)
            )
        finally:
            reading.set()
            self._reading = None
