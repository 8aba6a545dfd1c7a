"""Faults of a small rig, over a store in memory that can fail and wait."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from typing import Any

import pytest

from bridge.safety.acts import Act, act_of_call
from bridge.safety.faults import Faults
from bridge.store.fault_table import Fault
from drivers.errors import Refused

DEVICES = {"pstat": "potentiostat", "stage": "stage", "tip": "manipulator", "gauge": "gauge"}
CHAMBER = ("stage", "tip")


def members(device: str) -> tuple[str, ...]:
    return CHAMBER if device in CHAMBER else (device,)


class Memory:
    """A store that can be made to wait, or to fail."""

    def __init__(self) -> None:
        self.rows: dict[int, Fault] = {}
        self.failing = False
        self.gate: asyncio.Event | None = None
        self.log: list[str] = []

    async def _io(self) -> None:
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        if self.failing:
            raise OSError(28, "no space left on device")

    async def raise_fault(
        self, kind: str, device: str, text: str, *, hint: str = "", detail: Any = None, at_ns: int
    ) -> Fault:
        await self._io()
        self.log.append(f"stored {kind}")
        found = next((row for row in self.rows.values() if row.open and (row.kind, row.device) == (kind, device)), None)
        if found is None:
            found = Fault(
                id=len(self.rows) + 1, kind=kind, device=device, text=text, raised_ns=at_ns, last_ns=at_ns, count=0
            )
        row = dataclasses.replace(found, text=text, hint=hint, last_ns=at_ns, count=found.count + 1, cause_gone=False)
        self.rows[row.id] = row
        return row

    async def set_cause_gone(self, number: int, gone: bool) -> Fault:
        await self._io()
        self.rows[number] = dataclasses.replace(self.rows[number], cause_gone=gone)
        return self.rows[number]

    async def doubt_causes(self) -> int:
        for number, row in self.rows.items():
            self.rows[number] = dataclasses.replace(row, cause_gone=False)
        return len(self.rows)

    async def acknowledge(self, number: int, by: str, *, at_ns: int) -> Fault:
        await self._io()
        if not self.rows[number].cause_gone:
            raise Refused("its cause is still there")
        self.rows[number] = dataclasses.replace(self.rows[number], acknowledged_ns=at_ns, acknowledged_by=by)
        return self.rows[number]

    async def open_faults(self) -> list[Fault]:
        return [row for row in self.rows.values() if row.open]


def faults_on(store: Any) -> Faults:
    ticks = itertools.count(1)
    faults = Faults(store, DEVICES, members, lambda: next(ticks))
    for device in DEVICES:
        faults.was_read(device)
    return faults


@pytest.fixture
def store() -> Memory:
    return Memory()


@pytest.fixture
def faults(store: Memory) -> Faults:
    return faults_on(store)


def act(device: str, method: str, **arguments: Any) -> Act:
    return act_of_call(device, DEVICES[device], method, arguments)


CHARGE = act("pstat", "galvanostatic", current_a=1e-12)
TIP = act("tip", "move_by", z_m=1e-6)
STAGE = act("stage", "move_to", x_m=0.0)


async def acknowledged(faults: Faults, kind: str, device: str) -> None:
    latched = await faults.cause_gone(kind, device)
    assert latched is not None
    assert latched.id is not None
    await faults.acknowledge(latched.id, latched.ticket, "alice")
