"""Runs that an earlier daemon did not end: latched at the start, settled once every device was read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.safety.faults import EMERGENCY_STOP

from .casting import flat
from .guard import Guard
from .runs import Runs
from .spool_faults import OF_THE_SPOOL
from .state import JOURNAL_LOST, STATE_LOST
from .supervisor import DeviceSupervisor


async def latch_interrupted(left: Mapping[str, Any], guard: Guard) -> None:
    """They may have left something on: a person has to look."""
    for run, entry in left.items():
        used = [name for name in flat(entry.get("devices", {})) if name in guard.devices]
        for name in used:
            await guard.faults.latch(
                "interrupted",
                name,
                f"run {run} was interrupted while it used {name}",
                hint="Look at the sample, then acknowledge; `picobridge resume` goes on with a run that allows it.",
            )


async def settle(left: Mapping[str, Any], runs: Runs, devices: Mapping[str, DeviceSupervisor], guard: Guard) -> None:
    """Once every device was read, what an earlier daemon left is known again; a person may acknowledge it."""
    guard.over(EMERGENCY_STOP, "")  # it was pressed before; what it left is judged device by device
    await runs.settle_interrupted(left)
    for fault in guard.faults.open():
        if fault.device and fault.device not in (*guard.devices, OF_THE_SPOOL):
            guard.over(fault.kind, fault.device)  # it is not configured any more: nobody can do anything with it
    for supervisor in list(devices.values()):
        await (
            supervisor.connection.tried.wait()
        )  # one that is not there is forbidden on its own account, until it was read
    for kind in (STATE_LOST, JOURNAL_LOST):
        guard.over(kind, "")
