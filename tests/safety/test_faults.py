"""A fault forbids until a person has looked after its cause was gone; a device that was not read is not moved."""

from __future__ import annotations

import asyncio

import pytest

from bridge.safety.faults import EMERGENCY_STOP, Faults
from drivers.errors import CellNotOff, FaultLatched

from .faults_in_memory import (
    CHARGE,
    DEVICES,
    STAGE,
    TIP,
    Memory,
    act,
    members,
)
from .faults_in_memory import faults as faults
from .faults_in_memory import store as store

# --- starting --------------------------------------------------------------------------------------------------------


async def test_until_a_device_was_read_it_neither_moves_nor_energises(store: Memory) -> None:
    faults = Faults(store, DEVICES, members, lambda: 1)
    with pytest.raises(FaultLatched, match="the state of tip was not read yet"):
        faults.require(TIP)
    faults.require(act("tip", "stop"))
    faults.require(act("tip", "position"))
    faults.require(act("pstat", "cell_off"))
    faults.was_read("tip")
    faults.require(TIP)
    with pytest.raises(FaultLatched):
        faults.require(CHARGE)
    faults.must_be_read("tip")
    with pytest.raises(FaultLatched):
        faults.require(TIP)
    assert store.rows == {}


# --- what is forbidden -----------------------------------------------------------------------------------------------


async def test_a_fault_forbids_in_its_group_only_and_never_the_safe_direction(faults: Faults) -> None:
    await faults.latch("device_lost", "stage", "the stage was unplugged during a move")
    with pytest.raises(FaultLatched, match=r"unplugged during a move \(fault 1, the cause is still there\)") as caught:
        faults.require(TIP)
    assert caught.value.detail["faults"][0]["kind"] == "device_lost"
    faults.require(CHARGE)
    faults.require(act("tip", "set_speed", speed_m_per_s=1e-6))
    for method in ("stop", "position", "make_safe", "identify"):
        faults.require(act("stage", method))


async def test_an_emergency_stop_forbids_everything_but_the_safe_direction(faults: Faults) -> None:
    await faults.latch(EMERGENCY_STOP, "", "emergency stop by alice")
    for forbidden in (TIP, CHARGE, STAGE, act("tip", "set_speed", speed_m_per_s=1e-6)):
        with pytest.raises(FaultLatched, match="emergency stop by alice"):
            faults.require(forbidden)
    faults.require(act("pstat", "cell_off"))


async def test_it_forbids_before_it_is_on_disk(store: Memory, faults: Faults) -> None:
    store.gate = asyncio.Event()
    latching = asyncio.create_task(faults.latch("cell_not_off", "pstat", "the cell could not be proven off"))
    await asyncio.sleep(0)
    with pytest.raises(FaultLatched, match="not yet stored"):
        faults.require(CHARGE)
    store.gate.set()
    assert (await latching).id == 1


async def test_it_forbids_although_it_could_not_be_stored_and_is_stored_later(store: Memory, faults: Faults) -> None:
    store.failing = True
    with pytest.raises(OSError, match="no space"):
        await faults.latch("cell_not_off", "pstat", "the cell could not be proven off")
    await faults.cause_gone("cell_not_off", "pstat")
    with pytest.raises(FaultLatched):
        faults.require(CHARGE)
    store.failing = False
    assert await faults.store_again() == 1
    assert await faults.store_again() == 0
    (latched,) = faults.open()
    assert latched.id is not None
    await faults.acknowledge(latched.id, latched.ticket, "alice")
    faults.require(CHARGE)


# --- persisted before reported ---------------------------------------------------------------------------------------


async def test_the_safe_state_waits_for_nothing_and_is_reported_when_the_fault_is_stored(
    store: Memory, faults: Faults
) -> None:
    store.gate = asyncio.Event()

    made_safe = asyncio.Event()

    async def make_safe() -> str:
        store.log.append("safe")
        made_safe.set()
        return "done"

    task = asyncio.create_task(faults.latch_and_make_safe("deadman", "stage", "nothing came for 5 s", make_safe))
    await made_safe.wait()
    await asyncio.sleep(0)
    assert not task.done()
    store.gate.set()
    assert await task == "done"
    assert store.log == ["safe", "stored deadman"]


async def test_a_safe_state_that_fails_says_so_and_the_fault_is_stored_all_the_same(
    store: Memory, faults: Faults
) -> None:
    async def make_safe() -> None:
        raise CellNotOff("the cell could not be proven off", device="pstat")

    with pytest.raises(CellNotOff):
        await faults.latch_and_make_safe("deadman", "pstat", "nothing came for 5 s", make_safe)
    assert store.log == ["stored deadman"]


async def test_a_full_disk_does_not_keep_it_from_being_made_safe(store: Memory, faults: Faults) -> None:
    store.failing = True

    async def make_safe() -> None:
        store.log.append("safe")

    with pytest.raises(OSError, match="no space"):
        await faults.latch_and_make_safe("deadman", "pstat", "nothing came for 5 s", make_safe)
    assert store.log == ["safe"]


async def test_a_cancellation_waits_for_both(store: Memory, faults: Faults) -> None:
    store.gate = asyncio.Event()
    done = asyncio.Event()

    async def make_safe() -> None:
        await done.wait()
        store.log.append("safe")

    task = asyncio.create_task(faults.latch_and_make_safe("deadman", "stage", "silence", make_safe))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    done.set()
    store.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(store.log) == ["safe", "stored deadman"]
